"""Relay connections by keyset: a cursor holds the values that a row is ordered by, so pages stay stable while rows
come and go, and the hundredth page costs what the first one does.
"""

import base64
import binascii
import enum
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Annotated, Any, Generic, TypeAlias, TypeVar

import strawberry
from sqlalchemy import ColumnElement, Float, Numeric, Row, Select, and_, literal, or_, tuple_, type_coerce
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.orm import InstrumentedAttribute, Session
from sqlalchemy.types import NULLTYPE

from gql_app.changes.codec import Codec
from gql_app.changes.stored import bare_type, python_type
from gql_app.errors import Invalid, Undecodable

T = TypeVar("T")
Rows: TypeAlias = Sequence[Row[Any]]

DEFAULT_PAGE = 20
LARGEST_PAGE = 100
_LONGEST_CURSOR = 8_000
LONGEST_TEXT = 1_000
"""Characters of a text column that a list may be ordered by: a cursor holds its value."""
_SORTED_BY = "_sorted_by"
_MOST_DIGITS = 1_000


First = Annotated[
    int | None,
    strawberry.argument(description=f"How many from the beginning, 0 to {LARGEST_PAGE} (default: {DEFAULT_PAGE})."),
]
After = Annotated[str | None, strawberry.argument(description="Only what comes behind this cursor.")]
Last = Annotated[
    int | None, strawberry.argument(description=f"How many from the end, 0 to {LARGEST_PAGE}; instead of `first`.")
]
Before = Annotated[str | None, strawberry.argument(description="Only what comes before this cursor.")]


@strawberry.enum(description="In which direction a list is ordered.")
class OrderDirection(enum.Enum):
    ASC = strawberry.enum_value("ASC", description="The smallest, the earliest or the first letter first.")
    DESC = strawberry.enum_value("DESC", description="The largest, the latest or the last letter first.")


@strawberry.type(description="What comes before and behind a page.")
class PageInfo:
    has_next_page: bool = strawberry.field(description="Whether there is more behind this page.")
    has_previous_page: bool = strawberry.field(description="Whether there is more before this page.")
    start_cursor: str | None = strawberry.field(default=None, description="Of the first entry; null on an empty page.")
    end_cursor: str | None = strawberry.field(default=None, description="Of the last entry; null on an empty page.")


@strawberry.type(description="One entry of a list, and where it stands in it.")
class Edge(Generic[T]):
    cursor: str = strawberry.field(description="Where the entry stands: `after` and `before` take it.")
    node: T = strawberry.field(description="The entry.")


@strawberry.type(description="One page of a list.")
class Connection(Generic[T]):
    """`cursor_of` a row is asked for only where a cursor is shown."""

    rows: strawberry.Private[Sequence[Any]]
    shown: strawberry.Private[list[T]]
    cursor_of: strawberry.Private[Callable[[Any], str]]
    has_next: strawberry.Private[bool]
    has_previous: strawberry.Private[bool]

    @strawberry.field(description="The entries with their cursors.")
    def edges(self) -> list[Edge[T]]:
        return [Edge(cursor=self.cursor_of(row), node=node) for row, node in zip(self.rows, self.shown, strict=True)]

    @strawberry.field(description="Whether there is more.")
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
    """Order by a column, then by a unique one; both ascending or both descending. Rows without a value come last in
    ascending order, first in descending order."""

    column: InstrumentedAttribute[Any]
    unique: InstrumentedAttribute[Any]
    descending: bool = False

    @property
    def has_nulls(self) -> bool:
        return bool(getattr(self.column.property.columns[0], "nullable", False))

    @property
    def sorted_by(self) -> Any:
        """What the database compares. SQLite keeps digits of a numeric that its type rounds away when it is read."""
        if isinstance(bare_type(self.column.type), Numeric) and not isinstance(self.column.type, Float):
            return type_coerce(self.column, NULLTYPE)
        return self.column

    def beyond(self, value: Any, unique: Any, *, above: bool) -> ColumnElement[bool]:
        """The rows that come after these values in ascending order, or before them."""
        column = self.sorted_by
        known, key = literal(value, column.type), literal(unique, self.unique.type)
        if not self.has_nulls:
            mine, edge = tuple_(column, self.unique), tuple_(known, key)
            return mine > edge if above else mine < edge
        further = self.unique > key if above else self.unique < key
        if value is None:
            same = and_(self.column.is_(None), further)
            return same if above else or_(same, self.column.is_not(None))
        other = column > known if above else column < known
        beyond = or_(other, and_(column == known, further))
        return or_(beyond, self.column.is_(None)) if above else beyond

    def sorting(self, *, descending: bool) -> Sequence[ColumnElement[Any]]:
        if not self.has_nulls:
            return [each.desc() if descending else each.asc() for each in (self.column, self.unique)]
        first = self.column.desc().nulls_first() if descending else self.column.asc().nulls_last()
        return [first, self.unique.desc() if descending else self.unique.asc()]

    @property
    def name(self) -> str:
        """What a cursor is valid for, in either direction."""
        return str(self.column)

    def key(self, row: Any) -> tuple[Any, Any]:
        found = row._mapping  # a column may be called as an attribute of rows is
        return found[_SORTED_BY if self.is_raw else self.column.key], found[self.unique.key]

    @property
    def is_raw(self) -> bool:
        """Whether a page reads what the database compares besides the column."""
        return self.sorted_by is not self.column


