"""A PostgreSQL database for the deliveries: made for one measurement and dropped afterwards."""

import asyncio
import contextlib
import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg

from gql_app import migrations
from gql_app.application import named
from gql_app.db import Database
from gql_app.settings import DEFAULT_APP

URL = os.environ.get("GQL_APP_TEST_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/postgres")

OWED = """
INSERT INTO deliveries (public_id, channel, state, recipient, body, rule, change_set, due_at, attempt_count,
                        failure_count, created_at, updated_at, version)
SELECT gen_random_uuid(), 'SMS', 'PENDING', '+1500' || lpad(n::text, 7, '0'),
       'The status of your Fuel Request has changed to Approved.', 'benchmark', gen_random_uuid(),
       now() - interval '1 hour' + n * interval '1 millisecond', 0, 0, now(), now(), 1
FROM generate_series(1, {count}) AS n
"""
"""Every message has a recipient of its own: messages to one recipient go out one after the other."""


def run(statement: str, url: str = URL) -> Any:
    """The first value that the statement returns."""
    return asyncio.run(_run(statement, url))


async def _run(statement: str, url: str) -> Any:
    connection = await asyncpg.connect(url.replace("+asyncpg", "", 1), timeout=10)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


def is_there() -> bool:
    with contextlib.suppress(OSError, asyncpg.PostgresError, TimeoutError):
        run("SELECT 1")
        return True
    return False


@contextlib.contextmanager
def owing(count: int) -> Iterator[str]:
    """The URL of a migrated database in which so many SMS are owed, all of them due."""
    name = f"gql_app_bench_{uuid4().hex[:12]}"
    parts = urlsplit(URL)
    url = urlunsplit(("postgresql+asyncpg", parts.netloc, f"/{name}", parts.query, ""))
    run(f"CREATE DATABASE {name}")
    try:
        asyncio.run(_migrate(url))
        run(OWED.format(count=count), url)
        run("VACUUM ANALYZE deliveries", url)
        yield url
    finally:
        run(f"DROP DATABASE {name} WITH (FORCE)")


async def _migrate(url: str) -> None:
    db = Database(url)
    try:
        await migrations.upgrade(db, named(DEFAULT_APP).branches)
    finally:
        await db.close()
