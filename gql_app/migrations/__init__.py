"""Migrations: each vertical has its own, and the engine has those of the log and of what is owed.

Alembic's scripts and operations are used, not its version table: one row of `gql_app_versions` says how far a vertical
is. So a database may hold other tables, another Alembic's too, and verticals that this application does not have.

branches   a vertical's scripts, in their order
steps      runs some, and keeps `gql_app_versions`
before     how a database gets here from the time when all had one history
"""

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, Table, column, func, inspect, select, table, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from gql_app.db import Database
from gql_app.errors import ConfigurationError
from gql_app.migrations import before, steps
from gql_app.migrations.before import HISTORY as BEFORE
from gql_app.migrations.branches import ENGINE, OURS, Branch

__all__ = ["BEFORE", "ENGINE", "OURS", "Branch", "is_current", "require_current", "take_back", "upgrade"]

LOCK = 0x67716C5F6D6967
"""PostgreSQL's advisory lock of those who migrate: two at once would get in each other's way."""

TRIGGERS = "gql_app_capture_"
"""How the names of the triggers begin that note writes from outside."""
_MASTER = table("sqlite_master", column("type"), column("name"))

_WAIT_FOR_OTHERS = (
    text("SET LOCAL statement_timeout = 0"),  # a migration takes as long as it takes
    text("SET LOCAL lock_timeout = 0"),
    select(func.pg_advisory_xact_lock(LOCK)),
    # Locks of tables keep the database's own timeout: a migration that waits for one blocks everybody behind it.
    text("SET LOCAL lock_timeout TO DEFAULT"),
)
_LACKS_RIGHTS = "42501"
_IS_THERE = "42P07"
_IS_NEEDED = "2BP01"
"""PostgreSQL's insufficient_privilege, duplicate_table, dependent_objects_still_exist (its appendix A)."""


async def upgrade(db: Database, branches: Sequence[Branch]) -> None:
    """Bring the tables of these branches up to date, in one transaction.

    Raises:
        ConfigurationError: the database user may not do it, or a table of that name is there already.
    """
    try:
        async with db.migrating() as connection:
            await _alone(db, connection)
            await connection.run_sync(_upgrade, branches)
    except DBAPIError as error:
        raise _in_words(error) or error from error


async def take_back(db: Database, branch: Branch, revision: str) -> None:
    """Take the tables of one vertical back to a revision, or to ``base``: none of them is left.

    With the branch `BEFORE`, those of the engine and of the service's own verticals: to a revision of the time when all
    had one history.

    Raises:
        ConfigurationError: there is no way back to it.
    """
    wanted = None if revision == "base" else revision
    if wanted is None and branch == ENGINE:
        raise ConfigurationError("Without the engine's tables no vertical works: drop the database instead.")
    try:
        async with db.migrating() as connection:
            await _alone(db, connection)
            await connection.run_sync(_take_back, branch, wanted)
    except DBAPIError as error:
        raise _in_words(error) or error from error


async def is_current(db: Database, branches: Sequence[Branch]) -> bool:
    """Whether the tables are those that this version works with."""
    async with db.engine.connect() as connection:
        found = await connection.run_sync(steps.versions)
    return all(found.get(each.name) == each.head for each in branches)


async def require_current(db: Database, branches: Sequence[Branch], tables: Iterable[Table] = ()) -> None:
    """An embedded SQLite is brought up to date; whoever runs PostgreSQL decides when.

    Raises:
        ConfigurationError: the tables are those of another version, or a model of these ``tables`` is ahead of them.
    """
    if db.is_sqlite:
        await upgrade(db, branches)
    elif not await is_current(db, branches):
        raise ConfigurationError("The database is not up to date: run `gql-app migrate` first (with the same --app).")
    async with db.engine.connect() as connection:
        await connection.run_sync(_refuse_models_ahead, list(tables))


async def _alone(db: Database, connection: AsyncConnection) -> None:
    """Wait for others who migrate; on SQLite the transaction is the lock."""
    if not db.is_sqlite:
        for statement in _WAIT_FOR_OTHERS:
            await connection.execute(statement)


def _in_words(error: DBAPIError) -> ConfigurationError | None:
    state, said = getattr(error.orig, "sqlstate", None), str(error.orig).rpartition(":")[2].strip()
    if state == _LACKS_RIGHTS:
        return ConfigurationError(
            f"The database user of GQL_APP_DATABASE_URL may not change the tables ({said}). Nothing was changed: let "
            "the owner of the schema GRANT CREATE ON SCHEMA to it, make it the owner of the tables, or run `gql-app "
            "migrate` as somebody who is."
        )
    if state == _IS_THERE or "already exists" in said:
        return ConfigurationError(
            f"A table or index that is to be made is there already ({said}). Nothing was changed: use another "
            "database, or on PostgreSQL another schema (ALTER ROLE … SET search_path)."
        )
    if state == _IS_NEEDED:
        return ConfigurationError(
            f"Other tables refer to those that are to be dropped ({said}). Nothing was changed: take back the "
            "verticals that need this one first."
        )
    return None


def _refuse_models_ahead(connection: Connection, tables: Iterable[Table]) -> None:
    there = inspect(connection)
    for wanted in tables:
        is_there = there.has_table(wanted.name, schema=wanted.schema)
        columns = there.get_columns(wanted.name, schema=wanted.schema) if is_there else []
        known = {each["name"] for each in columns}
        if missing := [each.name for each in wanted.columns if each.name not in known]:
            raise ConfigurationError(
                f"A model has the column {wanted.name}.{missing[0]}, and the database has not: run `gql-app "
                "makemigration` for its vertical, and `gql-app migrate`."
            )


def _refuse_anothers(connection: Connection, branches: Sequence[Branch]) -> None:
    """To migrate without --app would add the demo's tables to somebody's database."""
    reached = steps.versions(connection).keys() - {ENGINE.name}
    mine = {each.name for each in branches} - {ENGINE.name}
    if reached and mine and not reached & mine:
        raise ConfigurationError(
            f"This database is of another application (with {', '.join(sorted(reached))}). Nothing was changed: give "
            "the --app that it is of, or use another database."
        )


def _take_back(connection: Connection, branch: Branch, revision: str | None) -> None:
    _without_triggers(connection)
    if branch == BEFORE:
        before.hand_back(connection, revision)
    else:
        steps.take_back(connection, branch, revision)


def _upgrade(connection: Connection, branches: Sequence[Branch]) -> None:
    before.adopt(connection)
    _refuse_anothers(connection, branches)
    reached = steps.versions(connection)
    if any(reached.get(each.name) != each.head for each in branches):
        _without_triggers(connection)
    for each in branches:
        steps.upgrade(connection, each)


def _without_triggers(connection: Connection) -> None:
    """SQLite drops no column that a trigger names, and a table takes its triggers along.

    Those that note writes from outside are made anew afterwards (`outside.switch.renew`).
    """
    if connection.dialect.name == "sqlite":
        named = select(_MASTER.c.name).where(_MASTER.c.type == "trigger", _MASTER.c.name.startswith(TRIGGERS))
        for name in connection.scalars(named).all():
            connection.exec_driver_sql(f'DROP TRIGGER "{name}"')
