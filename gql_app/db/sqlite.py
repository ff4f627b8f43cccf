"""SQLite, embedded in this process: units of work run in threads of ours, each in one hop."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import URL, Connection, Engine, Executable, Row, StaticPool, create_engine, event
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.orm import Session

from gql_app.db.group_commit import MOST, GroupWriter
from gql_app.db.guard import ANNOUNCED, MIGRATION, READER, WRITER, guard
from gql_app.db.sessions import ReadSession

P = ParamSpec("P")
T = TypeVar("T")

BUSY_TIMEOUT = 10_000
"""Milliseconds that a connection waits for another process's lock."""


def make_engine(url: str, pool_size: int) -> AsyncEngine:
    """An engine for bare connections."""
    engine = create_async_engine(
        url, pool_size=pool_size, max_overflow=0, hide_parameters=True, connect_args={"isolation_level": None}
    )
    set_up(engine.sync_engine)
    return engine


class Busy(Exception):
    """Somebody has locked the whole file; this is no moment to wait for it."""


class Embedded:
    """One SQLite file: threads for units of work, one of them for the writer, and a connection of the event loop."""

    def __init__(self, url: URL, readers: int, *, fast: bool) -> None:
        """Unless it is to be ``fast``, no two units of work share a commit."""
        self._path = str(url.database)
        url = url.set(drivername="sqlite+pysqlite")
        # Several threads use a connection, but one after the other: the pool sees to that.
        connecting: dict[str, Any] = {"isolation_level": None, "check_same_thread": False}
        options: dict[str, Any] = {
            "hide_parameters": True,
            "connect_args": connecting,
            "execution_options": READER,
        }
        self._engine = create_engine(url, pool_size=readers, max_overflow=0, **options)
        self._loops = create_engine(url, poolclass=StaticPool, **options)
        self._bare = create_engine(url, poolclass=StaticPool, **options)
        self._connection: Connection | None = None
        self._writer = GroupWriter(
            url, partial(set_up, transactions=False), most=MOST if fast else 1, connect_args=connecting
        )
        self.engines = (self._engine, self._loops, self._bare, self._writer.engine)
        set_up(self._engine, query_only=True)
        set_up(self._loops, busy_timeout=0, query_only=True)
        set_up(self._bare, busy_timeout=0, transactions=False, query_only=True)
        for engine in self.engines:
            guard.watch(engine)
        self._readers = ThreadPoolExecutor(readers, thread_name_prefix="gql_app-read")

    def say_inside(self, value: bool) -> None:
        """Have write transactions say that they are the service's own."""
        self._writer.says_inside = value

    async def reach(self) -> None:
        """Raises sqlite3.Error when the file cannot be opened or is no database."""
        await asyncio.get_running_loop().run_in_executor(self._readers, _open, self._path)

    def close(self) -> None:
        self._readers.shutdown()
        self._writer.close()
        if self._connection is not None:
            self._connection.close()
        for engine in self.engines:
            engine.dispose()

    async def read(self, work: Callable[Concatenate[Session, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        unit = partial(self._read, self._engine, work, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._readers, unit)

    def look_up(self, work: Callable[Concatenate[Session, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Read in this very thread. Raises Busy: a reader of a WAL waits for nobody, except in rare moments."""
        with _never_waiting():
            return self._read(self._loops, work, *args, **kwargs)

    def rows(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> Sequence[Row[Any]]:
        """The rows of one statement, in this very thread. Raises Busy."""
        with _never_waiting():
            self._connection = self._connection or self._bare.connect()
            return self._connection.execute(statement, parameters).all()

    def _read(
        self, engine: Engine, work: Callable[Concatenate[Session, P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        with ReadSession(engine, expire_on_commit=False) as session:
            return work(session, *args, **kwargs)

    async def write(
        self,
        on_commit: Iterable[Callable[[], None]],
        work: Callable[Concatenate[Session, P], T],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        return await self._writer.write(lambda session: work(session, *args, **kwargs), on_commit)


@contextlib.contextmanager
def _never_waiting() -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        if getattr(error.orig, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise Busy from error
        raise


def _open(path: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("SELECT count(*) FROM sqlite_master")


def set_up(
    engine: Engine, *, busy_timeout: int = BUSY_TIMEOUT, transactions: bool = True, query_only: bool = False
) -> None:
    """Have every connection of this engine work as we need it.

    Without ``transactions`` each statement is alone; with ``query_only`` SQLite refuses to write.
    """

    def connected(connection: Any, record: object) -> None:
        cursor = connection.cursor()
        for pragma in (
            f"busy_timeout={busy_timeout}",
            "journal_mode=WAL",
            "wal_autocheckpoint=4000",  # pages; a commit that has to move fewer of them costs twice the others
            "synchronous=NORMAL",  # in WAL mode a crash of the process loses nothing, a power cut the last commits
            "foreign_keys=ON",
            f"query_only={int(query_only)}",  # the last: WAL mode is written into the file
        ):
            cursor.execute("PRAGMA " + pragma)
        cursor.close()

    event.listen(engine, "connect", connected)
    if transactions:
        event.listen(engine, "begin", _begin)


def _begin(connection: Connection) -> None:
    # A write transaction takes the lock at its start: a lock taken half-way fails when another got in between.
    access = connection.get_execution_options().get("gql_app_access")
    writes = access in (WRITER["gql_app_access"], MIGRATION["gql_app_access"])
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN", execution_options=ANNOUNCED)
