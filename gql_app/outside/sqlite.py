"""The triggers on SQLite.

Must hold: they note nothing that a statement of the service does, whose transactions set `inside` for as long as they
hold the file's only write lock. What a foreign key of the database does in such a transaction is noted as its own (`tx`
is OWN): a row that loses its reference, or goes with it, is told by that.

An image holds each value as SQL would write it: SQLite keeps any kind of value in any column.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Column, Connection

from gql_app.migrations import TRIGGERS
from gql_app.outside.tables import BASE_ROW, CHANGED, OWN, SET, Watched, base_of

IMAGES = "change_images"
_INSIDE = "(SELECT inside FROM change_capture)"
_ACTIONS = {"CASCADE", "SET NULL", "SET DEFAULT"}
_FOREIGN_KEYS = """
    SELECT id, "table" AS referred_table, "from" AS mine, on_update, on_delete, coalesce("to", (
      SELECT name FROM pragma_table_info("table") WHERE pk = key.seq + 1)) AS referred
    FROM pragma_foreign_key_list(?) AS key ORDER BY id, seq"""
_UNIQUE = 'SELECT name FROM pragma_index_list(?) WHERE "unique"'
_INDEXED = "SELECT name FROM pragma_index_info(?) ORDER BY seqno"
_MADE = "SELECT count(*) FROM sqlite_master WHERE type = 'trigger' AND substr(name, 1, length(?)) = ?"
_AT_ONCE = 50
"""Columns in one json_object: a function takes 127 arguments."""


def install(connection: Connection, watched: Sequence[Watched]) -> None:
    remove(connection)
    for each in watched:
        for statement in _triggers(connection, each):
            connection.exec_driver_sql(statement)


def remove(connection: Connection) -> None:
    found = _MADE.replace("count(*)", "name")
    for (name,) in connection.exec_driver_sql(found, (TRIGGERS, TRIGGERS)).all():
        connection.exec_driver_sql(f"DROP TRIGGER {_quoted(name)}")


def is_installed(connection: Connection) -> bool:
    return bool(connection.exec_driver_sql(_MADE, (TRIGGERS, TRIGGERS)).scalar())


def _triggers(connection: Connection, watched: Watched) -> Iterator[str]:
    table = _quoted(watched.table.name)
    outside = f"{_INSIDE} = 0"
    deleted, updated = (" OR ".join([outside, *each]) for each in _by_a_key(connection, watched))
    columns = ", ".join(_quoted(each.name) for each in (*watched.columns, *watched.secrets))
    yield _trigger(watched, "insert", f"AFTER INSERT ON {table}", outside, _image(watched, "INSERT", new=True))
    yield _trigger(watched, "delete", f"AFTER DELETE ON {table}", deleted, _image(watched, "DELETE", old=True))
    yield _trigger(
        watched,
        "update",
        f"AFTER UPDATE OF {columns} ON {table}",
        updated,
        _image(watched, "UPDATE", old=True, new=True),
        _next_version(watched),
    )
    if replaced := _replaced(connection, watched):
        # INSERT OR REPLACE deletes what is in its way, and no trigger hears of it.
        image = f"INSERT INTO {IMAGES} (table_name, op, old, new) SELECT {_text(watched.table.fullname)}, 'REPLACE', "
        image += f"{_row(watched, 'was')}, {_row(watched, 'NEW')} FROM {table} AS was WHERE {replaced}"
        yield _trigger(watched, "replace", f"BEFORE INSERT ON {table}", outside, image)


def _trigger(watched: Watched, name: str, event: str, when: str, *statements: str) -> str:
    body = "; ".join(statements)
    return f"CREATE TRIGGER {_quoted(TRIGGERS + watched.table.name + '_' + name)} {event} WHEN {when} BEGIN {body}; END"


def _image(watched: Watched, op: str, *, old: bool = False, new: bool = False) -> str:
    before = _row(watched, "OLD") if old else "NULL"
    after = _row(watched, "NEW", replaces=old) if new else "NULL"
    return (
        f"INSERT INTO {IMAGES} (tx, table_name, op, old, new) "  # noqa: S608  (names of mapped columns, quoted)
        f"VALUES (CASE {_INSIDE} WHEN 1 THEN '{OWN}' END, {_text(watched.table.fullname)}, '{op}', {before}, {after})"
    )


def _row(watched: Watched, side: str, *, replaces: bool = False) -> str:
    pairs = [f"{_text(each.name)}, quote({side}.{_quoted(each.name)})" for each in watched.columns]
    pairs += [f"{_text('*' + each.name)}, {_mark(each, side, replaces)}" for each in watched.secrets]
    if not watched.is_base:
        pairs.append(f"{_text(BASE_ROW)}, {_of_base(watched, side)}")
    parts = [f"json_object({', '.join(pairs[at : at + _AT_ONCE])})" for at in range(0, len(pairs), _AT_ONCE)]
    first, *others = parts
    for each in others:  # json_patch would drop what is NULL
        first = f"substr({first}, 1, length({first}) - 1) || ',' || substr({each}, 2)"
    return first


def _of_base(watched: Watched, side: str) -> str:
    """The row in the base table that this one is a part of, at this moment."""
    base = watched.base
    pairs = ", ".join(f"{_text(each.name)}, quote(base.{_quoted(each.name)})" for each in base.columns)
    where = " AND ".join(
        f"base.{_quoted(mine.name)} = {side}.{_quoted(theirs.name)}"
        for mine, theirs in zip(base.key, watched.key, strict=True)
    )
    return f"(SELECT json_object({pairs}) FROM {_quoted(base.table.name)} AS base WHERE {where})"  # noqa: S608  (as above)


def _mark(column: Column[Any], side: str, replaces: bool) -> str:
    value = f"{side}.{_quoted(column.name)}"
    changed = f"WHEN OLD.{_quoted(column.name)} IS NOT {value} THEN '{CHANGED}' " if replaces else ""
    return f"CASE WHEN {value} IS NULL THEN NULL {changed}ELSE '{SET}' END"


def _next_version(watched: Watched) -> str:
    """Another transaction that has read the row will find it changed, and is run again."""
    base = base_of(watched.root)
    same = zip(base.primary_key.columns, watched.key, strict=True)
    where = " AND ".join(f"{_quoted(mine.name)} = NEW.{_quoted(theirs.name)}" for mine, theirs in same)
    return f"UPDATE {_quoted(base.name)} SET version = version + 1 WHERE {where} AND {_INSIDE} = 0"  # noqa: S608  (as above)


def _by_a_key(connection: Connection, watched: Watched) -> tuple[list[str], list[str]]:
    """When a foreign key of the database deletes a row, or changes it."""
    keys: dict[int, list[Any]] = {}
    for column in connection.exec_driver_sql(_FOREIGN_KEYS, (watched.table.name,)):
        keys.setdefault(column.id, []).append(column)
    deletes, updates = [], []
    for columns in keys.values():
        if {columns[0].on_update, columns[0].on_delete} & _ACTIONS:
            there = " AND ".join(f"{_quoted(each.referred)} = OLD.{_quoted(each.mine)}" for each in columns)
            refers = " AND ".join(f"OLD.{_quoted(each.mine)} IS NOT NULL" for each in columns)
            moves = " OR ".join(f"OLD.{_quoted(each.mine)} IS NOT NEW.{_quoted(each.mine)}" for each in columns)
            gone = f"NOT EXISTS (SELECT 1 FROM {_quoted(columns[0].referred_table)} WHERE {there})"  # noqa: S608  (as above)
            deletes.append(f"({refers} AND {gone})")
            updates.append(f"({refers} AND ({moves}) AND {gone})")
    return deletes, updates


def _replaced(connection: Connection, watched: Watched) -> str:
    """The rows that the one to be inserted cannot stand beside."""
    keys = [[each.name for each in watched.key]]
    unique = connection.exec_driver_sql(_UNIQUE, (watched.table.name,)).scalars().all()
    keys += [list(connection.exec_driver_sql(_INDEXED, (index,)).scalars()) for index in unique]
    keys = [key for key in keys if None not in key]  # an index of an expression
    alike = (" AND ".join(f"was.{_quoted(name)} = NEW.{_quoted(name)}" for name in key) for key in keys if key)
    return " OR ".join(f"({each})" for each in dict.fromkeys(alike))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
