"""Group commit on SQLite: units of work that wait at the same time share a transaction, and its commit.

Each runs in a savepoint of its own, one after the other, and stops where it asks for its commit. When all have come so
far the transaction is committed, once, and only then each goes on from there: to the events of its session that follow
a commit, and to its caller. Must hold: nobody is told of a commit before it has happened.

What takes the transaction away from all of them (a full disk, a constraint that is looked at in the commit) is found
out by running each again by itself. Units of work must stand that anyway: see `Database.write`.
"""

import asyncio
import contextlib
import logging
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from weakref import WeakSet

from greenlet import getcurrent, greenlet  # type: ignore[import-untyped]  # it carries no types
from sqlalchemy import URL, Connection, Engine, QueuePool, StaticPool, create_engine, event
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session

from gql_app.db.guard import ANNOUNCED, WRITER
from gql_app.db.sessions import ON_COMMIT, WriteSession, abandon

logger = logging.getLogger(__name__)

T = TypeVar("T")

MOST = 16
"""Units of work in one transaction: the first of them waits for the last, some milliseconds."""


_INSIDE = "UPDATE change_capture SET inside = ?"


class _Aborted(Exception):
    """The transaction of the whole group is gone, and this unit of work's part of it."""


class _Member:
    """What SQLAlchemy takes for a connection: all members share a real one, each has a savepoint in it."""

    def __init__(self, writer: "GroupWriter", number: int) -> None:
        self._writer = writer
        self._name = f"unit_{number}"
        self._open = False
        self._begun = False
        self._cursors: WeakSet[sqlite3.Cursor] = WeakSet()

    def cursor(self) -> sqlite3.Cursor:
        self._refuse_lost()
        cursor = self._writer.raw.cursor()
        self._cursors.add(cursor)
        return cursor

    def _close_cursors(self) -> None:
        """Must hold: a result that nobody has read to its end holds up no commit, neither of others nor its own."""
        for cursor in self._cursors:
            cursor.close()
        self._cursors.clear()

    def create_function(self, *args: Any, **kwargs: Any) -> None:
        """The real one has SQLAlchemy's functions already."""

    def begin(self, connection: Connection) -> None:
        self._open = self._writer.grouping
        if self._open:
            self._writer.raw.execute("SAVEPOINT " + self._name)
        else:
            connection.exec_driver_sql("BEGIN IMMEDIATE", execution_options=ANNOUNCED)
            self._writer.enter()
        self._begun = True

    def _refuse_lost(self) -> None:
        """SQLite ends a transaction by itself in some errors; each statement after that would be committed at once."""
        if self._begun and not self._writer.raw.in_transaction:
            raise sqlite3.OperationalError("the transaction was lost")

    def commit(self) -> None:
        """Raises _Aborted."""
        self._refuse_lost()
        self._begun = False
        self._close_cursors()
        if not self._open:
            try:
                self._writer.leave()
                return self._writer.raw.commit()
            except sqlite3.Error:
                self._writer.raw.rollback()  # SQLAlchemy takes it for ended, and SQLite may not
                raise
        self._writer.raw.execute("RELEASE " + self._name)
        self._open = False
        self._writer.wait_for_commit()

    def rollback(self) -> None:
        self._begun = False
        self._close_cursors()
        if self._open:
            self._open = False
            if self._writer.raw.in_transaction:
                self._writer.raw.execute("ROLLBACK TO " + self._name)
                self._writer.raw.execute("RELEASE " + self._name)
        elif not self._writer.grouping:
            self._writer.raw.rollback()

    def close(self) -> None:
        self.rollback()  # SQLAlchemy throws it away in the middle of a transaction


class _Unit:
    """A unit of work that waits for its turn, and then what came of it."""

    def __init__(self, work: Callable[[Session], Any], on_commit: Iterable[Callable[[], None]]) -> None:
        self.work = work
        self.on_commit = on_commit
        self.done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.result: Any = None
        self.error: BaseException | None = None
        self.rung = False

    def run(self, engine: Engine) -> None:
        self.result = self.error = None
        self.rung = False
        try:
            with WriteSession(engine, expire_on_commit=False, info={ON_COMMIT: (self._ring,)}) as session:
                try:
                    self.result = self.work(session)
                    session.commit()
                except BaseException:
                    abandon(session)
                    raise
        except BaseException as error:
            self.error = error
            if isinstance(error, StopIteration):  # no future takes it
                self.error = RuntimeError("a unit of work raised StopIteration")
                self.error.__cause__ = error

    def finish(self) -> None:
        try:
            if self.rung:
                for ring in self.on_commit:
                    ring()
        finally:
            if self.done.done():
                pass
            elif self.error is not None:
                self.done.set_exception(self.error)
            else:
                self.done.set_result(self.result)

    def _ring(self) -> None:
        self.rung = True


