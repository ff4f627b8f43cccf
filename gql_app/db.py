"""The database: the models' base, how a transaction is opened, and what differs between SQLite and PostgreSQL.

A unit of work is a plain function whose first argument is a `Session`; `Database.read` and `Database.write` run it
in one transaction of its own. The function never commits and may run more than once: when another transaction got in
its way (a stale version, a deadlock, a serialization failure) it is rolled back and tried again from the start.
"""

import asyncio
import contextlib
import random
import sqlite3
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any, Concatenate, NoReturn, ParamSpec, TypeVar

from asyncpg import PostgresError
from sqlalchemy import BigInteger, DateTime, Dialect, Integer, MetaData, TypeDecorator, event, text
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.orm.exc import StaleDataError

from gql_app.errors import ConfigurationError, Conflict

P = ParamSpec("P")
T = TypeVar("T")

BUSY_TIMEOUT = 10_000
"""Milliseconds that SQLite waits for another process's write lock."""
ATTEMPTS = 10
LONGEST_PAUSE = 0.5
"""Seconds before another attempt; the first pauses are shorter."""
RETRIED_SQLSTATES = {"40001", "40P01"}  # serialization_failure, deadlock_detected (PostgreSQL, appendix A)

ON_COMMIT = "gql_app_on_commit"
"""Where a write session's ``info`` holds what is to be called after a commit that wrote into the change log."""

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class UtcDateTime(TypeDecorator[datetime]):
    """A timezone-aware moment in UTC; naive values are refused. SQLite stores it without the offset."""

    impl = DateTime(timezone=True)
    cache_ok = True

    @property
    def python_type(self) -> type[datetime]:
        return datetime

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment needs its timezone: use datetime.now(UTC)")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


BigId = BigInteger().with_variant(Integer, "sqlite")
"""A 64-bit integer key (SQLite counts up by itself only for a column called INTEGER)."""


