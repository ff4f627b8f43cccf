"""Databases of the service, as of now and of earlier versions."""

from gql_app import migrations
from gql_app.application import Application
from gql_app.changes.baseline import note_what_is_tracked
from gql_app.commands.maintenance import write_out
from gql_app.db import Database
from gql_app.demo.verticals import DEMO
from gql_app.migrations import Branch, before

SERVICE = Application(DEMO)


async def migrate(db: Database) -> None:
    """What `gql-app migrate` does."""
    await migrations.upgrade(db, SERVICE.branches)
    await note_what_is_tracked(db, SERVICE.models)


async def make_of(db: Database, revision: str) -> None:
    """Make an empty database one of the time when all tables had one history."""
    async with db.writing() as connection:
        await connection.run_sync(before.bring_to, revision)


async def back(db: Database, branch: Branch, revision: str) -> None:
    """What `gql-app migrate --back` does."""
    await write_out(db, SERVICE)
    await migrations.take_back(db, branch, revision)
