"""`gql-app check` finds each damage that is done on purpose, under its own name."""

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from gql_app.db import ANNOUNCED, Database
from gql_app.reconcile import look, reconcile
from gql_app.reconcile.findings import MEANINGS
from tests.reconcile.damages import DAMAGES, SEQUENCE
from tests.reconcile.filled import fill, run
from tests.reconcile.sql import Damage
from tests.reconcile.table import PATH, page
from tests.ruling import service_database

pytestmark = pytest.mark.unwitnessed("damages are done on purpose")


def found_in(connection: Connection, statements: tuple[str, ...]) -> set[str]:
    for statement in statements:
        connection.execute(text(statement.replace(":", r"\:")), execution_options=ANNOUNCED)
    with Session(connection) as session:
        return {finding.what for finding in look(session)}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.title)
async def test_damage_is_found(filled_url: str, backend: str, damage: Damage) -> None:
    db = service_database(filled_url)
    try:
        async with db.engine.connect() as connection:
            assert damage.found_as in await connection.run_sync(found_in, damage.sql(backend))
            await connection.rollback()
    finally:
        await db.close()


async def test_a_sequence_that_was_set_back_is_found(db: Database, backend: str) -> None:
    await fill(db)
    await run(db, *SEQUENCE.sql(backend))  # on PostgreSQL no transaction takes it back
    assert SEQUENCE.found_as in {finding.what for finding in await db.read(reconcile)}


def test_every_finding_is_tried_and_has_a_meaning() -> None:
    assert {damage.found_as for damage in DAMAGES} == set(MEANINGS)


def test_each_damage_has_a_title_of_its_own_in_its_room() -> None:
    titles = [(damage.room, damage.title) for damage in DAMAGES]
    assert len(set(titles)) == len(titles)


def test_the_page_is_up_to_date() -> None:
    assert PATH.read_text(encoding="utf-8") == page(), "run `python -m tests.reconcile.table > docs/check.md`"
