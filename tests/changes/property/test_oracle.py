"""The judges of random programs notice what a wrong log says: an entry that is missing, altered, or too much."""

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from gql_app.changes.sequencer import move
from gql_app.db import Database
from gql_app.reconcile import reconcile
from tests.changes.property.acting import Act, Oops, populate
from tests.changes.property.frames import Caught, Fail, Faulty, Nested
from tests.changes.property.generator import program as program_of
from tests.changes.property.models import MODELS, Ship
from tests.changes.property.objects import Assign, Delete, Flush
from tests.changes.property.program import Program, Unit
from tests.changes.property.running import run, site
from tests.changes.property.shrink import shrunk
from tests.witness.witnessed import disagreements

pytestmark = pytest.mark.unwitnessed("these tests damage the log on purpose")

DAMAGES = {
    "deleted": "DELETE FROM change_events WHERE position = (SELECT max(position) FROM change_events)",
    "altered": "UPDATE change_events SET new_value = 'other' WHERE attribute = 'name' AND new_value = 'b'",
    "old value altered": "UPDATE change_events SET old_value = 'other' WHERE attribute = 'name' AND new_value = 'b'",
    "another owner": "UPDATE change_events SET owner_id = 77 WHERE attribute = 'name' AND new_value = 'b'",
}


def rename(session: Session) -> None:
    Assign("Ship", 1, {"name": "b"}).run(Act(session, 100))


async def sentences(db: Database) -> list[str]:
    url = db.url.render_as_string(hide_password=False)
    return await asyncio.to_thread(disagreements, url, MODELS)


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
async def test_a_damaged_log_is_noticed(db: Database, damage: str) -> None:
    async with site(db):
        await db.write(populate, [100])
        await db.write(rename)
        await move(db)
        assert await sentences(db) == []
        async with db.writing() as connection:
            await connection.execute(text(damage))
        assert await sentences(db)


async def test_a_change_past_the_log_is_noticed_by_both_judges(db: Database) -> None:
    async with site(db):
        await db.write(populate, [100])
        async with db.writing() as connection:
            await connection.execute(text("UPDATE prop_ships SET title = 'unseen' WHERE id = 101"))
        await db.write(rename)
        await move(db)
        assert any("was UPDATED: name changed from 'a' to" in sentence for sentence in await sentences(db))
        assert "broken chain" in [each.what for each in await db.read(lambda session: reconcile(session, MODELS))]


async def test_an_accident_in_a_unit_of_work_is_no_refusal(db: Database) -> None:
    async with site(db):
        report = await run(db, [((Unit((Delete("Nothing", 1),)),),)])
    assert report.units == {"broken": 1}
    assert "KeyError" in report.wrong[0]


async def test_a_program_runs_as_it_says(db: Database) -> None:
    """What is caught goes on, what fails is rolled back, and a fault hits the statement that it counts to."""
    renames = Assign("Ship", 1, {"name": "b"})
    fault = Faulty((renames, Flush()), nth=2)
    async with site(db):
        await db.write(populate, [100])

        def work(session: Session) -> None:
            it = Act(session, 100)
            with pytest.raises(Oops):
                fault.run(it)
            session.rollback()
            Caught((Fail(),)).run(it)
            Nested((renames, Flush()), "rollback").run(it)
            assert session.get_one(Ship, 101).name == "a"

        await db.write(work)
        assert await sentences(db) == []


async def test_a_failing_program_is_made_small() -> None:
    wanted = Delete("Seal", 1)

    async def fails(program: Program) -> bool:
        return repr(wanted) in repr(program)

    long = (*program_of(1), (Unit((Flush(), Nested((Flush(), wanted)))), Unit((Flush(),))), *program_of(2))
    assert await shrunk(long, fails, 2_000) == ((Unit((wanted,)),),)
