"""The rows of tracked models, in the order of their public ids. A subclass's own table is read with its base's."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.orm import Mapper

from gql_app.changes.codec import Codec
from gql_app.changes.stored import UNREADABLE, Read, reader
from gql_app.changes.tracking import Tracked, attributes_of, mapper_of
from gql_app.db import Timestamped
from gql_app.reconcile.snapshot import Kind, Snapshot, raw


class Damaged:
    """Stands for a value that cannot be read."""


DAMAGED = Damaged()
Text = str | Damaged | None


@dataclass(frozen=True, slots=True)
class TrackedRow:
    """One entity as it is stored.

    `texts` are its tracked values as the log would write them, of a secret one '' or None. `fault` says what is wrong
    with the row itself. `owner_id` is read where it never changes: of messages.
    """

    kind: Kind
    about: Any
    created_at: datetime | None
    owner_id: int | None
    texts: Mapping[str, Text]
    fault: str | None


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    label: str
    read: Read
    codec: Codec | None

    def text(self, row: Row[Any]) -> Text:
        value = getattr(row, self.label)
        if value is None:
            return None
        if self.codec is None:
            return ""
        try:
            return self.codec.frozen(self.read(value)).text
        except UNREADABLE:
            return DAMAGED


class Reader:
    """Reads the rows of one kind. ``owner``: the column of the owner's id, where it is to be compared."""

    def __init__(self, snapshot: Snapshot, kind: Kind, owner: Any = None) -> None:
        self._snapshot = snapshot
        self._kind = kind
        self._mapper = mapper_of(kind.root)
        self._columns: dict[Any, str] = {}
        columns = self._mapper.columns
        self._label("about", columns["public_id"])
        self._label("created_at", columns["created_at"] if issubclass(kind.root, Timestamped) else None)
        self._label("owner_id", owner)
        self._on = self._mapper.polymorphic_on
        self._label("kind", self._on)
        self._read_kind = reader(self._on.type, snapshot.dialect) if self._on is not None else None
        self._fields: dict[Mapper[Any], list[_Field]] = {
            mapper: self._fields_of(mapper) for mapper in self._mapper.self_and_descendants
        }
        self._halves = self._label_halves()

    def rows(self) -> Iterator[TrackedRow]:
        tables: Any = self._mapper.local_table
        for mapper, _ in self._halves:
            tables = tables.outerjoin(mapper.local_table, mapper.inherit_condition)
        columns = [raw(column, label) for column, label in self._columns.items()]
        about: Any = self._mapper.columns["public_id"]
        query = select(*columns).select_from(tables).order_by(about)
        return map(self._row, self._snapshot.rows(query))

    def _label(self, label: str, column: Any) -> None:
        if column is not None:
            self._columns[column] = label

    def _fields_of(self, mapper: Mapper[Any]) -> list[_Field]:
        model: type[Tracked] = mapper.class_
        fields = []
        for name, attribute in attributes_of(model).items():
            label = self._columns.setdefault(attribute.column, f"value_{len(self._columns)}")
            codec = None if attribute.secret else self._kind.codecs[name]
            fields.append(_Field(name, label, reader(attribute.column.type, self._snapshot.dialect), codec))
        return fields

    def _label_halves(self) -> list[tuple[Mapper[Any], str]]:
        """The subclasses with a table of their own, each with its key: NULL where there is no such row."""
        halves = []
        for mapper in self._mapper.self_and_descendants:
            if mapper.inherits is not None and mapper.local_table is not mapper.inherits.local_table:
                key: Any = next(iter(mapper.local_table.primary_key))
                halves.append((mapper, self._columns.setdefault(key, f"half_{len(self._columns)}")))
        return halves

    def _row(self, row: Row[Any]) -> TrackedRow:
        mapper, fault = self._mapper_of(row)
        created_at = getattr(row, "created_at", None)
        try:
            moment = None if created_at is None else self._snapshot.moment(created_at)
        except UNREADABLE:
            moment = None
        texts = {field.name: field.text(row) for field in self._fields[mapper]}
        return TrackedRow(self._kind, row.about, moment, getattr(row, "owner_id", None), texts, fault)

    def _mapper_of(self, row: Row[Any]) -> tuple[Mapper[Any], str | None]:
        if self._read_kind is None:
            return self._mapper, None
        try:
            mapper = self._mapper.polymorphic_map[self._read_kind(row.kind)]
        except UNREADABLE:
            return self._mapper, f"is of the kind {row.kind!r}, which is not known"
        for half, label in self._halves:
            there, due = getattr(row, label) is not None, mapper.isa(half)
            if there != due:
                table = half.local_table.description
                return mapper, f"is {row.kind!r} and has {'no' if due else 'a'} row in {table}"
        return mapper, None
