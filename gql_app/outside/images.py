"""Reading what the triggers have noted.

Must hold: what is read is forgotten in the same transaction. A value that its column cannot hold (somebody has written
it past every check) is kept as a `Damaged`: it must not hold up the others.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Dialect, delete, func, select, text

from gql_app.changes.stored import UNREADABLE, reader
from gql_app.outside.models import ChangeImage
from gql_app.outside.tables import Watched

LOCK = 0x67716C5F6F7574
"""PostgreSQL's advisory lock of those who make entries of images ("gql_out" in ASCII)."""
AT_ONCE = 500
_images: Any = ChangeImage.__table__


@dataclass(frozen=True, slots=True)
class Damaged:
    """What a column holds and cannot hold, as a text."""

    text: str


Row = Mapping[str, Any]
"""The values of a row by the names of their columns; of a secret its mark."""


@dataclass(frozen=True, slots=True)
class Image:
    """What a statement did to a row; `op` is INSERT, UPDATE, DELETE, or REPLACE: deleted if an INSERT follows."""

    id: int
    tx: str | None
    watched: Watched
    op: str
    old: Row | None
    new: Row | None


def read(connection: Connection, watched: Sequence[Watched], limit: int | None) -> tuple[list[Image], list[int]]:
    """The images that are waiting, in their order, and the ids of all that were read.

    With a ``limit`` about so many, of whole transactions where they are known. Those of tables that nobody watches any
    more have ids only.
    """
    if connection.execute(select(_images.c.id).limit(1)).first() is None:
        return [], []
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(LOCK)))
    tables = {each.table.fullname: each for each in watched}
    rows = connection.execute(_select(connection, limit)).all()
    found: list[Image] = []
    by_table: dict[str, list[Any]] = {}
    for row in rows:
        by_table.setdefault(row.table_name, []).append(row)
    for name, its in by_table.items():
        if name in tables:
            found += _Reader(connection, tables[name]).images(its)
    return sorted(found, key=lambda image: image.id), [row.id for row in rows]


def forget(connection: Connection, ids: Sequence[int]) -> None:
    """They are in the log now."""
    for start in range(0, len(ids), AT_ONCE):
        connection.execute(delete(_images).where(_images.c.id.in_(ids[start : start + AT_ONCE])))


def _select(connection: Connection, limit: int | None) -> Any:
    query = select(_images).order_by(_images.c.id)
    if limit is None:
        return query
    if connection.dialect.name == "sqlite":
        return query.limit(limit)
    # Of two transactions that wrote one row the first had ended before the second one's image of it was made. So in the
    # order of their last images none is taken before one that it comes after.
    ends = select(_images.c.tx, func.max(_images.c.id), func.count()).group_by(_images.c.tx)
    chosen: list[str | None] = []
    total = 0
    for tx, _, count in connection.execute(ends.order_by(func.max(_images.c.id))):
        if chosen and total + count > limit:
            break
        chosen.append(tx)
        total += count
    return query.where(_images.c.tx.in_(chosen))


class _Reader:
    """Makes values of what images hold, for one table."""

    def __init__(self, connection: Connection, watched: Watched) -> None:
        self._connection = connection
        self._watched = watched
        self._dialect: Dialect = connection.dialect
        self._readers = {each.name: reader(each.type, self._dialect) for each in watched.columns}

    def images(self, rows: Sequence[Any]) -> Iterable[Image]:
        typed = self._rows_of_sqlite(rows) if self._dialect.name == "sqlite" else self._rows_of_postgres(rows)
        for row, (old, new) in zip(rows, typed, strict=True):
            yield Image(row.id, row.tx, self._watched, row.op, old, new)

    def _value(self, name: str, stored: Any) -> Any:
        try:
            return None if stored is None else self._readers[name](stored)
        except UNREADABLE:
            return Damaged(str(stored))

    def _rows_of_sqlite(self, rows: Sequence[Any]) -> Iterable[tuple[Row | None, Row | None]]:
        return [(self._from_sqlite(row.old), self._from_sqlite(row.new)) for row in rows]

    def _from_sqlite(self, image: str | None) -> Row | None:
        if image is None:
            return None
        held: dict[str, str | None] = json.loads(image)
        values = {name: self._value(name, literal(str(held.get(name, "NULL")))) for name in self._readers}
        return values | {each.name: held.get(each.name) for each in self._watched.secrets}

    def _rows_of_postgres(self, rows: Sequence[Any]) -> Iterable[tuple[Row | None, Row | None]]:
        """PostgreSQL casts what JSON holds of a row to the row's own types."""
        texts = [each for row in rows for each in (row.old, row.new)]
        table = self._dialect.identifier_preparer.format_table(self._watched.table)
        names = [self._dialect.identifier_preparer.quote(name) for name in self._readers]
        query = text(
            f"SELECT {', '.join(f'made.{name}' for name in names)} "  # noqa: S608  (names of mapped columns)
            "FROM unnest(CAST(:images AS text[])) WITH ORDINALITY AS image (held, place), "
            f"LATERAL jsonb_populate_record(NULL::{table}, image.held::jsonb) AS made ORDER BY place"
        )
        made: list[Row | None] = []
        for start in range(0, len(texts), AT_ONCE):
            some = texts[start : start + AT_ONCE]
            found = self._connection.execute(query, {"images": some}).all()
            for held, values in zip(some, found, strict=True):
                made.append(None if held is None else self._from_postgres(held, values))
        return zip(made[::2], made[1::2], strict=True)

    def _from_postgres(self, image: str, values: Any) -> Row:
        held = json.loads(image)
        found = {name: self._value(name, value) for name, value in zip(self._readers, values, strict=True)}
        return found | {each.name: held.get(f"*{each.name}") for each in self._watched.secrets}


_BLOB = re.compile(r"[xX]'([0-9a-fA-F]*)'")


def literal(sql: str) -> Any:
    """The value of a literal as SQLite's quote() writes it."""
    if sql == "NULL":
        return None
    if sql.startswith("'"):
        return sql[1:-1].replace("''", "'")
    if blob := _BLOB.fullmatch(sql):
        return bytes.fromhex(blob.group(1))
    try:
        return int(sql)
    except ValueError:
        return float(sql)
