"""The shadow table `witness` and the triggers that fill it, in the transaction of the change itself.

Each row image and each log entry is a row of it. Of a secret column an image holds a mark only: `SET`, or `CHANGED`
where an update replaced it.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

import asyncpg
from sqlalchemy import JSON, Column, Connection, LargeBinary, Table, make_url

from gql_app.changes.models import ChangeOutbox, ChangeRecord
from gql_app.changes.tracking import Tracked
from tests.witness.kinds import kinds_of

WITNESS = "witness"
SET, CHANGED = "set", "changed"
OPERATIONS = ("INSERT", "UPDATE", "DELETE")


def install(target: str | Connection, models: Iterable[type[Tracked]]) -> None:
    """Have the tables of these models watched, and the change log; the target is a URL or an open connection.

    May be repeated, also for more models.
    """
    _run(target, install_statements(_dialect(target), models))


def remove(target: str | Connection, models: Iterable[type[Tracked]], *, images: bool = True) -> None:
    """Take away the triggers, and with ``images`` the shadow table.

    SQLite needs this before a migration: it drops no column that a trigger names.
    """
    _run(target, remove_statements(_dialect(target), models, images=images))


def install_statements(dialect: str, models: Iterable[type[Tracked]]) -> Iterator[str]:
    """The SQL of `install`, statement by statement."""
    watched = [(table, kind.secrets_of(table.name)) for kind in kinds_of(models) for table in kind.tables]
    if dialect == "sqlite":
        yield _SQLITE_WITNESS
        for table, secrets in watched:
            for operation in OPERATIONS:
                yield f"DROP TRIGGER IF EXISTS {_name(table, operation)}"
                yield _sqlite_trigger(table, operation, secrets)
        log = _table_of(ChangeRecord)
        yield f"DROP TRIGGER IF EXISTS {_name(log, 'LOG')}"
        yield _sqlite_trigger(log, "LOG", [])
    else:
        yield _POSTGRES_WITNESS
        yield _POSTGRES_ROW
        yield _POSTGRES_ENTRY
        for table, secrets in watched:
            yield f"DROP TRIGGER IF EXISTS witness_row ON {table.name}"
            yield _postgres_trigger(table, secrets)
        outbox = _table_of(ChangeOutbox)
        yield f"DROP TRIGGER IF EXISTS witness_entry ON {outbox}"
        yield f"CREATE TRIGGER witness_entry AFTER INSERT ON {outbox} FOR EACH ROW EXECUTE FUNCTION witness_entry()"


def remove_statements(dialect: str, models: Iterable[type[Tracked]], *, images: bool) -> Iterator[str]:
    """The SQL of `remove`, statement by statement."""
    if dialect == "sqlite":
        for kind in kinds_of(models):
            for table in kind.tables:
                for operation in OPERATIONS:
                    yield f"DROP TRIGGER IF EXISTS {_name(table, operation)}"
        yield f"DROP TRIGGER IF EXISTS {_name(_table_of(ChangeRecord), 'LOG')}"
    else:
        yield "DROP FUNCTION IF EXISTS witness_row, witness_entry CASCADE"  # with their triggers
    if images:
        yield f"DROP TABLE IF EXISTS {WITNESS}"


_SQLITE_WITNESS = f"""
    CREATE TABLE IF NOT EXISTS {WITNESS} (
      id INTEGER PRIMARY KEY, tx TEXT, table_name TEXT NOT NULL, op TEXT NOT NULL, key TEXT, old TEXT, new TEXT)"""
"""On SQLite `tx` stays NULL: nothing there names a transaction, and `judge` tells them apart by their entries."""

_POSTGRES_WITNESS = f"""
    CREATE TABLE IF NOT EXISTS {WITNESS} (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      tx text NOT NULL, table_name text NOT NULL, op text NOT NULL, key jsonb, old jsonb, new jsonb)"""

# `to_jsonb` of the row, not a list of columns: a migration may add and drop columns below the trigger.
_POSTGRES_ROW = f"""
    CREATE OR REPLACE FUNCTION witness_row() RETURNS trigger LANGUAGE plpgsql AS $body$
    DECLARE
      keys text[] := TG_ARGV[0]::text[];
      secret text;
      was jsonb;
      becomes jsonb;
      replaced boolean;
    BEGIN
      IF TG_OP <> 'INSERT' THEN was := to_jsonb(OLD); END IF;
      IF TG_OP <> 'DELETE' THEN becomes := to_jsonb(NEW); END IF;
      FOREACH secret IN ARRAY TG_ARGV[1]::text[] LOOP
        replaced := TG_OP = 'UPDATE' AND was -> secret <> becomes -> secret;
        IF becomes ->> secret IS NOT NULL THEN
          becomes := becomes || jsonb_build_object(secret, CASE WHEN replaced THEN '{CHANGED}' ELSE '{SET}' END);
        END IF;
        IF was ->> secret IS NOT NULL THEN was := was || jsonb_build_object(secret, '{SET}'); END IF;
      END LOOP;
      INSERT INTO {WITNESS} (tx, table_name, op, key, old, new) VALUES (
        pg_current_xact_id()::text, TG_TABLE_NAME, TG_OP,
        (SELECT jsonb_agg(coalesce(becomes, was) -> name ORDER BY n) FROM unnest(keys) WITH ORDINALITY AS k (name, n)),
        was, becomes);
      RETURN NULL;
    END $body$"""

_POSTGRES_ENTRY = f"""
    CREATE OR REPLACE FUNCTION witness_entry() RETURNS trigger LANGUAGE plpgsql AS $body$
    BEGIN
      INSERT INTO {WITNESS} (tx, table_name, op, key, new) VALUES (
        pg_current_xact_id()::text, TG_TABLE_NAME, 'LOG', jsonb_build_array(NEW.id), to_jsonb(NEW) - 'id');
      RETURN NULL;
    END $body$"""


def _postgres_trigger(table: Table, secrets: list[str]) -> str:
    keys = ",".join(column.name for column in table.primary_key)
    return (
        f"CREATE TRIGGER witness_row AFTER INSERT OR UPDATE OR DELETE ON {table.name} "
        f"FOR EACH ROW EXECUTE FUNCTION witness_row('{{{keys}}}', '{{{','.join(secrets)}}}')"
    )


def _sqlite_trigger(table: Table, operation: str, secrets: list[str]) -> str:
    event = "INSERT" if operation == "LOG" else operation
    old = "NULL" if event == "INSERT" else sqlite_row(table, "OLD", secrets)
    new = "NULL" if event == "DELETE" else sqlite_row(table, "NEW", secrets, update=event == "UPDATE")
    side = "OLD" if event == "DELETE" else "NEW"
    key = ", ".join(f'{side}."{column.name}"' for column in table.primary_key)
    return (
        f'CREATE TRIGGER {_name(table, operation)} AFTER {event} ON "{table.name}" BEGIN '
        f"INSERT INTO {WITNESS} (table_name, op, key, old, new) "
        f"VALUES ('{table.name}', '{operation}', json_array({key}), {old}, {new}); END"
    )


def sqlite_row(table: Table, side: str, secrets: list[str], *, update: bool = False) -> str:
    """The SQL of a row as a JSON object."""
    pairs = ", ".join(f"'{column.name}', {_sqlite_value(column, side, secrets, update)}" for column in table.columns)
    return f"json_object({pairs})"


def _sqlite_value(column: Column[object], side: str, secrets: list[str], update: bool) -> str:
    value = f'{side}."{column.name}"'
    if column.name in secrets:
        changed = f"WHEN OLD.\"{column.name}\" IS NOT {value} THEN '{CHANGED}'" if update else ""
        return f"CASE WHEN {value} IS NULL THEN NULL {changed} ELSE '{SET}' END"
    if isinstance(column.type, LargeBinary):
        return f"CASE WHEN {value} IS NULL THEN NULL ELSE hex({value}) END"
    return f"json({value})" if isinstance(column.type, JSON) else value


def _table_of(model: type) -> Table:
    table = model.__table__  # type: ignore[attr-defined]
    assert isinstance(table, Table)
    return table


def _name(table: Table, operation: str) -> str:
    return f'"{WITNESS}_{table.name}_{operation.lower()}"'


def _dialect(target: str | Connection) -> str:
    return make_url(target).get_backend_name() if isinstance(target, str) else target.dialect.name


def _run(target: str | Connection, statements: Iterable[str]) -> None:
    if isinstance(target, Connection):
        for statement in statements:
            target.exec_driver_sql(statement)
    elif _dialect(target) == "sqlite":
        with contextlib.closing(sqlite3.connect(sqlite_path(target))) as connection:
            connection.executescript("BEGIN; " + "; ".join(statements) + "; COMMIT")
    else:
        asyncio.run(_execute(target, ";\n".join(statements)))


async def _execute(url: str, script: str) -> None:
    connection = await asyncpg.connect(asyncpg_url(url), timeout=5)
    try:
        await connection.execute(script)
    finally:
        await connection.close()


def sqlite_path(url: str) -> str:
    return str(make_url(url).database)


def asyncpg_url(url: str) -> str:
    """The same address as asyncpg takes it."""
    return urlsplit(url)._replace(scheme="postgresql").geturl()