@dataclass(frozen=True, slots=True)
class PageArgs:
    """Relay's arguments, checked.

    Raises:
        Invalid: a page of fewer than 0 or more than 100 rows, both directions at once.
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
            if size is not None and not 0 <= size <= LARGEST_PAGE:
                raise Invalid(f"A page has 0 to {LARGEST_PAGE} entries.", field=name)

    @property
    def backward(self) -> bool:
        return self.last is not None

    @property
    def size(self) -> int:
        return next((each for each in (self.first, self.last) if each is not None), DEFAULT_PAGE)


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a query: `statement` reads its rows, which `connection` then takes."""

    statement: Select[Any]
    order: Order
    args: PageArgs

    @classmethod
    def of(cls, query: Select[Any], order: Order, args: PageArgs) -> "Page":
        """Raises Invalid for a cursor that is not from this order."""
        for field, cursor, forward in (("after", args.after, True), ("before", args.before, False)):
            if cursor is not None:
                value, unique = _decode(cursor, order, field)
                query = query.where(order.beyond(value, unique, above=forward != order.descending))
        descending = order.descending != args.backward
        query = query.order_by(*order.sorting(descending=descending)).limit(args.size + 1)
        if order.is_raw:
            query = query.add_columns(order.sorted_by.label(_SORTED_BY))
        return cls(query, order, args)

    def shown(self, found: Rows) -> Rows:
        """Those of the rows that the page shows, in its order."""
        rows = found[: self.args.size]
        return rows[::-1] if self.args.backward else rows

    def connection(self, found: Rows, to_nodes: Callable[[Rows], list[T]]) -> Connection[T]:
        more, rows = len(found) > self.args.size, self.shown(found)
        return Connection(
            rows=rows,
            shown=to_nodes(rows),
            cursor_of=lambda row: _encode(self.order, row),
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


def _encode(order: Order, row: Any) -> str:
    value, unique = order.key(row)
    values = [order.name, _written(value, order.column), _written(unique, order.unique)]
    text = json.dumps(values, separators=(",", ":"), ensure_ascii=False)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decode(cursor: str, order: Order, field: str) -> tuple[Any, Any]:
    try:
        if len(cursor) > _LONGEST_CURSOR:
            raise ValueError
        name, value, unique = json.loads(
            base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        )
        if name != order.name or unique is None or (value is None and not order.has_nulls):
            raise ValueError
        return _value(value, order.column), _value(unique, order.unique)
    except (ValueError, TypeError, ArithmeticError, binascii.Error, RecursionError, Undecodable) as error:
        raise Invalid("That is not a cursor of this connection in this order.", field=field) from error


def _written(value: Any, column: InstrumentedAttribute[Any]) -> int | float | str | None:
    if value is None or type(value) in (int, float):
        return value  # type: ignore[no-any-return]
    if isinstance(value, Decimal) and isinstance(bare_type(column.type), Numeric):
        return format(value, "f")  # as it is: the type would round it
    return value.isoformat() if isinstance(value, datetime) else _codec(column).freeze(value).text


def _value(written: object, column: InstrumentedAttribute[Any]) -> Any:
    """Raises ValueError or Undecodable for what no row of ours can have."""
    if written is None:
        return None
    kind = python_type(column.type)
    if kind is int:
        if isinstance(written, int) and not isinstance(written, bool) and -(2**63) <= written < 2**63:
            return written
        raise ValueError(written)
    if type(written) in (int, float) and kind in (float, Decimal):
        return float(written)  # type: ignore[arg-type]
    if not isinstance(written, str) or "\0" in written or any("\ud800" <= char <= "\udfff" for char in written):
        raise ValueError(written)
    if isinstance(bare_type(column.type), Numeric) and kind is Decimal:
        value: Any = Decimal(written)
    else:
        value = _codec(column).decode(written)
    if kind is datetime and getattr(bare_type(column.type), "timezone", True):
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, Decimal) and (not value.is_finite() or len(written) > _MOST_DIGITS or "E" in written.upper()):
        raise ValueError(written)
    return value


@cache
def _codec(column: InstrumentedAttribute[Any]) -> Codec:
    return Codec(column.type, DefaultDialect())
