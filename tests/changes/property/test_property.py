"""Random units of work are recorded or refused, on both databases: triggers saw what the log says.

The programs are the same each time. `make property` runs others, and finds the smallest program that fails.
"""

import pytest

from gql_app.db import Database
from tests.changes.property.frames import Nested
from tests.changes.property.generator import program as program_of
from tests.changes.property.objects import Assign, Delete, Flush
from tests.changes.property.program import Program, Unit, written
from tests.changes.property.running import run, site
from tests.changes.property.statements import Criteria, Update

PROGRAMS = 1_000
"""On each database."""
BATCH = 50
SHOWN = 10

pytestmark = [
    pytest.mark.unwitnessed("each batch of programs is held against the triggers by the test itself"),
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning"),  # about what programs do on purpose
]


@pytest.mark.parametrize("first", range(0, PROGRAMS, BATCH))
async def test_random_units_of_work_are_recorded_or_refused(db: Database, first: int) -> None:
    seeds = range(first, first + BATCH)
    async with site(db):
        report = await run(db, [program_of(seed) for seed in seeds])
    hint = f"python -m tests.changes.property --seed {first} finds the program; then --only --seed …"
    assert not report.wrong, "\n".join([*report.wrong[:SHOWN], hint])
    assert report.units["committed"] > BATCH / 2, "programs that commit nothing try nothing"


async def test_with_writes_from_outside_noted_they_are_recorded_once(db: Database) -> None:
    async with site(db, captured=True):
        report = await run(db, [program_of(seed) for seed in range(2 * BATCH)])
    assert not report.wrong, "\n".join(report.wrong[:SHOWN])
    assert report.units["committed"] > BATCH / 2, "programs that commit nothing try nothing"


STEPS = (
    Assign("Ship", 1, {"name": "b"}),
    Nested((Delete("Crate", 1), Flush()), "commit"),
    Update("Ship", {"mood": "WILD"}, Criteria("join", (1, 2))),
)
AWAITS = 60
"""More than these steps have, on either database."""


@pytest.mark.parametrize("hard", [True, False])
async def test_a_unit_of_work_that_is_cancelled_at_any_await_is_recorded_or_nothing(db: Database, hard: bool) -> None:
    programs: list[Program] = [((Unit(STEPS, cancelled=nth, hard=hard),),) for nth in range(AWAITS)]
    async with site(db):
        report = await run(db, programs, at_once=1)
    assert not report.wrong, "\n".join(report.wrong[:SHOWN])
    assert report.units.keys() <= {"committed", "cancelled"}
    assert not hard or report.units["committed"], "the last was to come to its end"


def test_a_seed_makes_the_same_program_each_time() -> None:
    assert program_of(7) == program_of(7) != program_of(8)
    assert "Unit(steps=" in written(program_of(7))
