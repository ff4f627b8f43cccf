"""What the models say about their entities: tables, tracked attributes, owner."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Table
from sqlalchemy import inspect as sa_inspect
from sqlalchemy.orm import Mapper
from sqlalchemy.types import TypeEngine

from gql_app.audiences.kinds import kind_of
from gql_app.changes.tracking import Tracked, entity_type, tracked_attributes

Row = dict[str, Any]
"""A row as the database stores it: column → JSON value."""

PRUNED: dict[str, Callable[[Row], bool]] = {"Delivery": lambda row: row["due_at"] is None}
"""Entities that may be forgotten without an entry, and the rows to which this applies (see `queue.prune`)."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """A tracked attribute and where it is stored."""

    name: str
    table: str
    column: str
    type: TypeEngine[Any]
    secret: bool


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of entity. `tables` are those of its inheritance hierarchy, the one with the public id first.

    Each of these tables has the same primary key. `owner` is a table and a column. `names_owner`: its rows say whose it
    is, always: not those of a parent, and no column hides it.
    """

    entity: str
    tables: tuple[Table, ...]
    attributes: tuple[Attribute, ...]
    owner: tuple[str, str] | None
    public_id: str
    names_owner: bool = True

    @property
    def base(self) -> str:
        return self.tables[0].name

    def secrets_of(self, table: str) -> list[str]:
        """The secret columns of one of its tables."""
        return [each.column for each in self.attributes if each.table == table and each.secret]

    def key_of(self, table: str, row: Row) -> tuple[Any, ...]:
        """The primary key of a row of one of its tables."""
        (found,) = (each for each in self.tables if each.name == table)
        return tuple(row[column.name] for column in found.primary_key)


def kinds_of(models: Iterable[type[Tracked]]) -> list[Kind]:
    """The kinds of entities of these models; a model stands for all of its inheritance hierarchy."""
    roots: dict[Mapper[Any], None] = {}
    for model in models:
        roots.setdefault(sa_inspect(model).base_mapper)
    return [_kind_of(root) for root in roots]


def _kind_of(root: Mapper[Any]) -> Kind:
    base, mappers = root.local_table, list(root.self_and_descendants)
    assert isinstance(base, Table), f"{root.class_.__name__} is mapped to something that is no table"
    tables: dict[Table, None] = {base: None}
    attributes: dict[str, Attribute] = {}
    for mapper in mappers:
        assert isinstance(mapper.local_table, Table)
        tables.setdefault(mapper.local_table)
        attributes |= {attribute.name: attribute for attribute in _attributes_of(mapper)}
    audience = kind_of(root.class_)
    owner = audience.owner
    return Kind(
        entity_type(root.class_),
        tuple(tables),
        tuple(attributes.values()),
        _place_of(root, owner) if owner else None,
        _place_of(root, "public_id")[1],
        audience.is_plain and audience.unless is None,
    )


def _attributes_of(mapper: Mapper[Any]) -> Iterator[Attribute]:
    for name, secret in tracked_attributes(mapper.class_).items():
        table, column = _place_of(mapper, name)
        yield Attribute(name, table, column, mapper.column_attrs[name].columns[0].type, secret)


def _place_of(mapper: Mapper[Any], attribute: str) -> tuple[str, str]:
    column = mapper.column_attrs[attribute].columns[0]
    assert isinstance(column.table, Table)
    return column.table.name, column.name
