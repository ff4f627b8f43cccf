"""`gql-app check` finds nothing in a database of any older version that was upgraded, or taken back and up again."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import text

from gql_app import migrations
from gql_app.changes.baseline import note_what_is_tracked
from gql_app.db import Database
from tests import postgres
from tests.conftest import require
from tests.reconcile.after import nothing_to_find
from tests.reconcile.filled import fill
from tests.reconcile.older import REVISIONS, Older


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
    db = Database(bare_url)
    yield db
    await db.close()


async def fill_as(db: Database, revision: str) -> None:
    """Make it a database of this revision in which something has happened."""
    await migrations.upgrade(db, revision)
    async with db.writing() as connection:
        for statement in Older(revision, db.is_sqlite).statements():
            await connection.execute(text(statement.replace(":", r"\:")))


async def start(db: Database) -> None:
    """What `gql-app migrate` and the first process of this version do."""
    await migrations.upgrade(db)
    await note_what_is_tracked(db)


@pytest.mark.parametrize("revision", REVISIONS)
async def test_nothing_is_found_after_an_upgrade(bare: Database, bare_url: str, revision: str) -> None:
    """Nor when it is taken back to where it was, and up once more."""
    await fill_as(bare, revision)
    await start(bare)
    await nothing_to_find(bare_url)
    await migrations.downgrade(bare, revision)
    await start(bare)
    await nothing_to_find(bare_url)


@pytest.mark.parametrize("revision", REVISIONS[:-1])
async def test_nothing_is_found_in_what_an_older_version_writes_after_going_back(
    bare: Database, bare_url: str, revision: str
) -> None:
    await start(bare)
    await migrations.downgrade(bare, revision)
    await fill_as(bare, revision)
    await start(bare)
    await nothing_to_find(bare_url)


async def test_nothing_is_found_after_going_back_and_up_again(bare: Database, bare_url: str) -> None:
    """One version further back each time. What an older version has no tables for is gone, and the log says so."""
    await start(bare)
    await fill(bare)
    for revision in reversed(REVISIONS[:-1]):
        await migrations.downgrade(bare, revision)
        await start(bare)
        await nothing_to_find(bare_url)


def test_each_version_is_tried() -> None:
    scripts = ScriptDirectory.from_config(migrations.configuration()).walk_revisions()
    assert tuple(sorted(script.revision for script in scripts)) == REVISIONS
