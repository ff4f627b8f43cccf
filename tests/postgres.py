"""Databases of their own for tests, on a running PostgreSQL; none is left behind."""

import asyncio
import contextlib
import os
from collections.abc import Iterator

import asyncpg

import gql_app.demo.verticals  # noqa: F401  (imports all models)
from gql_app.db import Base, Database
from gql_app.testing import databases
from tests.migrating import migrate
from tests.witness.triggers import WITNESS

URL = os.environ.get("GQL_APP_TEST_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/postgres")


def run(statement: str, url: str = URL) -> None:
    asyncio.run(databases.execute(url, statement))


def is_there() -> bool:
    with contextlib.suppress(OSError, asyncpg.PostgresError, TimeoutError):
        run("SELECT 1")
        return True
    return False


async def migrated(url: str) -> None:
    db = Database(url)
    try:
        await migrate(db)
    finally:
        await db.close()


@contextlib.contextmanager
def bare() -> Iterator[str]:
    """The URL of a database without tables, which is dropped afterwards."""
    url = asyncio.run(databases.create(URL))
    try:
        yield url
    finally:
        asyncio.run(databases.drop(URL, url))


@contextlib.contextmanager
def database() -> Iterator[str]:
    """The same, migrated."""
    with bare() as url:
        asyncio.run(migrated(url))
        yield url


def empty(url: str) -> None:
    """Make it as it was when it had just been migrated and its witness set up: much quicker than another database."""
    tables = ", ".join([*(table.name for table in Base.metadata.sorted_tables), WITNESS])
    run(f"TRUNCATE {tables} RESTART IDENTITY", url.replace("+asyncpg", "", 1))
