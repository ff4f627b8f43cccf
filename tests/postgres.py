"""Databases of their own for tests, on a running PostgreSQL; none is left behind."""

import asyncio
import contextlib
import os
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg

from gql_app import migrations
from gql_app.db import Database

URL = os.environ.get("GQL_APP_TEST_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/postgres")


def url_of(name: str) -> str:
    """The URL of another database of the same server."""
    parts = urlsplit(URL)
    return urlunsplit(("postgresql+asyncpg", parts.netloc, f"/{name}", parts.query, ""))


async def _run(statement: str) -> None:
    connection = await asyncpg.connect(URL, timeout=5)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def run(statement: str) -> None:
    """On a thread's own event loop: fixtures are used from within a running one."""
    asyncio.run(_run(statement))


def is_there() -> bool:
    with contextlib.suppress(OSError, asyncpg.PostgresError, TimeoutError):
        run("SELECT 1")
        return True
    return False


async def migrated(url: str) -> None:
    db = Database(url)
    try:
        await migrations.upgrade(db)
    finally:
        await db.close()


@contextlib.contextmanager
def template() -> Iterator[str]:
    """A migrated, empty database to clone."""
    name = f"gql_app_template_{uuid4().hex[:12]}"
    run(f"CREATE DATABASE {name}")
    try:
        asyncio.run(migrated(url_of(name)))
        yield name
    finally:
        run(f"DROP DATABASE {name} WITH (FORCE)")


@contextlib.contextmanager
def database(template: str) -> Iterator[str]:
    """A clone of the template, for one test."""
    name = f"gql_app_test_{uuid4().hex[:12]}"
    run(f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield url_of(name)
    finally:
        run(f"DROP DATABASE {name} WITH (FORCE)")
