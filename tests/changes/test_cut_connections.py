"""A connection to PostgreSQL that breaks: what had not come to its commit is done again, and nothing else."""

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import asyncpg
import pytest
from sqlalchemy import Connection, event, func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from gql_app.accounts.models import User
from gql_app.changes.models import ChangeOutbox
from gql_app.db import Database, WriteSession, is_outage
from gql_app.errors import OutcomeUnknown
from tests.ruling import service_database
from tests.things import new_user

HANG_UP = text("SELECT pg_terminate_backend(pg_backend_pid())")
ALL_HANG_UP = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
CONNECTIONS = 3


@pytest.fixture
async def db(postgres_url: str) -> AsyncIterator[Database]:
    db = service_database(postgres_url)
    yield db
    await db.close()


class Adding:
    """A unit of work that adds a user; its connection breaks in the middle of the first ``breaks`` runs."""

    def __init__(self, breaks: int = 0) -> None:
        self.runs = 0
        self._breaks = breaks

    def __call__(self, session: Session) -> None:
        self.runs += 1
        session.add(new_user())
        session.flush()
        if self.runs <= self._breaks:
            session.execute(HANG_UP)


@contextlib.contextmanager
def listening(target: Any, name: str, listener: Callable[..., None]) -> Iterator[None]:
    event.listen(target, name, listener)
    try:
        yield
    finally:
        event.remove(target, name, listener)


async def counts(db: Database) -> tuple[int | None, int | None]:
    """Users, and rows of the log that tell of them."""
    users = select(func.count()).select_from(User)
    told = select(func.count(func.distinct(ChangeOutbox.change_set)))
    return await db.read(lambda session: (session.scalar(users), session.scalar(told)))


async def test_nobody_notices_that_the_server_hung_up_on_idle_connections(db: Database, postgres_url: str) -> None:
    at_once = asyncio.Barrier(CONNECTIONS)

    async def hold() -> None:
        async with db.engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
            await at_once.wait()

    await asyncio.gather(*(hold() for _ in range(CONNECTIONS)))
    other = await asyncpg.connect(postgres_url.replace("+asyncpg", "", 1))
    try:
        assert await other.fetchval(ALL_HANG_UP) >= CONNECTIONS  # and the one by which `gql-app check` looks afterwards
    finally:
        await other.close()
    await asyncio.gather(*(db.read(lambda session: session.scalar(select(1))) for _ in range(CONNECTIONS)))
    adding = Adding()
    await db.write(adding)
    assert await counts(db) == (1, 1)


async def test_a_unit_of_work_that_is_cut_off_is_run_once_more(db: Database) -> None:
    adding = Adding(breaks=1)
    await db.write(adding)
    assert adding.runs == 2
    assert await counts(db) == (1, 1)


async def test_a_unit_of_work_that_is_cut_off_again_fails_as_an_outage(db: Database) -> None:
    adding = Adding(breaks=9)
    with pytest.raises(DBAPIError) as failure:
        await db.write(adding)
    assert is_outage(failure.value)
    assert adding.runs == 2
    assert await counts(db) == (0, 0)


async def test_what_breaks_in_its_commit_is_not_run_again(db: Database) -> None:
    """It may have been committed: only the caller can know whether once more is right."""

    def hang_up(connection: Connection) -> None:
        connection.connection.driver_connection.terminate()  # type: ignore[union-attr]

    adding = Adding()
    with listening(db.engine.sync_engine, "commit", hang_up), pytest.raises(OutcomeUnknown) as failure:
        await db.write(adding)
    assert is_outage(failure.value)
    assert adding.runs == 1


async def test_what_breaks_while_its_log_is_written_is_run_once_more(db: Database) -> None:
    """Nothing has been committed yet."""
    adding = Adding()

    def hang_up(session: Session) -> None:
        if adding.runs == 1:
            session.execute(HANG_UP)

    with listening(WriteSession, "before_commit", hang_up):
        await db.write(adding)
    assert adding.runs == 2
    assert await counts(db) == (1, 1)


@pytest.mark.skipif(sys.platform != "linux", reason="what is asked for has these names on Linux")
async def test_a_server_that_vanishes_without_a_word_is_noticed_within_half_a_minute(db: Database) -> None:
    async with db.engine.connect() as connection:
        raw: Any = (await connection.get_raw_connection()).driver_connection
        plugged = raw._transport.get_extra_info("socket")
        if plugged.family == socket.AF_UNIX:
            pytest.skip("this PostgreSQL is reached without TCP")
        assert plugged.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert plugged.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000
