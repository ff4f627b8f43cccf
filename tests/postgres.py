"""Databases of their own for tests, on a running PostgreSQL; none is left behind."""

import asyncio
import contextlib
import os
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg

import gql_app.demo.verticals  # noqa: F401  (imports all models)
from gql_app.db import Base, Database
from tests.migrating import migrate
from tests.witness.triggers import WITNESS

URL = os.environ.get("GQL_APP_TEST_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/postgres")


def url_of(name: str) -> str:
    """The URL of another database of the same server."""
    parts = urlsplit(URL)
    return urlunsplit(("postgresql+asyncpg", parts.netloc, f"/{name}", parts.query, ""))


async def _run(statement: str, url: str) -> None:
    connection = await asyncpg.connect(url, timeout=5)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def run(statement: str, url: str = URL) -> None:
    asyncio.run(_run(statement, url))


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
    name = f"gql_app_test_{uuid4().hex[:12]}"
    run(f"CREATE DATABASE {name}")
    try:
        yield url_of(name)
    finally:
        run(f"DROP DATABASE {name} WITH (FORCE)")


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
