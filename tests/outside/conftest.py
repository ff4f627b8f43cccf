"""Databases whose triggers note what is written from outside, and somebody outside."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from typing import Any

import asyncpg
import pytest

from gql_app.changes.models import ChangeRecord
from gql_app.changes.sequencer import move
from gql_app.changes.tracking import tracked_models
from gql_app.db import Database
from gql_app.outside import switch
from gql_app.reconcile import reconcile
from tests.migrating import SERVICE
from tests.things import rows_of
from tests.witness import harbour
from tests.witness.triggers import asyncpg_url, sqlite_path


class Outsider:
    """Another program on the same database. Each call is a transaction."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self.url = db.url.render_as_string(hide_password=False)

    async def run(self, *statements: str) -> None:
        if self._db.is_sqlite:
            await asyncio.to_thread(self._run, statements)
            return
        connection = await asyncpg.connect(asyncpg_url(self.url.replace("+asyncpg", "")))
        try:
            async with connection.transaction():
                for each in statements:
                    await connection.execute(each)
        finally:
            await connection.close()

    def _run(self, statements: Sequence[str]) -> None:
        connection = sqlite3.connect(sqlite_path(self.url), isolation_level=None, timeout=30)
        try:
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("BEGIN IMMEDIATE")
            for each in statements:
                connection.execute(each)
            connection.execute("COMMIT")
        finally:
            connection.close()

    def id(self, public_id: Any) -> str:
        """A public id as this database writes it."""
        return f"'{public_id.hex}'" if self._db.is_sqlite else f"'{public_id}'"


class Log:
    """The change log of one database, with what came from outside."""

    def __init__(self, db: Database, models: Sequence[Any]) -> None:
        self.db = db
        self.models = models

    async def entries(self) -> Sequence[ChangeRecord]:
        """All of them, once what waits is taken in."""
        await switch.drain(self.db, self.models)
        await move(self.db)
        return await rows_of(self.db, ChangeRecord)

    async def told(self, after: int = 0) -> list[tuple[str, str, str | None, str | None, str | None]]:
        """Kind, entity type, attribute, old and new value of each entry behind so many."""
        return [
            (each.kind.name, each.entity_type, each.attribute, each.old_value, each.new_value)
            for each in (await self.entries())[after:]
        ]

    async def is_right(self) -> None:
        """Chains and rows fit together."""
        await self.entries()
        findings = await self.db.read(reconcile, self.models)
        assert not findings, "\n".join(map(str, findings))


@pytest.fixture
async def captured(db: Database) -> AsyncIterator[Database]:
    await switch.install(db, SERVICE.models, pause=0)
    await switch.notice(db, SERVICE.models)
    yield db
    await switch.remove(db, SERVICE.models)  # other tests use the same database


@pytest.fixture
def outsider(db: Database) -> Outsider:
    return Outsider(db)


@pytest.fixture
def log(db: Database) -> Log:
    return Log(db, SERVICE.models)


KINDS = [each for each in tracked_models() if issubclass(each, harbour.Base)]
"""Models of the tests': a hierarchy of tables, and columns of all types."""


@pytest.fixture
async def vessels(db: Database) -> AsyncIterator[Log]:
    """A database with the tables of these models, too, all of them watched."""
    async with db.writing() as connection:
        await connection.run_sync(harbour.Base.metadata.create_all)
    models = [*SERVICE.models, *KINDS]
    await switch.install(db, models, pause=0)
    await switch.notice(db, models)
    yield Log(db, models)
    await switch.remove(db, models)
    async with db.writing() as connection:
        await connection.run_sync(harbour.Base.metadata.drop_all)
