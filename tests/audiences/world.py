"""The rows as dictionaries, and what a step makes of them. Knows nothing of the product."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

Row = dict[str, Any]
Which = tuple[str, int]
"""An entity: its kind and number."""

UUID_KEYS = {"Talk", "Boat"}
PUBLIC = 1_000_000


def primary_key(kind: str, number: int) -> Any:
    return UUID(int=number) if kind in UUID_KEYS else number


def public_id(number: int) -> UUID:
    return UUID(int=PUBLIC + number)


@dataclass(frozen=True, slots=True)
class Create:
    kind: str
    number: int
    values: Row


@dataclass(frozen=True, slots=True)
class Change:
    kind: str
    number: int
    values: Row
    flush: bool = True


@dataclass(frozen=True, slots=True)
class Delete:
    kind: str
    number: int


@dataclass(frozen=True, slots=True)
class Where:
    """Rows whose column has one of the values (None: is NULL)."""

    column: str
    values: tuple[Any, ...]

    def meets(self, row: Row) -> bool:
        return row[self.column] in self.values


@dataclass(frozen=True, slots=True)
class Copied:
    """The value that another column of the row had."""

    column: str


@dataclass(frozen=True, slots=True)
class BulkChange:
    kind: str
    where: Where
    values: Row


@dataclass(frozen=True, slots=True)
class BulkDelete:
    kind: str
    where: Where


@dataclass(frozen=True, slots=True)
class Promote:
    user: int
    role: str


@dataclass(frozen=True, slots=True)
class Savepoint:
    steps: "tuple[Step, ...]"
    kept: bool


Step = Create | Change | Delete | BulkChange | BulkDelete | Promote | Savepoint


@dataclass
class World:
    """All rows by kind and number, and the users' roles. `touched`: what steps have named since `copy`."""

    rows: dict[str, dict[int, Row]]
    roles: dict[int, str]
    touched: set[Which] = field(default_factory=set)

    def copy(self) -> "World":
        rows = {kind: {number: dict(row) for number, row in found.items()} for kind, found in self.rows.items()}
        return World(rows, dict(self.roles))

    def all(self) -> Iterator[tuple[Which, Row]]:
        for kind, found in self.rows.items():
            for number, row in found.items():
                yield (kind, number), row

    def by_key(self, kind: str, value: Any) -> Row | None:
        """The row with this primary key."""
        if value is None:
            return None
        return self.rows[kind].get(value.int if isinstance(value, UUID) else value)

    def apply(self, steps: Iterable[Step]) -> None:
        for step in steps:
            self._apply(step)

    def _apply(self, step: Step) -> None:
        match step:
            case Create(kind, number, values):
                self.touched.add((kind, number))
                self.rows[kind][number] = {"id": primary_key(kind, number), **values}
            case Change(kind, number, values):
                self._change(kind, number, values)
            case Delete(kind, number):
                self._delete(kind, number)
            case BulkChange(kind, where, values):
                for number in self.met(kind, where):
                    self._change(kind, number, values)
            case BulkDelete(kind, where):
                for number in self.met(kind, where):
                    self._delete(kind, number)
            case Promote(user, role):
                self.roles[user] = role
            case Savepoint(steps, kept):
                if kept:
                    self.apply(steps)

    def met(self, kind: str, where: Where) -> list[int]:
        return [number for number, row in self.rows[kind].items() if where.meets(row)]

    def _change(self, kind: str, number: int, values: Row) -> None:
        self.touched.add((kind, number))
        row = self.rows[kind][number]
        row |= {name: row[value.column] if isinstance(value, Copied) else value for name, value in values.items()}

    def _delete(self, kind: str, number: int) -> None:
        self.touched.add((kind, number))
        del self.rows[kind][number]
