"""What random programs have found, each made small. It is mended, and stays so."""

from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from gql_app.db import ANNOUNCED, Database
from gql_app.errors import Conflict
from tests.changes.property.acting import SPAN, Act, Step, populate
from tests.changes.property.frames import Faulty, Nested, Steps
from tests.changes.property.models import Seal
from tests.changes.property.objects import Assign, Flush
from tests.changes.property.program import Unit
from tests.changes.property.running import run, site
from tests.changes.property.statements import Update

pytestmark = pytest.mark.unwitnessed("the test itself holds it against the triggers")


async def test_a_flush_and_the_rollback_of_its_savepoint_both_fail(db: Database) -> None:
    steps: Steps = (Assign("Crate", 1, {"label": "b"}), Faulty((Flush(),)))
    async with site(db):
        report = await run(db, [((Unit((Nested((Faulty(steps, nth=3, after=False),), "error"),)),),)])
    assert report.wrong == []


@pytest.mark.parametrize("later", [Assign("Ship", 4, {"captain": 1}), Update("Ship", {"captain": 1})], ids=repr)
async def test_an_owner_that_changes_after_what_is_recorded_is_the_owner_of_the_event(
    db: Database, later: Step
) -> None:
    async with site(db):
        report = await run(db, [((Unit((Assign("Ship", 4, {"name": "b"}), Flush(), later)),),)])
    assert report.wrong == []


async def test_a_row_that_another_has_changed_is_not_said_deleted(db: Database) -> None:
    """SQLAlchemy 2.1.9 deletes versioned rows one by one on asyncpg, and compares the count for a single one only."""

    def delete_two(session: Session) -> None:
        seals = [Act(session, SPAN).find("Seal", n) for n in (1, 2)]
        table: Any = Seal.__table__
        # As another transaction that commits in between.
        session.connection().execute(update(table).values(version=table.c.version + 1), execution_options=ANNOUNCED)
        for seal in seals:
            session.delete(seal)

    async with site(db):
        await db.write(populate, [SPAN])
        with pytest.raises(Conflict):
            await db.write(delete_two)
