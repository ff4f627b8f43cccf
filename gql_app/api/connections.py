"""Relay connections: pages of a list, by keyset (see `keyset`)."""

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeAlias, TypeVar

import strawberry
from sqlalchemy import Row, Select, func, select
from sqlalchemy.orm import Session

from gql_app.api.context import Info
from gql_app.api.keyset import SORTED_BY, Order, decode, encode
from gql_app.errors import Invalid

T = TypeVar("T")
Rows: TypeAlias = Sequence[Row[Any]]

DEFAULT_PAGE = 20
LARGEST_PAGE = 100
MOST_COUNTED = 10_000
"""Entries that are counted at most: more would take too long."""

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
    """`cursor_of` is called only for cursors that are shown. `every` selects the rows of all pages, for `totalCount`;
    None: they are not counted."""

    rows: strawberry.Private[Sequence[Any]]
    shown: strawberry.Private[list[T]]
    cursor_of: strawberry.Private[Callable[[Any], str]]
    has_next: strawberry.Private[bool]
    has_previous: strawberry.Private[bool]
    every: strawberry.Private[Select[Any] | None] = None

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

    @strawberry.field(
        description="The number of entries on all pages. Counted only if you ask for it. Null if there are more than "
        f"{MOST_COUNTED:,}, and always null for the audit log."
    )
    async def total_count(self, info: Info) -> int | None:
        if self.every is None:
            return None
        some = self.every.limit(MOST_COUNTED + 1).subquery()
        rows = await info.context.read(select(func.count()).select_from(some))
        found: int = rows[0][0]
        return found if found <= MOST_COUNTED else None

    @strawberry.field(description="The nodes alone, for clients that need no cursors.")
    def nodes(self) -> list[T]:
        return self.shown


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
    every: Select[Any]
    """The same for all pages: what identifies each row."""

    @classmethod
    def of(cls, query: Select[Any], order: Order, args: PageArgs) -> "Page":
        """Raises Invalid for a cursor that is not from this order."""
        every = query.with_only_columns(order.unique, maintain_column_froms=True)
        for field, cursor, forward in (("after", args.after, True), ("before", args.before, False)):
            if cursor is not None:
                value, unique = decode(cursor, order, field)
                query = query.where(order.beyond(value, unique, above=forward != order.descending))
        descending = order.descending != args.backward
        query = query.order_by(*order.sorting(descending=descending)).limit(args.size + 1)
        if order.is_raw:
            query = query.add_columns(order.sorted_by.label(SORTED_BY))
        return cls(query, order, args, every)

    def shown(self, found: Rows) -> Rows:
        """Those of the rows that the page shows, in its order."""
        rows = found[: self.args.size]
        return rows[::-1] if self.args.backward else rows

    def connection(self, found: Rows, to_nodes: Callable[[Rows], list[T]]) -> Connection[T]:
        more, rows = len(found) > self.args.size, self.shown(found)
        return Connection(
            rows=rows,
            shown=to_nodes(rows),
            cursor_of=lambda row: encode(self.order, row),
            has_next=self.args.before is not None if self.args.backward else more,
            has_previous=more if self.args.backward else self.args.after is not None,
            every=self.every,
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
