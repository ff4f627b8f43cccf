"""How the change log writes a value, and reads it back: the one place for both.

A value is written as the database gives it back, not as it was assigned: numerics rounded to their scale, moments in
UTC, enums by name. `Codec.freeze` finds that out without asking: it sends the value through the column type's own
processors.

Must hold: two values are equal if their texts are, and the text of a value never changes between versions.
"""

import enum
import json
import math
from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    CHAR,
    JSON,
    NCHAR,
    Boolean,
    DateTime,
    Dialect,
    Integer,
    Interval,
    String,
    Time,
    Uuid,
)
from sqlalchemy import Enum as EnumType
from sqlalchemy.dialects.postgresql import BIT, INTERVAL
from sqlalchemy.types import TypeDecorator, TypeEngine

from gql_app.changes.stored import bare_type, canonical_json, is_json, python_type, round_trip, without_sign_of_zero
from gql_app.errors import Undecodable


class Frozen(NamedTuple):
    """A value as the database will give it back, and its text in the log (None for NULL)."""

    value: Any
    text: str | None


NULL = Frozen(None, None)

Write = Callable[[Any], str]
Read = Callable[[str], Any]


class Codec:
    """Writes and reads the values of one column type on one database.

    Raises:
        TypeError: the log has no text for values of this type.
    """

    def __init__(self, column_type: TypeEngine[Any], dialect: Dialect) -> None:
        self._stored = round_trip(column_type, dialect)
        self._write, self._read = _texts(column_type, dialect)
        self.mutable = is_json(column_type) or isinstance(bare_type(column_type), ARRAY)

    def freeze(self, value: Any) -> Frozen:
        """Raises TypeError or ValueError for a value that the column cannot hold."""
        if value is None or value is JSON.NULL:
            return NULL
        stored = self._stored(value)
        if stored is None:
            return NULL
        text = self._write(stored)
        return Frozen(self._read(text) if self.mutable else stored, text)

    def frozen(self, stored: Any) -> Frozen:
        """The same for a value that came from the database."""
        if stored is None:
            return NULL
        text = self._write(stored)
        return Frozen(self._read(text) if self.mutable else stored, text)

    def decode(self, text: str | None) -> Any:
        """Raises Undecodable."""
        if text is None:
            return None
        try:
            return self._read(text)
        except (ValueError, KeyError, ArithmeticError, TypeError) as error:
            raise Undecodable from error


def _texts(column_type: TypeEngine[Any], dialect: Dialect) -> tuple[Write, Read]:
    bare = bare_type(column_type)
    _refuse_inexact(column_type, bare)
    if is_json(column_type):
        return canonical_json, json.loads
    if isinstance(bare, ARRAY):
        write, read = _texts(bare.item_type, dialect)
        return (
            lambda items: canonical_json([None if item is None else write(item) for item in items]),
            lambda text: [None if item is None else read(item) for item in json.loads(text)],
        )
    if isinstance(bare, EnumType) and bare.enum_class is None:
        return str, str
    if isinstance(bare, Uuid) and not bare.as_uuid:
        return lambda value: str(UUID(value)), str
    kind = python_type(column_type)
    if issubclass(kind, enum.Enum):
        return lambda value: str(value.name), lambda text: kind[text]
    for known, texts in _BY_TYPE.items():
        if issubclass(kind, known):
            return texts
    raise TypeError(
        f"the log has no text for values of {column_type!r}: use another type, or a TypeDecorator whose python_type is "
        "one of bool, int, float, Decimal, str, bytes, datetime, date, time, timedelta, UUID or an Enum"
    )


def _refuse_inexact(column_type: TypeEngine[Any], bare: TypeEngine[Any]) -> None:
    """Types of which it cannot be told beforehand what the database gives back."""
    precise = [getattr(bare, name, None) for name in ("precision", "second_precision", "fields")]
    if isinstance(bare, DateTime | Time | Interval | INTERVAL) and any(each is not None for each in precise):
        raise TypeError(f"the log cannot follow the rounding of {bare!r}: leave its precision out")
    if isinstance(bare, Time) and bare.timezone:
        raise TypeError(f"the log has no text for {bare!r}: leave its timezone out, or use a DateTime")
    if isinstance(bare, ARRAY):
        item = bare_type(bare.item_type)
        simple = isinstance(item, Integer | String | Uuid | Boolean) and bare.dimensions in (None, 1)
        if not simple or isinstance(item, CHAR | NCHAR | EnumType):
            raise TypeError(f"the log has no text for {bare!r}: use an ARRAY of one dimension, or JSON")
    if isinstance(bare, BIT):
        raise TypeError(f"the log has no text for {bare!r}: use a String")
    given = getattr(type(column_type), "process_result_value", None)
    if is_json(column_type) and given not in (None, TypeDecorator.process_result_value):
        raise TypeError(f"the log has no text for what {column_type!r} makes of its JSON: track plain JSON")


def _moment(value: datetime) -> str:
    if not isinstance(value, datetime):
        raise TypeError(f"{value!r} is no moment: use datetime.now(UTC)")
    return value.isoformat() if value.tzinfo is None else value.astimezone(UTC).isoformat()


def _date(value: date) -> str:
    return (value.date() if isinstance(value, datetime) else value).isoformat()


def _float(value: Any) -> str:
    return repr(float(value) + 0.0)  # minus zero is zero


def _read_float(text: str) -> float:
    value = float(text)
    if math.isnan(value) and text != "nan":
        raise ValueError(text)
    return value


def _boolean(text: str) -> bool:
    return {"true": True, "false": False}[text]


def _duration(value: timedelta) -> str:
    """ISO 8601, in seconds only: PT5400.000000S."""
    microseconds = value // timedelta(microseconds=1)
    sign, rest = ("-", -microseconds) if microseconds < 0 else ("", microseconds)
    return f"{sign}PT{rest // 1_000_000}.{rest % 1_000_000:06}S"


def _read_duration(text: str) -> timedelta:
    sign, _, seconds = text.partition("PT")
    whole, _, fraction = seconds.removesuffix("S").partition(".")
    value = timedelta(seconds=int(whole), microseconds=int(fraction or 0))
    return -value if sign == "-" else value


_BY_TYPE: dict[type, tuple[Write, Read]] = {
    bool: (lambda value: "true" if value else "false", _boolean),
    int: (lambda value: str(int(value)), int),
    float: (_float, _read_float),
    Decimal: (lambda value: format(without_sign_of_zero(value), "f"), Decimal),
    datetime: (_moment, datetime.fromisoformat),
    date: (_date, date.fromisoformat),
    time: (lambda value: str(value.isoformat()), time.fromisoformat),
    timedelta: (_duration, _read_duration),
    UUID: (str, UUID),
    str: (str, str),
    bytes: (lambda value: b64encode(value).decode(), lambda text: b64decode(text, validate=True)),
}
"""In this order: bool is an int, and datetime a date."""
