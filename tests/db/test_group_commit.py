"""SQLite: units of work that wait together are committed together, and nobody can tell."""

import asyncio
import contextlib
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import event, func, select, text
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import Session

from gql_app.accounts.models import User
from gql_app.changes.models import ChangeRecord
from gql_app.db import ANNOUNCED, Database, WriteSession
from gql_app.db.group_commit import MOST
from gql_app.demo.projects.models import Project
from tests.fast import FAST, about_a_short_cut
from tests.ruling import service_database
from tests.things import new_user
from tests.witness.witnessed import Witnessed

Unit = Callable[[Session], Any]


class BrokenOff(BaseException):
    """What no `except Exception` sees, as SystemExit."""


@pytest.fixture
def path(sqlite_template: Path, tmp_path: Path, witnessed: Witnessed) -> Path:
    path = Path(shutil.copy(sqlite_template, tmp_path / "group.db"))
    witnessed.urls.append(f"sqlite+aiosqlite:///{path}")
    return path


@pytest.fixture
async def db(path: Path) -> AsyncIterator[Database]:
    db = service_database(f"sqlite+aiosqlite:///{path}")
    yield db
    await db.close()


@contextlib.contextmanager
def commits(db: Database) -> Iterator[list[str]]:
    """What is said to the real connection to begin, and to end, transactions."""
    said: list[str] = []
    raw = db._embedded._writer.raw  # type: ignore[union-attr]
    raw.set_trace_callback(lambda s: said.append(s) if s.startswith(("BEGIN", "COMMIT", "ROLLBACK")) else None)
    yield said
    raw.set_trace_callback(None)


async def together(db: Database, *units: Unit) -> list[Any]:
    """What came of each; behind a unit of work that holds the writer up until all of them wait."""
    held = asyncio.Event()
    loop = asyncio.get_running_loop()

    def hold(session: Session) -> None:
        asyncio.run_coroutine_threadsafe(held.wait(), loop).result()

    async with asyncio.TaskGroup() as group:
        holding = group.create_task(db.write(hold))
        await asyncio.sleep(0)
        waiting = [group.create_task(_outcome(db.write(unit))) for unit in units]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        held.set()
    assert holding.result() is None
    return [task.result() for task in waiting]


async def _outcome(writing: Any) -> Any:
    try:
        return await writing
    except (Exception, BrokenOff) as error:
        return error


def add(session: Session) -> str:
    user = new_user(uuid4().hex)
    session.add(user)
    session.flush()
    return user.username


def fail(session: Session) -> None:
    add(session)
    raise LookupError("a rule says no")


async def users(db: Database) -> int:
    return await db.read(lambda session: session.scalar(select(func.count()).select_from(User)) or 0)


async def told_of(db: Database) -> int:
    """Users that the log tells of."""
    query = select(func.count(func.distinct(ChangeRecord.entity_id))).where(ChangeRecord.entity_type == "User")
    return await db.read(lambda session: session.scalar(query) or 0)


async def test_those_who_wait_share_a_commit_and_each_has_its_result(db: Database) -> None:
    rings: list[None] = []
    db.on_commit(lambda: rings.append(None))
    with commits(db) as said:
        names = await together(db, *[add] * 5)
    assert len(set(names)) == 5
    assert said == ["BEGIN IMMEDIATE", "COMMIT"] * (1 if FAST else 5)
    assert await users(db) == await told_of(db) == 5
    assert rings


async def test_one_who_fails_takes_back_its_own_and_nothing_else(db: Database) -> None:
    def twice(session: Session) -> None:
        session.add(new_user("same"))
        session.add(new_user("same"))

    found = await together(db, add, fail, twice, add)
    assert [type(each) for each in found] == [str, LookupError, IntegrityError, str]
    assert await users(db) == await told_of(db) == 2


async def test_savepoints_of_their_own_are_theirs(db: Database) -> None:
    def half(session: Session) -> None:
        add(session)
        with pytest.raises(LookupError), session.begin_nested():
            fail(session)
        session.begin_nested()  # left open
        add(session)

    await together(db, half, fail, half)
    assert await users(db) == await told_of(db) == 4


async def test_each_sees_what_those_before_it_did(db: Database) -> None:
    def number(session: Session) -> int:
        add(session)
        return session.scalar(select(func.count()).select_from(User)) or 0

    assert await together(db, number, number, number) == [1, 2, 3]


@about_a_short_cut("group commit")
async def test_more_than_may_share_are_spread_over_several(db: Database) -> None:
    with commits(db) as said:
        await together(db, *[add] * (2 * MOST + 1))
    assert said.count("COMMIT") == 3
    assert await users(db) == 2 * MOST + 1


async def test_nobody_hears_of_a_commit_before_it_has_happened(db: Database, path: Path) -> None:
    """What follows a session's commit finds all of it in the file, with another connection."""
    found: list[int] = []

    def look(session: Session) -> None:
        with contextlib.closing(sqlite3.connect(path)) as other:
            found.append(other.execute("SELECT count(*) FROM users").fetchone()[0])

    event.listen(WriteSession, "after_commit", look)
    try:
        await together(db, add, add, add)
    finally:
        event.remove(WriteSession, "after_commit", look)
    assert found[-3:] == ([3, 3, 3] if FAST else [1, 2, 3])


