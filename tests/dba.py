"""Databases of PostgreSQL with settings of a DBA's own, and somebody else's session in them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import asyncpg

from tests import postgres
from tests.conftest import require


@contextlib.contextmanager
def strict_database(*settings: str) -> Iterator[str]:
    """The URL of a migrated database with these settings (``name = 'value'``) for every session."""
    require("PostgreSQL", postgres.is_there(), f"no PostgreSQL at {postgres.URL} (GQL_APP_TEST_POSTGRES_URL)")
    with postgres.database() as url:
        for each in settings:
            postgres.run(f"ALTER DATABASE {url.rpartition('/')[2]} SET {each}")
        yield url


@contextlib.asynccontextmanager
async def another_session(url: str) -> AsyncIterator[asyncpg.Connection]:
    """Somebody else's, which waits for as long as it takes."""
    connection = await asyncpg.connect(url.replace("+asyncpg", "", 1))
    await connection.execute("SET statement_timeout = 0; SET lock_timeout = 0")
    try:
        yield connection
    finally:
        await connection.close()


async def waiting(session: asyncpg.Connection, *, longer_than: str) -> None:
    """Until somebody has waited for a lock for longer than this, as PostgreSQL writes intervals."""
    query = "SELECT count(*) FROM pg_locks WHERE NOT granted AND clock_timestamp() - waitstart > $1::text::interval"
    async with asyncio.timeout(30):
        while not await session.fetchval(query, longer_than):  # noqa: ASYNC110  (it is told by nobody)
            await asyncio.sleep(0.01)
