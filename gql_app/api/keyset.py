"""Keysets: a cursor of a list holds the values that a row is ordered by, so pages stay stable while rows come and go,
and the hundredth page costs what the first one does.
"""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Float, Numeric, and_, literal, or_, tuple_, type_coerce
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.types import NULLTYPE

from gql_app.changes.codec import Codec
from gql_app.changes.stored import bare_type, python_type
from gql_app.errors import Invalid, Undecodable

LONGEST_TEXT = 1_000
"""Characters of a text column that a list may be ordered by: a cursor holds its value."""
SORTED_BY = "_sorted_by"
_LONGEST_CURSOR = 8_000
_MOST_DIGITS = 1_000


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
        return found[SORTED_BY if self.is_raw else self.column.key], found[self.unique.key]

    @property
    def is_raw(self) -> bool:
        """Whether a page reads what the database compares besides the column."""
        return self.sorted_by is not self.column


def encode(order: Order, row: Any) -> str:
    value, unique = order.key(row)
    values = [order.name, _written(value, order.column), _written(unique, order.unique)]
    text = json.dumps(values, separators=(",", ":"), ensure_ascii=False)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode(cursor: str, order: Order, field: str) -> tuple[Any, Any]:
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
