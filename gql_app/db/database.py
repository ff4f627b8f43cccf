"""How a transaction is opened and retried, on either database."""

import asyncio
import contextlib
import random
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar, overload

from sqlalchemy import Connection, Engine, Executable, Row, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

from gql_app.db import postgres, sqlite
from gql_app.db.asking import NOTHING, rows_of
from gql_app.db.failures import CutOff, is_outage, is_worth_retrying
from gql_app.db.guard import ANNOUNCED, MIGRATION, READER, WRITER, guard
from gql_app.db.sessions import ON_COMMIT, ReadSession, WriteSession, abandon
from gql_app.db.sqlite import Busy, Embedded
from gql_app.errors import ConfigurationError, Conflict, OutcomeUnknown

P = ParamSpec("P")
T = TypeVar("T")

ATTEMPTS = 10
LONGEST_PAUSE = 0.5
"""Seconds before another attempt; the first pauses are shorter."""


class Database:
    """The ways to run a unit of work.

    On PostgreSQL a unit of work runs in SQLAlchemy's asyncio session. On SQLite, where nothing is waited for but the
    disk, all of it runs in one hop to a thread: a hop for each statement costs more than the statements. There is one
    writer at a time anyway, so those who wait for it share a hop and a commit (`GroupWriter`).
    """

    def __init__(self, url: str, *, pool_size: int = 8, patient: bool = False, fast: bool = True) -> None:
        """``patient``: no statement timeout of the database applies, for what an operator has called by hand.

        Unless it is to be ``fast``, each unit of work and each look-up has a transaction of its own, in a thread or
        on the wire.
        """
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        made = sqlite.make_engine if self.is_sqlite else postgres.make_engine
        self.engine = made(self.url.render_as_string(hide_password=False), pool_size)
        """For bare connections; units of work have their own way to the database."""
        guard.watch(self.engine.sync_engine)
        self._embedded = Embedded(self.url, pool_size, fast=fast) if self.is_sqlite else None
        self._writers = self.engine.execution_options(**WRITER)
        if not self.is_sqlite:
            event.listen(self._writers.sync_engine, "begin", self._enter)
        self._migrations = self.engine.execution_options(**MIGRATION)
        # Not a setting of the session: a pooler between us and PostgreSQL would leave it to the next one.
        self._readers = self.engine.execution_options(postgresql_readonly=True, **READER)
        self._autocommit = self.engine.execution_options(isolation_level="AUTOCOMMIT", **READER)
        self._fast = fast
        self._patient = patient and not self.is_sqlite
        self._turn = asyncio.Semaphore(pool_size)  # to queue for a connection here is fair
        self._on_commit: list[Callable[[], None]] = []
        self._says_inside = False
        self.session_info: dict[str, Any] = {}
        """What the session of every unit of work finds in its ``info``."""

    @property
    def says_inside(self) -> bool:
        """Whether transactions of units of work say that they are the service's own (see `outside`)."""
        return self._says_inside

    @says_inside.setter
    def says_inside(self, value: bool) -> None:
        self._says_inside = value
        if self._embedded is not None:
            self._embedded.say_inside(value)

    @property
    def sync_engines(self) -> Sequence[Engine]:
        """The engines whose events tell of every statement of a unit of work."""
        return (self.engine.sync_engine,) if self._embedded is None else self._embedded.engines

    async def close(self) -> None:
        if self._embedded is not None:
            self._embedded.close()
        await self.engine.dispose()

    async def reach(self) -> None:
        """Ask the database whether it is there.

        Raises:
            ConfigurationError: it cannot be opened, does not answer, or does not let us in.
        """
        try:
            if self._embedded is not None:
                await self._embedded.reach()
            else:
                async with self.engine.connect() as connection:
                    await connection.execute(text("SELECT 1"))
        except (DBAPIError, sqlite3.Error, OSError) as error:
            reason = getattr(error, "orig", None) or error
            raise ConfigurationError(f"The database of GQL_APP_DATABASE_URL ({self.url!r}) fails: {reason}") from error

    def on_commit(self, ring: Callable[[], None]) -> None:
        """Call ``ring`` after every commit here that wrote into the change log; it must not raise."""
        self._on_commit.append(ring)

    @contextlib.asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A bare connection in a write transaction: nothing is recorded."""
        async with self._migrations.begin() as connection:
            yield connection

    @contextlib.asynccontextmanager
    async def migrating(self) -> AsyncIterator[AsyncConnection]:
        """The same for migrations.

        SQLite alters a table by dropping it, which would take the rows that refer to it along. So it does not enforce
        foreign keys meanwhile; before the commit it is asked whether all hold.

        Raises:
            ConfigurationError: some do not, and did before.
        """
        if not self.is_sqlite:
            async with self.writing() as connection:
                yield connection
            return
        async with self._migrations.connect() as connection:
            raw: Any = (await connection.get_raw_connection()).driver_connection
            await raw.execute("PRAGMA foreign_keys=OFF")  # it has no effect within a transaction
            try:
                async with connection.begin():
                    before = set(await _dangling(connection))
                    yield connection
                    if broken := sorted(set(await _dangling(connection)) - before):
                        raise ConfigurationError(
                            f"After the migrations rows of {broken[0][0]} refer to rows of {broken[0][1]} that are not "
                            "there. Nothing was changed: mend the script."
                        )
            finally:
                await raw.execute("PRAGMA foreign_keys=ON")

    @overload
    async def read(self, work: Callable[Concatenate[Session, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
    @overload
    async def read(self, work: Executable, parameters: Mapping[str, Any] = ..., /) -> Sequence[Row[Any]]: ...
    async def read(self, work: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Run ``work(session, *args)`` on one snapshot of the database; it must not change anything. Or the rows of one
        statement.

        It may take as long as it takes: on SQLite it runs in a thread. When the connection breaks it is run once more,
        on another one.
        """
        if isinstance(work, Executable):
            if self._embedded is None and self._fast:
                return await self._on_another_connection(self._rows, work, *args)
            return await self.read(rows_of, work, *args)
        if self._embedded is not None:
            return await self._embedded.read(work, *args, **kwargs)
        return await self._on_another_connection(self._read, work, *args, **kwargs)

    @overload
    async def look_up(self, work: Callable[Concatenate[Session, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
    @overload
    async def look_up(self, work: Executable, parameters: Mapping[str, Any] = ..., /) -> Sequence[Row[Any]]: ...
    async def look_up(self, work: Any, /, *args: Any, **kwargs: Any) -> Any:
        """The same for what takes well under a millisecond: a few rows, by keys that have an index.

        On SQLite it runs right here, in the event loop, where it takes less than handing it to a thread.
        """
        if self._embedded is not None and self._fast:
            with contextlib.suppress(Busy):
                if isinstance(work, Executable):
                    return self._embedded.rows(work, *args)
                return self._embedded.look_up(work, *args, **kwargs)
        return await self.read(work, *args, **kwargs)

    async def _on_another_connection(self, read: Callable[..., Awaitable[T]], *args: Any, **kwargs: Any) -> T:
        """Once more, if the connection breaks: nothing is changed by reading."""
        try:
            return await read(*args, **kwargs)
        except DBAPIError as error:
            if not is_outage(error):
                raise
        return await read(*args, **kwargs)

    async def _read(self, work: Callable[Concatenate[Session, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        async with AsyncSession(self._readers, sync_session_class=ReadSession, expire_on_commit=False) as session:
            await self._take_the_time(session)
            return await session.run_sync(work, *args, **kwargs)

    async def _rows(self, statement: Executable, parameters: Mapping[str, Any] = NOTHING) -> Sequence[Row[Any]]:
        async with self._autocommit.connect() as connection:
            return (await connection.execute(statement, parameters)).all()

    async def script(self, statements: str) -> str:
        """Several statements in one message and one transaction (PostgreSQL); returns the last one's command tag."""
        async with self._autocommit.connect() as connection:
            raw: Any = (await connection.get_raw_connection()).driver_connection
            with postgres.as_sqlalchemy_would(raw, statements):
                return str(await raw.execute(statements))

    async def write(
        self,
        work: Callable[Concatenate[Session, P], T],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run ``work(session, *args)`` in one transaction and commit it; on any exception all of it is rolled back.

        Raises Conflict when others got in the way at each of ten attempts, OutcomeUnknown when the connection breaks in
        the commit. When it breaks before that, it is run once more, on another one. So ``work`` may run several times:
        what it does besides the session must stand that.

        It goes on when the caller is cancelled: whether it committed is never left open.
        """

        def informed(session: Session) -> T:
            session.info.update(self.session_info)
            return work(session, *args, **kwargs)

        task = asyncio.ensure_future(self._write(informed))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            while not task.done():  # however often it is cancelled
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait([task])
            if not task.cancelled():
                task.exception()  # nobody else asks for it
            raise

    async def _write(self, work: Callable[Concatenate[Session, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                if self._embedded is not None:  # it has a queue of its own
                    return await self._embedded.write(self._on_commit, work, *args, **kwargs)
                async with self._turn:
                    return await self._write_once(work, *args, **kwargs)
            except CutOff as cut:
                if attempt > 1:
                    raise cut.error from None
                continue
            except (StaleDataError, DBAPIError) as error:
                if not is_worth_retrying(error):
                    raise
                if attempt == ATTEMPTS:
                    raise Conflict("Too many want to change the same thing at the same time; try again.") from error
            await asyncio.sleep(random.uniform(0, min(0.01 * 2**attempt, LONGEST_PAUSE)))  # noqa: S311  (jitter, not a secret)
        raise AssertionError("unreachable")

    async def _write_once(self, work: Callable[Concatenate[Session, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        info = {ON_COMMIT: self._on_commit}
        async with AsyncSession(
            self._writers, sync_session_class=WriteSession, expire_on_commit=False, info=info
        ) as session:
            try:
                try:
                    await self._take_the_time(session)
                    result = await session.run_sync(work, *args, **kwargs)
                except DBAPIError as error:
                    if is_outage(error):
                        raise CutOff(error) from error
                    raise
                # Not session.begin(): that would commit around a savepoint that was left open, and
                # what is written right before the commit would be missing.
                try:
                    await session.commit()
                except DBAPIError as error:
                    if not is_outage(error):
                        raise
                    if error.statement is None:  # it was the COMMIT itself
                        raise OutcomeUnknown from error
                    raise CutOff(error) from error
            except BaseException:
                await session.run_sync(abandon)
                raise
            return result

    def _enter(self, connection: Connection) -> None:
        """Of each transaction, also of one that begins after a commit within a unit of work."""
        if self._says_inside:
            connection.execute(postgres.INSIDE, execution_options=ANNOUNCED)

    async def _take_the_time(self, session: AsyncSession) -> None:
        if self._patient:
            await session.execute(postgres.NO_STATEMENT_TIMEOUT, execution_options=ANNOUNCED)


async def _dangling(connection: AsyncConnection) -> list[tuple[str, str, int]]:
    """Which table's rows refer to which table's that are not there, and how many."""
    rows = (await connection.exec_driver_sql("PRAGMA foreign_key_check")).all()
    found = Counter((str(row[0]), str(row._mapping["parent"])) for row in rows)
    return [(table, parent, count) for (table, parent), count in found.items()]
