"""Rows by their keys, in one prepared statement: what resolvers ask for most, and what it costs least to ask for."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Row, Select, bindparam
from sqlalchemy.orm import Session

K = TypeVar("K")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, eq=False)
class Lookup(Generic[K, T_co]):
    """Finds GraphQL objects by a unique column, without the ORM's entities in between.

    `of` makes an object of a row, whose attributes are called as the columns.
    """

    one: Select[Any]
    several: Select[Any]
    key: str
    of: Callable[[Any], T_co]

    @classmethod
    def by(cls, column: ColumnElement[K], of: Callable[[Any], T_co], rows: Select[Any]) -> "Lookup[K, T_co]":
        """``rows`` selects what `of` takes, the column among it."""
        one = rows.where(column == bindparam("sought"))
        several = rows.where(column.in_(bindparam("sought", expanding=True)))
        return cls(one, several, str(column.key), of)

    def query(self, keys: Collection[K]) -> tuple[Select[Any], dict[str, Any]]:
        """The statement and its parameters; the one for a single key costs less."""
        if len(keys) == 1:
            return self.one, {"sought": next(iter(keys))}
        return self.several, {"sought": list(keys)}

    def found(self, rows: Sequence[Row[Any]]) -> Mapping[K, T_co]:
        return {getattr(row, self.key): self.of(row) for row in rows}

    def within(self, session: Session, keys: Collection[K]) -> Mapping[K, T_co]:
        """The same as part of a unit of work."""
        return self.found(session.connection().execute(*self.query(keys)).all())
