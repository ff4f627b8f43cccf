"""Which tables are watched, and which of their columns an image holds."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Table

from gql_app.audiences.kinds import Model, root_of
from gql_app.audiences.registry import followed
from gql_app.changes.tracking import attributes_of, mapper_of

SET, CHANGED = "set", "changed"
"""What an image says of a secret that is there, and of one that was replaced; its name begins with an asterisk."""
BASE_ROW = "^"
"""Under which name the image of a row of a subclass's table has the row of the base table."""
OWN = "own"
"""On SQLite the transaction of what the database has done because of the service."""


@dataclass(frozen=True)
class Watched:
    """A table of a kind of entity. The base table has the public id, the version, and all that decides who sees it."""

    table: Table
    root: Model
    columns: Sequence[Column[Any]]
    """Those whose values an image holds."""
    secrets: Sequence[Column[Any]]
    """Those of which it holds a mark."""

    @property
    def is_base(self) -> bool:
        return self.table is base_of(self.root)

    @property
    def base(self) -> "Watched":
        """What an image of a part holds of the base table: its key, its public id, and all that decides who sees it."""
        return next(each for each in _of_kind(self.root) if each.is_base).without_values()

    def without_values(self) -> "Watched":
        kept = {*self.key, *_decides(self.root)}
        return Watched(self.table, self.root, [each for each in self.columns if each in kept], ())

    @property
    def public_id(self) -> str:
        """The name of that column of the base table."""
        return str(mapper_of(self.root).columns["public_id"].name)

    @property
    def names(self) -> frozenset[str]:
        """The names in an image."""
        found = {each.name for each in self.columns} | {f"*{each.name}" for each in self.secrets}
        return frozenset(found if self.is_base else found | {BASE_ROW})

    @property
    def key(self) -> Sequence[Column[Any]]:
        return tuple(self.table.primary_key.columns)


def base_of(root: Model) -> Table:
    """The table of a kind's base class."""
    found = mapper_of(root).local_table
    assert isinstance(found, Table)
    return found


def watched(models: Iterable[Model]) -> Sequence[Watched]:
    """The tables of these models and of their subclasses, base tables before those of subclasses."""
    return [each for root in dict.fromkeys(map(root_of, models)) for each in _of_kind(root)]


def _of_kind(root: Model) -> Sequence[Watched]:
    base, mapper = base_of(root), mapper_of(root)
    wanted: dict[Table, dict[Column[Any], bool]] = {}
    for each in mapper.self_and_descendants:
        if isinstance(table := each.local_table, Table):
            wanted.setdefault(table, dict.fromkeys(table.primary_key.columns, False))
        for attribute in attributes_of(each.class_).values():
            if isinstance(table := attribute.column.table, Table):
                wanted.setdefault(table, {})[attribute.column] = attribute.secret
    for column in _decides(root):
        wanted[base].setdefault(column, False)
    return [
        Watched(
            table,
            root,
            [column for column, secret in columns.items() if not secret],
            [column for column, secret in columns.items() if secret],
        )
        for table, columns in wanted.items()
    ]


def _decides(root: Model) -> Sequence[Any]:
    """The columns of the base table by which an entity is known, and that say who may see it."""
    mapper = mapper_of(root)
    found: list[Any] = [mapper.columns[name] for name in ("public_id", *followed(root))]
    return [*found, mapper.polymorphic_on] if isinstance(mapper.polymorphic_on, Column) else found
