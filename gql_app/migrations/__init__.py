"""Alembic migrations, run by `gql-app migrate` (and by `serve` for an embedded SQLite)."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, func, select, text

from gql_app.db import Database
from gql_app.errors import ConfigurationError

LOCK = 0x67716C5F6D6967
"""PostgreSQL's advisory lock of those who migrate: two at once would get in each other's way."""

_WAIT_FOR_OTHERS = (
    text("SET LOCAL statement_timeout = 0"),  # a migration takes as long as it takes
    text("SET LOCAL lock_timeout = 0"),
    select(func.pg_advisory_xact_lock(LOCK)),
    # Locks of tables keep the database's own timeout: a migration that waits for one blocks everybody behind it.
    text("SET LOCAL lock_timeout TO DEFAULT"),
)


def configuration(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    return config


async def upgrade(db: Database, revision: str = "head") -> None:
    """Bring the tables up to date, in one transaction."""
    async with db.writing() as connection:
        if not db.is_sqlite:  # there the transaction is the lock
            for statement in _WAIT_FOR_OTHERS:
                await connection.execute(statement)
        await connection.run_sync(lambda sync: command.upgrade(configuration(sync), revision))


async def downgrade(db: Database, revision: str) -> None:
    async with db.writing() as connection:
        await connection.run_sync(lambda sync: command.downgrade(configuration(sync), revision))


async def is_current(db: Database) -> bool:
    """Whether the tables are those that this version works with."""
    async with db.engine.connect() as connection:
        found = await connection.run_sync(lambda sync: MigrationContext.configure(sync).get_current_revision())
    return found == ScriptDirectory.from_config(configuration()).get_current_head()


async def require_current(db: Database) -> None:
    """An embedded SQLite is brought up to date; whoever runs PostgreSQL decides when.

    Raises:
        ConfigurationError: the tables are those of another version.
    """
    if db.is_sqlite:
        await upgrade(db)
    elif not await is_current(db):
        raise ConfigurationError("The database is not up to date: run `gql-app migrate` first.")