class GroupWriter:
    """The one who writes to a SQLite file, in a thread of its own."""

    def __init__(self, url: URL, set_up: Callable[[Engine], None], *, most: int = MOST, **options: Any) -> None:
        """``most``: units of work in one transaction; with 1 each has its own, and its own commit."""
        self._most = most
        self._real = create_engine(url, poolclass=StaticPool, hide_parameters=True, **options)
        set_up(self._real)
        self._raw: sqlite3.Connection | None = None
        # A connection for SQLAlchemy per unit of work in a group.
        self.engine = create_engine(
            url,
            creator=self._join,
            poolclass=QueuePool,
            pool_size=MOST,
            max_overflow=0,
            hide_parameters=True,
            execution_options=WRITER,
        )
        event.listen(self.engine, "begin", _begin)
        self.grouping = False
        self.says_inside = self._is_inside = False
        self._members = 0
        self._waiting: deque[_Unit] = deque()
        self._busy = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="gql_app-write")

    @property
    def raw(self) -> sqlite3.Connection:
        if self._raw is None:
            self._raw = self._real.raw_connection().driver_connection
        assert self._raw is not None
        return self._raw

    async def write(self, work: Callable[[Session], T], on_commit: Iterable[Callable[[], None]]) -> T:
        """Run it in a transaction and commit it; ``on_commit`` is called then if it has written into the change log.

        It is run again, by itself, when the transaction of its group is lost.
        """
        unit = _Unit(work, on_commit)
        self._waiting.append(unit)
        if not self._busy:
            self._start()
        result: T = await unit.done
        return result

    def enter(self) -> None:
        """A transaction has begun. Where writes from outside are noted, it says that it is none of these."""
        self._is_inside = self.says_inside
        if self._is_inside:
            self.raw.execute(_INSIDE, (1,))

    def leave(self) -> None:
        """Must hold: nothing is written between this and the commit."""
        if self._is_inside:
            self._is_inside = False
            self.raw.execute(_INSIDE, (0,))

    def close(self) -> None:
        while self._waiting:
            done = self._waiting.popleft().done
            if not done.done():
                done.set_exception(RuntimeError("the database was closed before this was begun"))
        self._thread.shutdown()
        self.engine.dispose()
        self._real.dispose()

    def wait_for_commit(self) -> None:
        """Called in a unit of work's greenlet, which goes on when the group has committed. Raises _Aborted."""
        if getcurrent().parent.switch():
            raise _Aborted

    def _start(self) -> None:
        units = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
        self._busy = True
        running = asyncio.get_running_loop().run_in_executor(self._thread, self._run, units)
        running.add_done_callback(lambda _: self._finished(units, running.exception()))

    def _finished(self, units: Sequence[_Unit], error: BaseException | None) -> None:
        self._busy = False
        for unit in units:
            unit.error = unit.error or error
            try:
                unit.finish()
            except Exception:
                logger.exception("what came of a unit of work could not be told")
        if self._waiting and not self._busy:
            self._start()

    def _run(self, units: Sequence[_Unit]) -> None:
        if len(units) == 1 or not self._together(units):
            for unit in units:
                unit.run(self.engine)

    def _together(self, units: Sequence[_Unit]) -> bool:
        """Run them in one transaction. False: nothing of it has happened."""
        try:
            self.raw.execute("BEGIN IMMEDIATE")
            self.enter()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                self.raw.rollback()
                return False  # each will be told why
            for unit in units:  # all of them have waited; one after the other they would wait for as long again
                unit.error = OperationalError("BEGIN IMMEDIATE", None, error)
            return True
        except (sqlite3.Error, DBAPIError):
            return False
        self.grouping = True
        begun: list[greenlet] = []
        for unit in units:
            begun.append(greenlet(unit.run))
            begun[-1].switch(self.engine)  # until it waits for the commit, or has failed
            if not self.raw.in_transaction:
                break
        aborted = not self._commit()
        self.grouping = False
        for each in begun:
            if not each.dead:
                each.switch(aborted)
        return not aborted

    def _commit(self) -> bool:
        if not self.raw.in_transaction:
            return False
        try:
            self.leave()
            self.raw.execute("COMMIT")
        except sqlite3.Error:
            with contextlib.suppress(sqlite3.Error):
                self.raw.rollback()
            return False
        return True

    def _join(self) -> Any:
        self._members += 1
        return _Member(self, self._members)


def _begin(connection: Connection) -> None:
    member: Any = connection.connection.driver_connection
    member.begin(connection)
