"""Reading what the triggers have noted.

Must hold: no image that cannot be read holds up the others, let alone a transaction of the service. A value that cannot
be read is a `Damaged`. What is read is forgotten in the same transaction, or set aside. An image of a table or column
that this process does not know waits for one that does.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, LargeBinary, Text, cast, delete, func, select, text, update

from gql_app.changes.stored import reader
from gql_app.outside.models import ChangeImage
from gql_app.outside.tables import BASE_ROW, OWN, Watched

LOCK = 0x67716C5F6F7574
"""PostgreSQL's advisory lock of those who make entries of images ("gql_out" in ASCII). Who has it waits for no row."""
AT_ONCE = 500
_images: Any = ChangeImage.__table__
_this: Any = cast(func.pg_current_xact_id(), Text)


@dataclass(frozen=True, slots=True)
class Damaged:
    """What a column holds and cannot be read, as a text."""

    text: str


Row = Mapping[str, Any]
"""The values of a row by the names of their columns; of a secret its mark, under its name with an asterisk. A part has
the row of the base table under BASE_ROW, or None."""


@dataclass(frozen=True, slots=True)
class Image:
    """What a statement did to a row; `op` is INSERT, UPDATE or DELETE."""

    id: int
    tx: str | None
    watched: Watched
    op: str
    old: Row | None
    new: Row | None

    @property
    def key(self) -> tuple[Any, ...]:
        """The row's key, after the statement if it is there then."""
        return self._key(self.old if self.new is None else self.new)

    @property
    def key_before(self) -> tuple[Any, ...]:
        return self._key(self.new if self.old is None else self.old)

    def _key(self, row: Row | None) -> tuple[Any, ...]:
        return () if row is None else tuple(str(row.get(each.name)) for each in self.watched.key)


def of_others(connection: Connection, watched: Sequence[Watched], limit: int | None) -> Sequence[Image]:
    """What others have committed and the log does not have yet, in its order.

    With a ``limit`` about so many, of whole transactions where they are known.
    """
    is_sqlite = connection.dialect.name == "sqlite"
    theirs = _images.c.tx.is_(None) if is_sqlite and limit is None else _images.c.tx.is_distinct_from(_this)
    waiting = (~_images.c.failed,) if is_sqlite and limit is not None else (~_images.c.failed, theirs)
    if connection.execute(select(_images.c.id).where(*waiting).limit(1)).first() is None:
        return ()
    if not is_sqlite:
        connection.execute(select(func.pg_advisory_xact_lock(LOCK)))
    query = _columns(connection).where(*waiting).order_by(_images.c.id)
    if limit is not None:
        query = query.limit(limit) if is_sqlite else query.where(_images.c.tx.in_(_first(connection, waiting, limit)))
    return _read(connection, watched, query)


def of_this_transaction(connection: Connection, watched: Sequence[Watched]) -> Sequence[Image]:
    """What the database has done because of the statements of this transaction."""
    mine = OWN if connection.dialect.name == "sqlite" else _this
    return _read(connection, watched, _columns(connection).where(_images.c.tx == mine, ~_images.c.failed))


def forget(connection: Connection, images: Iterable[Image]) -> None:
    """They are in the log now."""
    for some in _bites([image.id for image in images]):
        connection.execute(delete(_images).where(_images.c.id.in_(some)))


def set_aside(connection: Connection, images: Iterable[Image]) -> None:
    """Nothing can be made of them: nobody tries again, and `gql-app check` finds what is missing."""
    for some in _bites([image.id for image in images]):
        connection.execute(update(_images).where(_images.c.id.in_(some)).values(failed=True))


def _bites(ids: Sequence[int]) -> Iterable[Sequence[int]]:
    return (ids[start : start + AT_ONCE] for start in range(0, len(ids), AT_ONCE))


def _columns(connection: Connection) -> Any:
    """SQLite keeps texts that are none: they are read as they are."""
    texts = [_images.c.old, _images.c.new]
    if connection.dialect.name == "sqlite":
        texts = [cast(each, LargeBinary).label(each.name) for each in texts]
    return select(_images.c.id, _images.c.tx, _images.c.table_name, _images.c.op, *texts)


def _first(connection: Connection, waiting: Sequence[Any], limit: int) -> Sequence[str]:
    """Of two transactions that wrote one row the first had ended before the second one's image of it was made. So in
    the order of their last images none is taken before one that it comes after."""
    ends = select(_images.c.tx, func.max(_images.c.id), func.count()).where(*waiting).group_by(_images.c.tx)
    chosen: list[str] = []
    total = 0
    for tx, _, count in connection.execute(ends.order_by(func.max(_images.c.id))):
        if chosen and total + count > limit:
            break
        chosen.append(tx)
        total += count
    return chosen


def _read(connection: Connection, watched: Sequence[Watched], query: Any) -> Sequence[Image]:
    tables = {each.table.fullname: each for each in watched}
    rows = connection.execute(query.order_by(_images.c.id)).all()
    held = {row.id: (_parsed(row.old), _parsed(row.new)) for row in rows}
    strange = {row.id for row in rows if not _is_known(tables.get(row.table_name), held[row.id])}
    if connection.dialect.name == "postgresql" and strange:  # of a transaction all or nothing
        waits = {row.tx for row in rows if row.id in strange}
        strange = {row.id for row in rows if row.tx in waits}
    values = _OnSqlite(connection) if connection.dialect.name == "sqlite" else _OnPostgres(connection)
    found: dict[int, Image] = {}
    for name in dict.fromkeys(row.table_name for row in rows if row.id not in strange):
        its = [row for row in rows if row.table_name == name and row.id not in strange]
        made = values.rows(tables[name], [each for row in its for each in held[row.id]])
        for row, old, new in zip(its, made[::2], made[1::2], strict=True):
            found[row.id] = Image(row.id, row.tx, tables[name], row.op, old, new)
    return [found[row.id] for row in rows if row.id in found]


