"""What the triggers wrote down and what the log holds, read by one statement: one moment."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import Table, make_url

from gql_app.changes.models import ChangeOutbox, ChangeRecord
from gql_app.db import UtcDateTime
from tests.witness.kinds import Row
from tests.witness.triggers import WITNESS, asyncpg_url, sqlite_path, sqlite_row
from tests.witness.values import meaning, parse


@dataclass(frozen=True, slots=True)
class Image:
    """What one statement did to one row; `op` is INSERT, UPDATE or DELETE. For op LOG `new` is a log entry."""

    id: int
    tx: str | None
    table: str
    op: str
    key: str
    old: Row | None
    new: Row | None


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the change log. `others` are the columns that need no reading; `position` is not always known."""

    kind: str
    entity_type: str
    entity_id: UUID
    attribute: str | None
    old_value: str | None
    new_value: str | None
    owner_id: int | None
    change_set: UUID
    occurred_at: datetime
    others: tuple[tuple[str, Any], ...]
    position: int | None = field(default=None, compare=False)

    @classmethod
    def of(cls, row: Row) -> "Entry":
        rest = dict(row)
        taken = {name: rest.pop(name) for name in _COLUMNS}
        position = rest.pop("position", None)
        rest.pop("id", None)
        for name in ("decisions", "audience", "audience_before"):
            rest.pop(name, None)  # older versions of the tables have no room for it
        taken |= {name: UUID(taken[name]) for name in ("entity_id", "change_set")}
        taken["occurred_at"] = meaning(UtcDateTime(), taken["occurred_at"])
        return cls(**taken, others=tuple(sorted(rest.items())), position=position)


_COLUMNS = [name for name in Entry.__dataclass_fields__ if name not in ("others", "position")]


@dataclass(frozen=True, slots=True)
class Testimony:
    """All images in their order, and all entries that the log holds now in theirs.

    An id of an image is given when its statement runs, and its transaction holds a lock on the row from then on: the
    images of one row are in their true order.
    """

    images: Sequence[Image]
    kept: Sequence[Entry]
    pruned_through: int = 0


def read(url: str) -> Testimony:
    """Read all of it. Not in an event loop: use a thread there."""
    if make_url(url).get_backend_name() == "sqlite":
        with contextlib.closing(sqlite3.connect(sqlite_path(url))) as connection:
            return _testimony(connection.execute(_SQLITE))
    return _testimony(asyncio.run(_fetch(url)))


async def _fetch(url: str) -> list[Any]:
    connection = await asyncpg.connect(asyncpg_url(url), timeout=5)
    try:
        return list(await connection.fetch(_POSTGRES))
    finally:
        await connection.close()


def _query(entry: str, waiting: str, text: str) -> str:
    json = ", ".join(text.format(name) for name in ("key", "old", "new"))
    return f"""
        SELECT 1, id, tx, table_name, op, {json} FROM {WITNESS}
        UNION ALL SELECT 2, position, NULL, '', '', NULL, NULL, {text.format(entry)} FROM change_events AS e
        UNION ALL SELECT 3, id, NULL, '', '', NULL, NULL, {text.format(waiting)} FROM change_outbox AS e
        UNION ALL SELECT 4, pruned_through, NULL, '', '', NULL, NULL, NULL FROM change_log_state
        ORDER BY 1, 2"""


def _of_log(model: Any) -> str:
    table: Table = model.__table__
    return sqlite_row(table, "e", [])


_SQLITE = _query(_of_log(ChangeRecord), _of_log(ChangeOutbox), "{}")
_POSTGRES = _query("to_jsonb(e)", "to_jsonb(e)", "({})::text")


def _testimony(rows: Iterable[Sequence[Any]]) -> Testimony:
    images, kept, pruned_through = [], [], 0
    for source, number, tx, table, op, key, old, new in rows:
        if source == 1:
            images.append(Image(number, tx, table, op, key, _row(old), _row(new)))
        elif source == 4:
            pruned_through = number
        else:
            kept.append(Entry.of(parse(new)))
    return Testimony(images, kept, pruned_through)


def _row(text: str | None) -> Row | None:
    row: Row | None = None if text is None else parse(text)
    return row
