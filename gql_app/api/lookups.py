"""Rows as GraphQL objects, without the ORM's entities in between; rows by their keys in one prepared statement."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Row, Select, bindparam
from strawberry.utils.str_converters import to_camel_case

K = TypeVar("K")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


def as_values(rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
    """The rows' values by the names of their columns; the rows are of one statement."""
    names = rows[0]._fields if rows else ()
    return [dict(zip(names, row, strict=True)) for row in rows]


def of_values(kind: type[T], values: dict[str, Any]) -> T:
    """An object with these attributes, which it keeps; a column that was not read, it does not have.

    (A column ``id`` hides the resolver of that name in the object, where nobody looks for it.)
    """
    made = object.__new__(kind)
    made.__dict__ = values
    return made


MOST_NARROWED = 256
"""Statements that are kept, 10 kB each."""


@dataclass(frozen=True, eq=False)
class Lookup(Generic[K, T_co]):
    """Finds GraphQL objects by a unique column.

    `of` makes one of the values of a row. `rows` selects them: the column, what is `always` needed, and what fields of
    the same name show.
    """

    column: ColumnElement[K]
    of: Callable[[dict[str, Any]], T_co]
    rows: Select[Any]
    always: frozenset[str] = frozenset()
    model: Any = None
    """The tracked model, where `Context.seen` is to decide by what was read; `always` has what decides."""
    shows: Mapping[str, str] | None = None
    """Which column each field of the GraphQL type shows, where they are not called alike."""
    _one: Select[Any] = field(init=False, repr=False)
    _several: Select[Any] = field(init=False, repr=False)
    _fields: Mapping[str, Any] = field(init=False, repr=False)
    _narrowed: "dict[frozenset[str], Lookup[K, T_co]]" = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        several: Any = bindparam("sought", expanding=True)
        others = {str(each.key): each for each in self.rows.selected_columns if each.key not in self.always}
        shows = {to_camel_case(name): name for name in others} if self.shows is None else self.shows
        object.__setattr__(self, "_one", self.rows.where(self.column == bindparam("sought")))
        object.__setattr__(self, "_several", self.rows.where(self.column.in_(several)))
        object.__setattr__(self, "_fields", {name: others[shown] for name, shown in shows.items() if shown in others})

    def showing(self, fields: frozenset[str]) -> "Lookup[K, T_co]":
        """The same for objects of which only fields of these names will be asked: reads no more than it must."""
        wanted = fields.intersection(self._fields)
        found = self._narrowed.get(wanted)
        if found is None:
            fixed = [column for column in self.rows.selected_columns if column.key in self.always]
            shown = dict.fromkeys(self._fields[name] for name in sorted(wanted))
            rows = self.rows.with_only_columns(*fixed, *shown, maintain_column_froms=True)
            found = Lookup(self.column, self.of, rows, self.always, self.model, self.shows)
            if len(self._narrowed) < MOST_NARROWED:  # bounded: a client may ask for any set
                self._narrowed[wanted] = found
        return found

    def query(self, keys: Collection[K]) -> tuple[Select[Any], dict[str, Any]]:
        """The statement and its parameters; the one for a single key costs less."""
        if len(keys) == 1:
            return self._one, {"sought": next(iter(keys))}
        return self._several, {"sought": list(keys)}

    def found(self, rows: Sequence[Row[Any]]) -> Mapping[K, T_co]:
        name = str(self.column.key)
        return {values[name]: self.of(values) for values in as_values(rows)}