async def test_a_commit_that_fails_is_the_fault_of_one_and_the_others_are_done_by_themselves(db: Database) -> None:
    runs = count()

    def leave_a_dangling_reference(session: Session) -> None:
        next(runs)
        session.execute(text("PRAGMA defer_foreign_keys=ON"))
        session.add(Project(owner_id=999, name="nobody's"))

    found = await together(db, add, leave_a_dangling_reference, add)
    assert isinstance(found[1], IntegrityError | OperationalError)
    assert isinstance(found[0], str)
    assert isinstance(found[2], str)
    assert next(runs) == (2 if FAST else 1)  # in a group it is run once more, by itself
    assert await users(db) == await told_of(db) == 2


async def test_one_who_rolls_back_the_transaction_of_all_is_alone_with_it(db: Database) -> None:
    """As SQLite does by itself when the disk is full."""

    def spoil(session: Session) -> None:
        add(session)
        session.execute(text("ROLLBACK"), execution_options=ANNOUNCED)
        raise OperationalError("INSERT", {}, sqlite3.OperationalError("database or disk is full"))

    found = await together(db, add, spoil, add)
    assert [type(each) for each in found] == [str, OperationalError, str]
    assert await users(db) == await told_of(db) == 2
    await db.write(add)
    assert await users(db) == 3


@about_a_short_cut("group commit")
async def test_one_who_goes_on_after_the_transaction_was_lost_is_stopped(db: Database) -> None:
    """Each of its statements would be committed at once, and what is written about them."""
    runs = count()

    def go_on(session: Session) -> None:
        add(session)
        if next(runs) in (0, 2):
            session.execute(text("ROLLBACK"), execution_options=ANNOUNCED)
        add(session)

    assert [type(each) for each in await together(db, add, go_on, add)] == [str, type(None), str]
    assert await users(db) == await told_of(db) == 4
    with pytest.raises(OperationalError, match="lost"):
        await db.write(go_on)
    assert await users(db) == await told_of(db) == 4


async def test_one_who_is_broken_off_in_the_middle_of_a_statement_takes_back_its_own(db: Database) -> None:
    """SQLAlchemy throws its connection away, in the middle of a transaction."""

    def break_off(connection: object, cursor: object, statement: str, *rest: object) -> None:
        if "break off" in statement:
            raise BrokenOff

    def broken_off(session: Session) -> None:
        add(session)
        session.execute(text("SELECT 'break off'"))

    for engine in db.sync_engines:
        event.listen(engine, "before_cursor_execute", break_off)
    found = await together(db, add, broken_off, add)
    assert [type(each) for each in found] == [str, BrokenOff, str]
    assert await users(db) == await told_of(db) == 2
    with pytest.raises(BrokenOff):
        await db.write(broken_off)
    await db.write(add)
    assert await users(db) == await told_of(db) == 3


async def test_an_error_that_no_future_takes_is_told_and_holds_up_nobody(db: Database) -> None:
    def stop(session: Session) -> None:
        next(iter(()))

    found = await together(db, add, stop, add)
    assert [type(each) for each in found] == [str, RuntimeError, str]
    await db.write(add)
    assert await users(db) == 3


async def test_a_listener_that_fails_holds_up_nobody(db: Database, caplog: pytest.LogCaptureFixture) -> None:
    def fall_over() -> None:
        raise LookupError("nobody is there")

    db.on_commit(fall_over)
    assert [type(each) for each in await together(db, add, add)] == [str, str]
    assert "nobody is there" in caplog.text


async def test_what_comes_from_outside_is_saved_also_when_all_are_run_again(db: Database) -> None:
    mine = new_user("outside")

    def leave_a_dangling_reference(session: Session) -> None:
        session.execute(text("PRAGMA defer_foreign_keys=ON"))
        session.add(Project(owner_id=999, name="nobody's"))

    await together(db, add, lambda session: session.add(mine), leave_a_dangling_reference)
    assert await users(db) == await told_of(db) == 2


@about_a_short_cut("group commit")
async def test_a_database_that_another_process_holds_is_waited_for_once_by_all(db: Database, path: Path) -> None:
    await db.write(add)
    raw = db._embedded._writer.raw  # type: ignore[union-attr]
    raw.execute("PRAGMA busy_timeout=20")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other, commits(db) as said:
        other.execute("BEGIN IMMEDIATE")
        found = await asyncio.gather(*(_outcome(db.write(add)) for _ in range(1 + MOST)))
        other.execute("ROLLBACK")
    assert [type(each) for each in found] == [OperationalError] * (1 + MOST)
    assert said.count("BEGIN IMMEDIATE") == 2  # of the first, and of those who came meanwhile
    await db.write(add)
    assert await users(db) == 2


async def test_those_who_wait_when_the_database_is_closed_are_told(path: Path) -> None:
    db = service_database(f"sqlite+aiosqlite:///{path}")
    writing = [asyncio.create_task(_outcome(db.write(add))) for _ in range(4)]
    for _ in range(3):
        await asyncio.sleep(0)  # the first has begun
    await db.close()
    async with asyncio.timeout(10):
        found = [await each for each in writing]
    assert [type(each) for each in found] == [str] + [RuntimeError] * 3


async def test_a_result_that_nobody_reads_holds_up_no_commit(db: Database) -> None:
    await together(db, add, add)
    kept: list[object] = []

    def leave_unread(session: Session) -> None:
        kept.append(session.connection().execute(text("SELECT * FROM users")))
        add(session)

    def raise_unread(session: Session) -> None:
        kept.append(session.connection().execute(text("SELECT * FROM users")))
        raise ValueError

    found = await together(db, leave_unread, raise_unread, add)
    assert [type(each) for each in found] == [type(None), ValueError, str]
    assert isinstance(await db.write(add), str)
