"""`gql-app check` finds what must never be."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import delete, text
from sqlalchemy.orm import Session
from sqlalchemy.util import await_only

import gql_app.schema  # noqa: F401  (registers the rules)
from gql_app.changes import log
from gql_app.changes.models import ChangeRecord
from gql_app.changes.sequencer import move
from gql_app.db import ANNOUNCED, Database
from gql_app.deliveries import queue
from gql_app.deliveries.models import Delivery
from gql_app.fuel_requests.models import FuelRequest, FuelRequestStatus
from gql_app.reconcile import reconcile
from tests.things import add_request, add_user, head_of, logged, new_premium_user, right_before, rows_of

pytestmark = pytest.mark.unwitnessed("damages are done on purpose")


@pytest.fixture
async def filled(db: Database) -> Database:
    """Users of both plans, and a decided and an open request."""
    ada = await add_user(db)
    await db.write(lambda session: session.add(new_premium_user("linus")))
    decided, _ = await add_request(db, ada), await add_request(db, ada, note="open")

    def decide(session: Session) -> None:
        session.get_one(FuelRequest, decided.id).status = FuelRequestStatus.APPROVED

    await db.write(decide)
    await move(db)
    return db


async def found(db: Database) -> set[str]:
    return {finding.what for finding in await db.read(reconcile)}


async def test_nothing_is_found_where_all_is_well(filled: Database) -> None:
    assert await filled.read(reconcile) == []


def run(statement: str) -> Callable[[Session], None]:
    def execute(session: Session) -> None:
        session.connection().execute(text(statement), execution_options=ANNOUNCED)

    return execute


BREAKS = {
    "differs": "UPDATE fuel_requests SET note = 'past the log' WHERE note = 'open'",
    "unrecorded": "DELETE FROM change_events WHERE entity_type = 'FuelRequest' AND attribute = 'litres'",
    "missing row": "DELETE FROM fuel_requests WHERE note = 'open'",
    "stuck": "UPDATE deliveries SET due_at = NULL WHERE channel = 'SMS'",
    "not owed": "DELETE FROM deliveries WHERE rule = 'fuel_requests.rules.tell_requester'",
    "owed twice": "INSERT INTO deliveries (public_id, version, channel, state, recipient_id, recipient, body, rule,"
    " change_set, cause_id, due_at, attempt_count, failure_count, created_at, updated_at)"
    " SELECT change_set, 1, channel, state, recipient_id, recipient, body, rule,"
    " change_set, cause_id, due_at, 0, 0, created_at, updated_at FROM deliveries WHERE channel = 'SMS'",
}


@pytest.mark.unwitnessed("does the damage that is to be found")
@pytest.mark.parametrize("what", BREAKS)
async def test_what_was_broken_past_the_service_is_found(filled: Database, what: str) -> None:
    await filled.write(run(BREAKS[what]))
    assert what in await found(filled)


async def test_a_message_that_nobody_sends_is_found(filled: Database) -> None:
    long_ago = f"{datetime.now(UTC) - timedelta(hours=1):%Y-%m-%d %H:%M:%S}"
    await filled.write(run(f"UPDATE deliveries SET due_at = '{long_ago}'"))
    assert await found(filled) == {"overdue"}


@pytest.mark.unwitnessed("alters the log, to have messages that are old")
async def test_after_pruning_there_is_still_nothing_to_find(filled: Database) -> None:
    def finish(session: Session) -> None:
        session.connection().execute(
            text("UPDATE deliveries SET due_at = NULL, state = 'SENT' WHERE channel = 'EMAIL'"),
            execution_options=ANNOUNCED,
        )
        session.connection().execute(text("UPDATE change_events SET new_value = 'SENT' WHERE entity_type = 'Delivery'"))
        session.connection().execute(delete(ChangeRecord.__table__).where(text("entity_type = 'Delivery'")))  # type: ignore[arg-type]

    later = datetime.now(UTC) + timedelta(days=1)
    before = len(await logged(filled))
    await filled.write(finish)
    assert 0 < await filled.write(log.prune, later) < before
    kept = await filled.write(queue.prune, later)
    assert kept == 3
    assert {row.channel.name for row in await rows_of(filled, Delivery)} == {"SMS"}
    assert await filled.read(reconcile) == []


async def test_a_check_looks_at_one_moment(postgres_url: str) -> None:
    """While others write: a row and its log belong together."""
    db = Database(postgres_url)
    request = await add_request(db, await add_user(db), note="a")

    def change(session: Session) -> None:
        found = session.get_one(FuelRequest, request.id)
        found.note = f"{found.note}b"

    def change_and_move() -> None:
        await_only(db.write(change))
        await_only(head_of(db))

    async with asyncio.timeout(20):
        with right_before(db, "SELECT change_events.entity_id, change_events.attribute", change_and_move, once=False):
            assert await db.read(reconcile) == []
    await db.close()
