"""A PostgreSQL whose DBA has set timeouts and another isolation level, and the raw driver's errors."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from gql_app.changes.sequencer import LOCK, OutboxLocked, move
from gql_app.db import Database, is_locked, is_outage
from gql_app.errors import Conflict
from tests import postgres
from tests.dba import another_session, strict_database, waiting
from tests.fast import FAST
from tests.things import add_request, add_user, logged

TIMEOUTS = "statement_timeout = '250ms'", "lock_timeout = '100ms'"


@pytest.fixture
def isolation() -> str:
    return "serializable"


@pytest.fixture
def strict_url(isolation: str) -> Iterator[str]:
    """A database with short timeouts, and this isolation level as its default."""
    with strict_database(*TIMEOUTS, f"default_transaction_isolation = '{isolation}'") as url:
        yield url


@pytest.fixture
async def strict(strict_url: str) -> AsyncIterator[Database]:
    db = Database(strict_url, fast=FAST)
    yield db
    await db.close()


@pytest.fixture
async def other(strict_url: str) -> AsyncIterator[asyncpg.Connection]:
    async with another_session(strict_url) as session:
        yield session


def level(session: Session) -> str:
    return str(session.execute(text("SHOW transaction_isolation")).scalar_one())


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read", "serializable"])
async def test_our_transactions_are_read_committed_whatever_the_default_is(strict: Database) -> None:
    assert await strict.read(level) == await strict.write(level) == "read committed"


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read", "serializable"])
async def test_a_move_sees_what_was_committed_while_it_waited(strict: Database, other: asyncpg.Connection) -> None:
    """It waits for longer than the database's timeouts."""
    ada = await add_user(strict)
    await other.execute(f"SELECT pg_advisory_lock({LOCK})")
    moving = asyncio.create_task(move(strict))
    await waiting(other, longer_than="500 milliseconds")
    request = await add_request(strict, ada)
    await other.execute(f"SELECT pg_advisory_unlock({LOCK})")
    assert await moving
    assert not await move(strict), "the request was left behind"
    assert request.public_id in {event.entity_id for event in await logged(strict)}


async def test_a_move_does_not_wait_for_ever(strict: Database, other: asyncpg.Connection) -> None:
    await add_user(strict)
    await other.execute(f"SELECT pg_advisory_lock({LOCK})")
    with pytest.raises(OutboxLocked):
        await move(strict, patience=0.05)
    await other.execute(f"SELECT pg_advisory_unlock({LOCK})")
    transaction = other.transaction()
    await transaction.start()
    await other.execute("LOCK TABLE change_outbox")
    with pytest.raises(OutboxLocked):
        await move(strict, expected=True, patience=0.05)
    await transaction.rollback()
    assert await move(strict)


async def test_who_waits_too_long_for_others_is_told_to_try_again(strict: Database, other: asyncpg.Connection) -> None:
    ada = await add_user(strict)
    transaction = other.transaction()
    await transaction.start()
    await other.execute("SELECT 1 FROM users FOR UPDATE")

    def rename(session: Session) -> None:
        session.execute(text("SET LOCAL lock_timeout = '1ms'"))
        session.get_one(type(ada), ada.id).email = "countess@example.test"

    with pytest.raises(Conflict):
        await strict.write(rename)
    await transaction.rollback()
    await strict.write(rename)


async def test_what_an_operator_has_called_takes_as_long_as_it_takes(strict: Database, strict_url: str) -> None:
    def slowly(session: Session) -> None:
        session.execute(text("SELECT pg_sleep(0.5)"))

    for way in (strict.read, strict.write):
        with pytest.raises(DBAPIError) as caught:
            await way(slowly)
        assert is_outage(caught.value)
    patient = Database(strict_url, patient=True, fast=FAST)
    try:
        await patient.read(slowly)
        await patient.write(slowly)
    finally:
        await patient.close()


async def test_a_script_fails_as_other_statements_do(strict: Database, other: asyncpg.Connection) -> None:
    with pytest.raises(DBAPIError) as wrong:
        await strict.script("SELECT 1; SELECT 1/0")
    assert not is_outage(wrong.value)
    await other.execute("BEGIN; LOCK TABLE users")
    with pytest.raises(DBAPIError) as locked:
        await strict.script("SELECT 1; SELECT count(*) FROM users")
    assert is_locked(locked.value)
    await other.execute("ROLLBACK")
    with pytest.raises(DBAPIError) as cut:
        await strict.script("SELECT 1; SELECT pg_terminate_backend(pg_backend_pid())")
    assert is_outage(cut.value)
    assert cut.value.connection_invalidated
    assert await strict.script("SELECT 1; SELECT 2") == "SELECT 1"


@pytest.mark.parametrize(
    ("url", "passes"),
    [
        ("postgresql+asyncpg://nobody@127.0.0.1:1/nothing", True),
        ("postgresql+asyncpg://{user}@{place}/there_is_no_such_database", False),
    ],
)
async def test_a_connection_that_cannot_be_made_is_an_error_like_others(
    url: str, passes: bool, postgres_url: str
) -> None:
    parts = urlsplit(postgres_url)
    db = Database(url.format(user=parts.username, place=parts.netloc.rpartition("@")[2]), fast=FAST)
    try:
        for way in (db.read, db.write):
            with pytest.raises(DBAPIError) as caught:
                await way(level)
            assert is_outage(caught.value) is passes
        with pytest.raises(DBAPIError):
            await db.script("SELECT 1")
    finally:
        await db.close()


@pytest.fixture
def nobody(strict_url: str) -> Iterator[str]:
    """The URL of somebody who may have no connection: they are all taken."""
    role, place = f"crowd_{strict_url.rpartition('_')[2]}", urlsplit(strict_url)
    postgres.run(f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 0")
    yield place._replace(netloc=f"{role}@{place.netloc.rpartition('@')[2]}").geturl()
    postgres.run(f"DROP ROLE {role}")


async def test_a_server_whose_connections_are_all_taken_is_away(nobody: str) -> None:
    db = Database(nobody, fast=FAST)
    try:
        with pytest.raises(DBAPIError) as caught:
            await db.read(level)
        assert is_outage(caught.value)
    finally:
        await db.close()
