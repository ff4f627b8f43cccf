"""Runs migrations, and keeps the table that says how far each vertical is."""

from collections.abc import Iterable, Mapping

from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import Script
from sqlalchemy import Column, Connection, MetaData, String, Table, delete, insert, inspect, select

from gql_app.errors import ConfigurationError
from gql_app.migrations.branches import Branch

VERSIONS = Table(
    "gql_app_versions",
    MetaData(),
    Column("vertical", String(64), primary_key=True),
    Column("revision", String(64), nullable=False),
)


def is_there(connection: Connection, table: str) -> bool:
    """Whether the schema that tables are made in has it: others may be in the search path."""
    found = inspect(connection)
    return found.has_table(table, schema=found.default_schema_name if connection.dialect.name == "postgresql" else None)


def versions(connection: Connection) -> Mapping[str, str]:
    """How far each vertical is; empty where nothing was migrated yet."""
    if not is_there(connection, VERSIONS.name):
        return {}
    rows = connection.execute(select(VERSIONS.c.vertical, VERSIONS.c.revision))
    return {row.vertical: row.revision for row in rows}


def note(connection: Connection, vertical: str, revision: str | None) -> None:
    """Write down how far a vertical is; None: it has no tables any more."""
    if not is_there(connection, VERSIONS.name):
        VERSIONS.create(connection, checkfirst=False)
    connection.execute(delete(VERSIONS).where(VERSIONS.c.vertical == vertical))
    if revision is not None:
        connection.execute(insert(VERSIONS).values(vertical=vertical, revision=revision))


def upgrade(connection: Connection, branch: Branch) -> None:
    """Run what was not run yet.

    Raises:
        ConfigurationError: a later version of the vertical has migrated this database.
    """
    reached = versions(connection).get(branch.name)
    known = [each.revision for each in branch.scripts]
    if reached is not None and reached not in known:
        raise ConfigurationError(
            f"The tables of {branch.name} are at {reached}, which this version does not know: a later one has migrated "
            "this database. Install that one, or go back with it first."
        )
    missing = branch.scripts[known.index(reached) + 1 if reached is not None else 0 :]
    run(connection, missing)
    if missing:
        note(connection, branch.name, branch.head)


def take_back(connection: Connection, branch: Branch, revision: str | None) -> None:
    """Take back what was run after this revision; None: all of it.

    Raises:
        ConfigurationError: the revision was not reached, or a script has no way back.
    """
    reached = versions(connection).get(branch.name)
    known = [None, *(each.revision for each in branch.scripts)]
    if reached not in known or revision not in known[: known.index(reached) + 1]:
        raise ConfigurationError(f"The tables of {branch.name} are at {reached or 'base'}, so not behind {revision}.")
    leaving = branch.scripts[known.index(revision) : known.index(reached)][::-1]
    if stuck := [each.revision for each in leaving if not hasattr(each.module, "downgrade")]:
        raise ConfigurationError(f"The migration {stuck[0]} of {branch.name} has no downgrade().")
    run(connection, leaving, back=True)
    note(connection, branch.name, revision)


def run(connection: Connection, scripts: Iterable[Script], *, back: bool = False) -> None:
    """The operations of these scripts; with ``back`` those that take them back."""
    with Operations.context(MigrationContext.configure(connection)):
        for script in scripts:
            if back:
                script.module.downgrade()
            else:
                script.module.upgrade()
