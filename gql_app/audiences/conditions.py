"""Which rows somebody may see, as SQL: the second reading of a declaration. The first is in `changes.audience`.

Must hold: both readings open the same entities to the same people. A random test compares them.
"""

from collections.abc import Iterable
from typing import Any, Protocol, TypeVar
from uuid import UUID

from sqlalchemy import Boolean, ColumnElement, Select, and_, false, or_, select, true
from sqlalchemy import inspect as sa_inspect

from gql_app.audiences.declaration import USER
from gql_app.audiences.kinds import Kind, Model, kind_of
from gql_app.audiences.registry import Catalog

M = TypeVar("M")


class Holder(Protocol):
    """Somebody who looks, and the keys that she holds."""

    def sees_whole(self, entity: str) -> bool:
        """Whether she may see every entity of the kind."""

    def has_role(self, key: str) -> bool:
        """Whether she holds the key of a role."""

    def holds(self, kind: str, column: Any) -> ColumnElement[bool]:
        """That she holds the key of this kind with the value of the column."""


def visible(model: Model, holder: Holder) -> ColumnElement[bool]:
    """The condition that the holder may see a row of the model."""
    kind = kind_of(model)
    if holder.sees_whole(kind.entity):
        return true()
    parts: list[ColumnElement[bool]] = [holder.holds(each.kind, _column(kind.model, each.column)) for each in kind.held]
    if any(holder.has_role(each) for each in kind.role_keys):
        parts.append(true())
    for related in kind.rows:
        theirs, mine = _column(related.model, related.of), _column(kind.model, related.mine)
        named = holder.holds(related.kind, _column(related.model, related.column))
        parts.append(mine.in_(select(theirs).where(named, _shown(kind_of(related.model)))))
    for above in kind.above:
        seen = select(_column(above.model, above.theirs)).where(visible(above.model, holder))
        parts.append(_column(kind.model, above.column).in_(seen))
    return and_(or_(false(), *parts), _shown(kind))


def seen(model: type[M], holder: Holder) -> Select[M]:
    """The entities of the model that the holder may see."""
    return select(model).where(visible(model, holder))


def _shown(kind: Kind) -> ColumnElement[bool]:
    return true() if kind.unless is None else is_unset(_column(kind.model, kind.unless))


def is_unset(column: Any) -> ColumnElement[bool]:
    """That the column of an ``unless`` does not hide its row."""
    empty: ColumnElement[bool] = column.is_(None)
    return or_(empty, column == false()) if isinstance(column.type, Boolean) else empty


def _column(model: Model, name: str) -> Any:
    return sa_inspect(model).columns[name]


class ByRows:
    """How a user holds keys: her own, and those that the rows of granting models give her at this moment."""

    def __init__(self, user_id: int, catalog: Catalog) -> None:
        self._user_id = user_id
        self._catalog = catalog

    def holds(self, kind: str, column: Any) -> ColumnElement[bool]:
        if kind == USER:
            return column == self._user_id  # type: ignore[no-any-return]
        return or_(false(), *(column.in_(each) for each in granted(self._catalog, self._user_id, kind)))


def granted(catalog: Catalog, user_id: int, kind: str) -> Iterable[Select[Any]]:
    """The values of a user's keys of this kind, one statement for each model that grants them."""
    for each in catalog.grants:
        if each.grant.kind == kind:
            hidden = true() if each.unless is None else is_unset(_column(each.model, each.unless))
            to = _column(each.model, each.grant.to)
            yield select(_column(each.model, each.grant.column)).where(to == user_id, hidden)


def among(values: Iterable[str], column: Any) -> ColumnElement[bool]:
    """That the column has one of these values of keys."""
    kind: type = column.type.python_type
    read: Any = UUID if issubclass(kind, UUID) else int
    found = []
    for value in values:
        try:
            found.append(read(value))
        except ValueError:  # of a kind of keys that another model makes of another type
            continue
    return column.in_(found) if found else false()
