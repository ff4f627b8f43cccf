"""Relay connections by keyset: a cursor holds the values that a row is ordered by, so pages stay stable while rows
come and go, and the hundredth page costs what the first one does.
"""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Generic, TypeAlias, TypeVar

import strawberry
from sqlalchemy import Row, Select, literal, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from gql_app.errors import Invalid

T = TypeVar("T")
Rows: TypeAlias = Sequence[Row[Any]]

DEFAULT_PAGE = 20
LARGEST_PAGE = 100
_LONGEST_CURSOR = 400


@strawberry.type
class PageInfo:
    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None = None
    end_cursor: str | None = None


@strawberry.type
class Edge(Generic[T]):
    cursor: str
    node: T


@strawberry.type
class Connection(Generic[T]):
    """`cursor_of` a row is asked for only where a cursor is shown."""

    rows: strawberry.Private[Sequence[Any]]
    shown: strawberry.Private[list[T]]
    cursor_of: strawberry.Private[Callable[[Any], str]]
    has_next: strawberry.Private[bool]
    has_previous: strawberry.Private[bool]

    @strawberry.field
    def edges(self) -> list[Edge[T]]:
        return [Edge(cursor=self.cursor_of(row), node=node) for row, node in zip(self.rows, self.shown, strict=True)]

    @strawberry.field
    def page_info(self) -> PageInfo:
        return PageInfo(
            has_next_page=self.has_next,
            has_previous_page=self.has_previous,
            start_cursor=self.cursor_of(self.rows[0]) if self.rows else None,
            end_cursor=self.cursor_of(self.rows[-1]) if self.rows else None,
        )

    @strawberry.field(description="The nodes alone, for clients that need no cursors.")
    def nodes(self) -> list[T]:
        return self.shown


@dataclass(frozen=True, slots=True)
class Order:
    """Order by a column, then by a unique one; both ascending or both descending."""

    column: InstrumentedAttribute[Any]
    unique: InstrumentedAttribute[Any]
    descending: bool = False

    @property
    def name(self) -> str:
        """What a cursor is valid for, in either direction."""
        return str(self.column)

    def key(self, row: Any) -> tuple[Any, ...]:
        return self.name, getattr(row, self.column.key), getattr(row, self.unique.key)


@dataclass(frozen=True, slots=True)
class PageArgs:
    """Relay's arguments, checked.

    Raises:
        Invalid: a page of no or more than 100 rows, both directions at once.
    """

    first: int | None = None
    after: str | None = None
    last: int | None = None
    before: str | None = None

    def __post_init__(self) -> None:
        if self.first is not None and self.last is not None:
            raise Invalid("Give either `first` or `last`.", field="first")
        for name in ("first", "last"):
            size = getattr(self, name)
            if size is not None and not 1 <= size <= LARGEST_PAGE:
                raise Invalid(f"A page has 1 to {LARGEST_PAGE} entries.", field=name)

    @property
    def backward(self) -> bool:
        return self.last is not None

    @property
    def size(self) -> int:
        return self.first or self.last or DEFAULT_PAGE


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a query: `statement` reads its rows, which `connection` then takes."""

    statement: Select[Any]
    order: Order
    args: PageArgs

    @classmethod
    def of(cls, query: Select[Any], order: Order, args: PageArgs) -> "Page":
        """Raises Invalid for a cursor that is not from this order."""
        key = tuple_(order.column, order.unique)
        for field, cursor, forward in (("after", args.after, True), ("before", args.before, False)):
            if cursor is not None:
                values = _decode(cursor, order, field)
                edge = tuple_(literal(values[0], order.column.type), literal(values[1], order.unique.type))
                query = query.where(key > edge if forward != order.descending else key < edge)
        descending = order.descending != args.backward
        columns = (order.column, order.unique)
        query = query.order_by(*(c.desc() if descending else c.asc() for c in columns)).limit(args.size + 1)
        return cls(query, order, args)

    def connection(self, found: Rows, to_nodes: Callable[[Rows], list[T]]) -> Connection[T]:
        more = len(found) > self.args.size
        rows = found[: self.args.size]
        if self.args.backward:
            rows = rows[::-1]
        return Connection(
            rows=rows,
            shown=to_nodes(rows),
            cursor_of=lambda row: _encode(self.order.key(row)),
            has_next=self.args.before is not None if self.args.backward else more,
            has_previous=more if self.args.backward else self.args.after is not None,
        )


def load_page(
    session: Session,
    query: Select[Any],
    order: Order,
    args: PageArgs,
    to_nodes: Callable[[Rows], list[T]],
) -> Connection[T]:
    """One page of the query, as part of a unit of work; its rows are read as such, not as entities.

    Raises Invalid for a cursor that is not from this order.
    """
    page = Page.of(query, order, args)
    return page.connection(session.connection().execute(page.statement).all(), to_nodes)


def _encode(key: tuple[Any, ...]) -> str:
    values = [value.isoformat() if isinstance(value, datetime) else value for value in key]
    text = json.dumps(values, default=str, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decode(cursor: str, order: Order, field: str) -> tuple[Any, Any]:
    try:
        if len(cursor) > _LONGEST_CURSOR:
            raise ValueError
        name, value, unique = json.loads(
            base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        )
        if name != order.name or not isinstance(unique, int) or isinstance(unique, bool) or not 0 <= unique < 2**63:
            raise ValueError
        return _value(value, order.column.type.python_type), unique
    except (ValueError, TypeError, ArithmeticError, binascii.Error, RecursionError) as error:
        raise Invalid("That is not a cursor of this connection in this order.", field=field) from error


def _value(value: object, kind: type) -> object:
    if issubclass(kind, datetime) and isinstance(value, str):
        moment = datetime.fromisoformat(value)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    if kind is Decimal and isinstance(value, str):
        number = Decimal(value)
        if not number.is_finite() or abs(number) > 10**15:
            raise ValueError
        return number
    if kind is int and isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63:
        return value
    raise ValueError
