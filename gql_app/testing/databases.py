"""Databases of a test's own."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg


@contextlib.asynccontextmanager
async def empty_database(place: Path | str) -> AsyncIterator[str]:
    """The URL of a new database without tables: a SQLite file in this folder, or one of the PostgreSQL server at this
    URL, which is dropped afterwards.

    Raises:
        OSError, asyncpg.PostgresError: the server is not there, or lets nobody make a database.
    """
    if isinstance(place, Path):
        yield f"sqlite+aiosqlite:///{place}/{_a_name()}.db"
        return
    url = await create(place)
    try:
        yield url
    finally:
        await drop(place, url)


def _a_name() -> str:
    return f"gql_app_test_{uuid4().hex[:12]}"


async def create(server: str) -> str:
    """The URL of a new database of this server."""
    name, parts = _a_name(), urlsplit(server)
    await execute(server, f"CREATE DATABASE {name}")
    return urlunsplit(("postgresql+asyncpg", parts.netloc, f"/{name}", parts.query, ""))


async def drop(server: str, url: str) -> None:
    await execute(server, f"DROP DATABASE {urlsplit(url).path[1:]} WITH (FORCE)")


async def execute(url: str, statement: str) -> None:
    """Run a statement past everything of ours, as psql would."""
    connection = await asyncpg.connect(url.replace("+asyncpg", "", 1), timeout=5)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
