"""Runs programs on a database, and says what is wrong afterwards."""

import asyncio
import contextlib
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from gql_app.changes.sequencer import move
from gql_app.db import Base as ServiceBase
from gql_app.db import Database
from gql_app.errors import Conflict
from gql_app.outside import switch
from gql_app.outside.models import ChangeImage
from gql_app.reconcile import reconcile
from tests.changes.property.acting import SPAN, Oops, populate
from tests.changes.property.cancelling import Cancelled
from tests.changes.property.known import may_conflict
from tests.changes.property.models import MODELS, Base
from tests.changes.property.program import Program, Unit
from tests.changes.property.rules import RULES
from tests.ruling import besides
from tests.things import rows_of
from tests.witness import triggers
from tests.witness.triggers import WITNESS
from tests.witness.witnessed import disagreements

AT_ONCE = 6
"""Programs that run at the same time."""
DEEPEST = 8
"""Frames of an error that are shown."""
IGNORED = {"wrong owner"}
"""Findings of `check`: these owners change on purpose."""


@dataclass
class Report:
    """What became of the units of work, and the sentences about what is wrong."""

    units: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


@contextlib.asynccontextmanager
async def site(db: Database, *, captured: bool = False) -> AsyncIterator[Database]:
    """The database with the tables, triggers and rules of the programs.

    With ``captured`` writes from outside are noted, too: there are none, so nothing may be recorded twice.
    """
    async with db.writing() as connection:
        await connection.run_sync(Base.metadata.create_all)
        await connection.run_sync(triggers.install, MODELS)
    ruled = besides(db)
    for rule in RULES:
        ruled(rule)
    if captured:
        await switch.install(db, MODELS, pause=0)
    try:
        yield db
    finally:
        if captured:
            await switch.remove(db, MODELS)
        async with db.writing() as connection:
            await connection.run_sync(Base.metadata.drop_all)


async def run(db: Database, programs: Sequence[Program], *, at_once: int = AT_ONCE) -> Report:
    """Run programs, side by side, and hold the log against the rows. Leaves the database empty."""
    report = Report()
    await db.write(populate, [(number + 1) * SPAN for number in range(len(programs))])
    turn = asyncio.Semaphore(at_once)

    async def one(number: int, program: Program) -> None:
        async with turn:
            await _program(db, program, (number + 1) * SPAN, report)

    await asyncio.gather(*(one(number, program) for number, program in enumerate(programs)))
    await db.write(lambda session: None)  # behind what was cancelled and still runs in SQLite's thread
    report.wrong += await asyncio.to_thread(disagreements, db.url.render_as_string(hide_password=False), MODELS)
    report.wrong += [f"noted: {each}" for each in await rows_of(db, ChangeImage)]
    await move(db)
    findings = await db.read(lambda session: reconcile(session, MODELS))
    report.wrong += [f"check: {finding}" for finding in findings if finding.what not in IGNORED]
    await _empty(db)
    return report


async def _program(db: Database, program: Program, base: int, report: Report) -> None:
    for units in program:
        ends = await asyncio.gather(*(_unit(db, unit, base) for unit in units))
        if ends == ["conflict"] and not may_conflict(units):
            ends = ["broken: a unit of work that ran alone ended in a conflict"]
        report.units.update(end.partition(":")[0] for end in ends)
        report.wrong += [end for end in ends if end.startswith("broken")]


async def _unit(db: Database, unit: Unit, base: int) -> str:
    if unit.hard and unit.cancelled is not None:
        task = asyncio.ensure_future(_until_cancelled(db._write(unit.work, base), unit.cancelled))
    else:
        task = asyncio.ensure_future(db.write(unit.work, base))
        if unit.cancelled is not None:
            for _ in range(unit.cancelled):
                await asyncio.sleep(0)
            task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return "cancelled"
    except Exception as error:
        return _what_became(error)
    return "committed"


async def _until_cancelled(work: Coroutine[Any, Any, None], nth: int) -> None:
    await Cancelled(work, nth)


def _what_became(error: Exception) -> str:
    if isinstance(error, Oops):
        return "failed"
    if isinstance(error, Conflict):
        return "conflict"
    if isinstance(error, SQLAlchemyError):
        return "refused by the database"
    if isinstance(error, TypeError | RuntimeError) and _is_raised_by_us(error):
        return "refused"
    if isinstance(error, NotImplementedError) and not _is_raised_by_us(error):
        return "refused by the database"  # SQLAlchemy, for a dialect
    return "broken: " + "".join(traceback.format_exception(error)[-DEEPEST:])


def _is_raised_by_us(error: Exception) -> bool:
    """Whether a statement `raise` of the product's has raised it: a refusal, not an accident."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return "/gql_app/" in last.filename and (last.line or "").startswith("raise ")


async def _empty(db: Database) -> None:
    tables = [*reversed(Base.metadata.sorted_tables), *reversed(ServiceBase.metadata.sorted_tables)]
    kept = {"gql_app_versions", "change_log_state", "tracked_since", "change_capture", "change_images"}
    names = [table.name for table in tables if table.name not in kept] + [WITNESS, "change_images"]
    async with db.writing() as connection:
        if db.is_sqlite:
            await connection.execute(text("PRAGMA defer_foreign_keys = ON"))
            for name in names:
                await connection.execute(text(f"DELETE FROM {name}"))
        else:
            await connection.execute(text(f"TRUNCATE {', '.join(names)}"))
