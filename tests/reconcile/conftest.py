"""Databases in which a bit of everything has happened: filled once, and left as they are."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from gql_app.db import Database
from tests import postgres
from tests.conftest import require
from tests.reconcile.filled import fill
from tests.ruling import service_database


async def _fill(url: str) -> None:
    db = service_database(url)
    await fill(db)
    await db.close()


@pytest.fixture(scope="session")
def filled_sqlite(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("filled") / "filled.db"
    shutil.copy(sqlite_template, path)
    url = f"sqlite+aiosqlite:///{path}"
    asyncio.run(_fill(url))
    return url


@pytest.fixture(scope="session")
def filled_postgres() -> Iterator[str]:
    require("PostgreSQL", postgres.is_there(), f"no PostgreSQL at {postgres.URL} (GQL_APP_TEST_POSTGRES_URL)")
    with postgres.database() as url:
        asyncio.run(_fill(url))
        yield url


@pytest.fixture
def filled_url(backend: str, request: pytest.FixtureRequest) -> str:
    """The URL of a filled database: what a test does to it has to be rolled back."""
    return str(request.getfixturevalue(f"filled_{backend}"))


@pytest.fixture
def bare_url(backend: str, tmp_path: Path) -> Iterator[str]:
    """A database without tables and without the triggers of `tests.witness`, which would be in a migration's way."""
    if backend == "sqlite":
        yield f"sqlite+aiosqlite:///{tmp_path}/bare.db"
        return
    require("PostgreSQL", postgres.is_there(), f"no PostgreSQL at {postgres.URL} (GQL_APP_TEST_POSTGRES_URL)")
    with postgres.bare() as url:
        yield url


@pytest.fixture
async def bare(bare_url: str) -> AsyncIterator[Database]:
    db = service_database(bare_url)
    yield db
    await db.close()
