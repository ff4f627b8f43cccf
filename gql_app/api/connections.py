"""Relay connections by keyset: a cursor holds the values that a row is ordered by, so pages stay stable while rows
come and go, and the hundredth page costs what the first one does.
"""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Generic, TypeVar

import strawberry
from sqlalchemy import Select, literal, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from gql_app.errors import Invalid

T = TypeVar("T")
R = TypeVar("R")

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
    edges: list[Edge[T]]
    page_info: PageInfo

    @strawberry.field(description="The nodes alone, for clients that need no cursors.")
    def nodes(self) -> list[T]:
        return [edge.node for edge in self.edges]


@dataclass(frozen=True, slots=True)
class Order:
    """Order by a column, then by a unique one; both ascending or both descending."""

    column: InstrumentedAttribute[Any]
    unique: InstrumentedAttribute[Any]
    descending: bool = False

    def key(self, row: Any) -> tuple[Any, ...]:
        return getattr(row, self.column.key), getattr(row, self.unique.key)


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
class Page(Generic[R]):
    """The rows of one page, in the order asked for."""

    rows: Sequence[R]
    order: Order
    has_next: bool
    has_previous: bool

    def connection(self, to_node: Callable[[R], T]) -> Connection[T]:
        cursors = [_encode(self.order.key(row)) for row in self.rows]
        return Connection(
            edges=[Edge(cursor=c, node=to_node(row)) for c, row in zip(cursors, self.rows, strict=True)],
            page_info=PageInfo(
                has_next_page=self.has_next,
                has_previous_page=self.has_previous,
                start_cursor=cursors[0] if cursors else None,
                end_cursor=cursors[-1] if cursors else None,
            ),
        )


def load_page(session: Session, query: Select[R], order: Order, args: PageArgs) -> Page[R]:
    """One page of the query. Raises Invalid for a cursor that is not from this order."""
    key = tuple_(order.column, order.unique)
    for cursor, forward in ((args.after, True), (args.before, False)):
        if cursor is not None:
            values = _decode(cursor, order)
            edge = tuple_(literal(values[0], order.column.type), literal(values[1], order.unique.type))
            query = query.where(key > edge if forward != order.descending else key < edge)
    descending = order.descending != args.backward
    columns = (order.column, order.unique)
    query = query.order_by(*(c.desc() if descending else c.asc() for c in columns)).limit(args.size + 1)
    result = session.execute(query)
    rows: list[Any] = list(result.scalars() if len(result.keys()) == 1 else result)
    more = len(rows) > args.size
    del rows[args.size :]
    if args.backward:
        rows.reverse()
        return Page(rows, order, has_next=args.before is not None, has_previous=more)
    return Page(rows, order, has_next=more, has_previous=args.after is not None)


def _encode(key: tuple[Any, ...]) -> str:
    values = [value.isoformat() if isinstance(value, datetime) else value for value in key]
    text = json.dumps(values, default=str, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decode(cursor: str, order: Order) -> tuple[Any, Any]:
    try:
        if len(cursor) > _LONGEST_CURSOR:
            raise ValueError
        value, unique = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
        if not isinstance(unique, int) or isinstance(unique, bool) or not 0 <= unique < 2**63:
            raise ValueError
        return _value(value, order.column.type.python_type), unique
    except (ValueError, TypeError, OverflowError, binascii.Error, InvalidOperation, RecursionError) as error:
        raise Invalid("That is not a cursor of this connection in this order.", field="after") from error


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
