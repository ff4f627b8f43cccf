"""Commands and servers on a PostgreSQL with a DBA's timeouts and isolation level, and while others hold its locks."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from gql_app import migrations
from gql_app.changes.sequencer import LOCK
from tests.commands.conftest import Run
from tests.commands.test_maintenance import UP_TO_DATE, add
from tests.crash.process import ServiceProcess
from tests.dba import another_session, strict_database, waiting
from tests.people import log_in, submit
from tests.ruling import service_database

SLOW = """
CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(1); RETURN NULL; END $$;
CREATE TRIGGER slow BEFORE DELETE ON change_events FOR EACH STATEMENT EXECUTE FUNCTION slowly()
"""
SETTINGS = "statement_timeout = '500ms'", "lock_timeout = '300ms'", "default_transaction_isolation = 'serializable'"
PASSWORD = b"correct-horse-battery\n"


@pytest.fixture
def strict_url() -> Iterator[str]:
    with strict_database(*SETTINGS) as url:
        yield url


@pytest.fixture
def base(strict_url: str) -> dict[str, str]:
    return {
        "DATABASE_URL": strict_url,
        "BROADCAST_URL": strict_url.replace("+asyncpg", "", 1),
        "BCRYPT_COST": "4",
        "POLL_INTERVAL_MS": "50",
    }


@pytest.fixture
async def other(strict_url: str) -> AsyncIterator[asyncpg.Connection]:
    async with another_session(strict_url) as session:
        yield session


async def test_prune_takes_as_long_as_it_takes(run: Run, other: asyncpg.Connection) -> None:
    await add(run, "ada")
    await other.execute("UPDATE change_events SET occurred_at = now() - interval '30 days'")
    await other.execute(SLOW)
    events = await other.fetchval("SELECT count(*) FROM change_events")
    assert events
    said = (await run("prune", "--older-than-days", "29")).succeeded()
    assert said == f"{events} events and 0 messages forgotten.\n"


async def test_migrate_waits_for_another_one_and_is_then_done(run: Run, other: asyncpg.Connection) -> None:
    await other.execute(f"SELECT pg_advisory_lock({migrations.LOCK})")
    migrating = asyncio.ensure_future(run("migrate"))
    await waiting(other, longer_than="0.8 seconds")
    await other.execute(f"SELECT pg_advisory_unlock({migrations.LOCK})")
    assert (await migrating).succeeded() == UP_TO_DATE


async def test_migrate_does_not_hold_up_others_for_a_table(
    run: Run, strict_url: str, other: asyncpg.Connection
) -> None:
    db = service_database(strict_url)
    try:
        await migrations.take_back(db, migrations.BEFORE, "0007")
    finally:
        await db.close()
    async with other.transaction():
        await other.execute("LOCK TABLE sessions IN ACCESS SHARE MODE")
        (await run("migrate")).refused("Nothing was changed", "lock_timeout")
    assert (await run("migrate")).succeeded() == UP_TO_DATE


async def test_commands_do_their_work_while_the_sequencers_lock_is_held(run: Run, other: asyncpg.Connection) -> None:
    await other.execute(f"SELECT pg_advisory_lock({LOCK})")
    await add(run, "ada")
    (await run("prune", "--older-than-days", "29")).succeeded()
    assert await other.fetchval("SELECT count(*) FROM change_outbox")
    await other.execute(f"SELECT pg_advisory_unlock({LOCK})")
    await add(run, "linus")
    assert not await other.fetchval("SELECT count(*) FROM change_outbox")


async def test_a_server_starts_and_works_while_the_sequencers_lock_is_held(
    run: Run, base: dict[str, str], other: asyncpg.Connection, tmp_path: Path
) -> None:
    await other.execute(f"SELECT pg_advisory_lock({LOCK})")
    await add(run, "ada")
    async with ServiceProcess(tmp_path, base, "serve", "--port", "0") as service:
        url = await service.url()
        await submit(await log_in(url, "ada", PASSWORD.decode().strip()))
        await service.line("another session has held the sequencer's lock")
        await other.execute(f"SELECT pg_advisory_unlock({LOCK})")
        async with asyncio.timeout(20):
            while await other.fetchval("SELECT count(*) FROM change_outbox"):  # noqa: ASYNC110  (it is told by nobody)
                await asyncio.sleep(0.01)
        assert "Traceback" not in service.output


async def test_a_worker_starts_while_the_sequencers_lock_is_held(
    base: dict[str, str], other: asyncpg.Connection, tmp_path: Path
) -> None:
    await other.execute(f"SELECT pg_advisory_lock({LOCK})")
    async with ServiceProcess(tmp_path, base, "worker") as worker:
        await worker.line("gql_app delivers messages")
        assert "Traceback" not in worker.output


async def test_a_command_says_that_the_database_went_away(run: Run, strict_url: str, other: asyncpg.Connection) -> None:
    await other.execute(f"ALTER DATABASE {strict_url.rpartition('/')[2]} SET lock_timeout = 0")
    async with other.transaction():
        await other.execute("LOCK TABLE users")
        command = ("user", "add", "--username", "ada", "--email", "ada@example.test")
        (await run(*command, stdin=PASSWORD)).refused("The database went away")