def _parsed(image: str | bytes | None) -> dict[str, Any] | None:
    if image is None:
        return None
    found: dict[str, Any] = json.loads(image.decode(errors="replace") if isinstance(image, bytes) else image)
    base = found.get(BASE_ROW)
    return found | {BASE_ROW: json.loads(base)} if isinstance(base, str) else found


def _is_known(watched: Watched | None, sides: Sequence[Mapping[str, Any] | None]) -> bool:
    if watched is None:
        return False
    return all(side is None or side.keys() <= watched.names for side in sides)


class _Values:
    """Makes values of what images hold."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._dialect = connection.dialect

    def rows(self, watched: Watched, helds: Sequence[Mapping[str, Any] | None]) -> list[Row | None]:
        """The rows of these images of one table; parts with the rows of their base table."""
        made = self._plain(watched, helds)
        if not watched.is_base:
            bases = self._plain(watched.base, [None if each is None else each.get(BASE_ROW) for each in helds])
            made = [None if row is None else {**row, BASE_ROW: base} for row, base in zip(made, bases, strict=True)]
        return made

    def _plain(self, watched: Watched, helds: Sequence[Mapping[str, Any] | None]) -> list[Row | None]:
        raise NotImplementedError

    def _row(self, watched: Watched, held: Mapping[str, Any], value: Callable[[str], Any]) -> Row:
        found = {each.name: value(each.name) for each in watched.columns if each.name in held}
        return found | {name: held[name] for name in (f"*{each.name}" for each in watched.secrets) if name in held}


def _read_by(of: Callable[[Any], Any], stored: Any) -> Any:
    try:
        return None if stored is None else of(stored)
    except Exception:  # a type of an author's own may raise anything
        return Damaged(str(stored))


class _OnSqlite(_Values):
    def _plain(self, watched: Watched, helds: Sequence[Mapping[str, Any] | None]) -> list[Row | None]:
        readers = {each.name: reader(each.type, self._dialect) for each in watched.columns}

        def row(held: Mapping[str, Any]) -> Row:
            return self._row(watched, held, lambda name: _read_by(readers[name], literal(str(held[name]))))

        return [None if held is None else row(held) for held in helds]


class _OnPostgres(_Values):
    """PostgreSQL casts the texts to the types that the columns have."""

    _TYPES = text(
        "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute "
        "WHERE attrelid = to_regclass(:name) AND attnum > 0 AND NOT attisdropped"
    )

    def _plain(self, watched: Watched, helds: Sequence[Mapping[str, Any] | None]) -> list[Row | None]:
        readers = {each.name: reader(each.type, self._dialect) for each in watched.columns}
        table = self._dialect.identifier_preparer.format_table(watched.table)
        types: dict[str, str] = {row[0]: row[1] for row in self._connection.execute(self._TYPES, {"name": table})}
        names = [name for name in readers if name in types]
        there = [held for held in helds if held is not None]
        bites = [self._cast(names, types, there[at : at + AT_ONCE]) for at in range(0, len(there), AT_ONCE)]
        made = iter([each for bite in bites for each in bite])

        def row(held: Mapping[str, Any]) -> Row:
            values = next(made)
            return self._row(watched, held, lambda name: _read_by_or_damaged(readers[name], values.get(name)))

        return [None if held is None else row(held) for held in helds]

    def _cast(
        self, names: Sequence[str], types: Mapping[str, str], helds: Sequence[Mapping[str, Any]]
    ) -> Sequence[Mapping[str, Any]]:
        """The values that the driver gives of these; where it cannot, row by row, and then column by column."""
        try:
            with self._connection.begin_nested():
                return self._asked(names, types, helds)
        except Exception:  # the server refuses a text, or the driver what the server holds
            if len(helds) > 1:
                return [self._cast(names, types, [held])[0] for held in helds]
        if len(names) == 1:
            return [{names[0]: Damaged(str(helds[0].get(names[0])))}]
        return [{name: value for each in names for name, value in self._cast([each], types, helds)[0].items()}]

    def _asked(
        self, names: Sequence[str], types: Mapping[str, str], helds: Sequence[Mapping[str, Any]]
    ) -> Sequence[Mapping[str, Any]]:
        columns = ", ".join(f"CAST(held ->> {number} AS {types[name]})" for number, name in enumerate(names))
        query = text(
            f"SELECT {columns} FROM unnest(CAST(:images AS text[])) WITH ORDINALITY AS image (json, place), "  # noqa: S608  (types of PostgreSQL's catalog)
            "LATERAL CAST(json AS jsonb) AS held ORDER BY place"
        )
        images = [json.dumps([held.get(name) for name in names]) for held in helds]
        rows = self._connection.execute(query, {"images": images}).all()
        return [dict(zip(names, row, strict=True)) for row in rows]


def _read_by_or_damaged(of: Callable[[Any], Any], stored: Any) -> Any:
    return stored if isinstance(stored, Damaged) else _read_by(of, stored)


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