class Base(DeclarativeBase):
    """The base of all models."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {datetime: UtcDateTime()}  # noqa: RUF012  (SQLAlchemy reads it from the class)


class Timestamped:
    """``created_at`` and ``updated_at``, kept by one session event; an update without a net change touches neither."""

    created_at: Mapped[datetime] = mapped_column(sort_order=900)
    updated_at: Mapped[datetime] = mapped_column(sort_order=901)


class ReadSession(Session):
    """What `Database.read` hands out. Nothing that it changed would be recorded, so it refuses to flush."""


class WriteSession(Session):
    """What `Database.write` hands out. Its events keep the timestamps and record what changed (see `changes`)."""

    def bulk_save_objects(self, *args: object, **kwargs: object) -> NoReturn:
        raise TypeError("the bulk_… methods fire no events, nothing would be recorded: use session.add_all")

    bulk_insert_mappings = bulk_save_objects
    bulk_update_mappings = bulk_save_objects


@event.listens_for(ReadSession, "before_flush", propagate=True)
def _refuse_flush(session: Session, flush_context: object, instances: object) -> None:
    raise RuntimeError("this unit of work was opened by Database.read; use Database.write to change something")


@event.listens_for(WriteSession, "before_flush", propagate=True)
def _keep_timestamps(session: Session, flush_context: object, instances: object) -> None:
    now = datetime.now(UTC)
    for obj in session.new:
        if isinstance(obj, Timestamped):
            obj.created_at = obj.created_at or now
            obj.updated_at = obj.updated_at or now
    for obj in session.dirty:
        if isinstance(obj, Timestamped) and session.is_modified(obj):
            obj.updated_at = now


class Database:
    """One engine, and the two ways to run a unit of work on it."""

    def __init__(self, url: str, *, pool_size: int = 8) -> None:
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = _engine(self.url.render_as_string(hide_password=False), self.is_sqlite, pool_size)
        self._writers = self.engine.execution_options(gql_app_write=True)
        # SQLite has one writer at a time: to queue for it here is fair and costs nothing, to queue inside
        # SQLite is a sleep with growing pauses. PostgreSQL needs no such queue.
        self._turn = asyncio.Semaphore(1 if self.is_sqlite else pool_size)
        self._on_commit: list[Callable[[], None]] = []

    async def close(self) -> None:
        await self.engine.dispose()

    async def reach(self) -> None:
        """Ask the database whether it is there.

        Raises:
            ConfigurationError: it cannot be opened, does not answer, or does not let us in.
        """
        try:
            if self.is_sqlite:
                # Not by the engine: the thread of a connection that could not be opened outlives the event loop.
                await asyncio.to_thread(_open_sqlite, str(self.url.database))
            else:
                async with self.engine.connect() as connection:
                    await connection.execute(text("SELECT 1"))
        except (DBAPIError, PostgresError, sqlite3.Error, OSError) as error:
            reason = getattr(error, "orig", None) or error
            raise ConfigurationError(f"The database of GQL_APP_DATABASE_URL ({self.url!r}) fails: {reason}") from error

    def on_commit(self, ring: Callable[[], None]) -> None:
        """Call ``ring`` after every commit here that wrote into the change log; it must not raise."""
        self._on_commit.append(ring)

    @contextlib.asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A bare connection in a write transaction, for migrations: nothing is recorded."""
        async with self._turn, self._writers.begin() as connection:
            yield connection

    async def read(self, work: Callable[Concatenate[Session, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``work(session, *args)`` on one snapshot of the database; it must not change anything."""
        async with AsyncSession(self.engine, sync_session_class=ReadSession, expire_on_commit=False) as session:
            return await session.run_sync(work, *args, **kwargs)

    async def write(
        self,
        work: Callable[Concatenate[Session, P], T],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run ``work(session, *args)`` in one transaction and commit it; on any exception all of it is rolled back.

        Raises Conflict when others got in the way at each of ten attempts.

        It goes on when the caller is cancelled: whether it committed is never left open.
        """
        task = asyncio.ensure_future(self._write(work, *args, **kwargs))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait([task])
            raise

    async def _write(self, work: Callable[Concatenate[Session, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with self._turn, self._write_session() as session:
                    result = await session.run_sync(work, *args, **kwargs)
                    # Not session.begin(): that would commit around a savepoint that was left open, and
                    # what is written right before the commit would be missing.
                    await session.commit()
                    return result
            except (StaleDataError, DBAPIError) as error:
                if not _worth_retrying(error):
                    raise
                if attempt == ATTEMPTS:
                    raise Conflict("Too many want to change the same thing at the same time; try again.") from error
            await asyncio.sleep(random.uniform(0, min(0.01 * 2**attempt, LONGEST_PAUSE)))  # noqa: S311  (jitter, not a secret)
        raise AssertionError("unreachable")

    def _write_session(self) -> AsyncSession:
        info = {ON_COMMIT: self._on_commit}
        return AsyncSession(self._writers, sync_session_class=WriteSession, expire_on_commit=False, info=info)


def _worth_retrying(error: Exception) -> bool:
    if isinstance(error, StaleDataError):
        return True
    sqlstate = getattr(getattr(error, "orig", None), "sqlstate", None)
    return sqlstate in RETRIED_SQLSTATES


def _engine(url: str, is_sqlite: bool, pool_size: int) -> AsyncEngine:
    if not is_sqlite:
        return create_async_engine(url, pool_size=pool_size, max_overflow=0, pool_pre_ping=True, hide_parameters=True)
    engine = create_async_engine(
        url, pool_size=pool_size, max_overflow=0, hide_parameters=True, connect_args={"isolation_level": None}
    )
    event.listen(engine.sync_engine, "connect", _set_up_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _open_sqlite(path: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("SELECT count(*) FROM sqlite_master")


def _set_up_sqlite(connection: Any, record: object) -> None:
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=NORMAL",  # in WAL mode a crash of the process loses nothing, a power cut the last commits
        "foreign_keys=ON",
        f"busy_timeout={BUSY_TIMEOUT}",
    ):
        cursor.execute("PRAGMA " + pragma)
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A write transaction takes the lock at its start: a lock taken half-way fails when another got in between.
    write = connection.get_execution_options().get("gql_app_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
