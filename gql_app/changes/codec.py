"""How the change log writes a value, and reads it back: the one place for both.

A value is written as the database gives it back, not as it was assigned: numerics rounded to their scale, moments in
UTC, enums by name. `Codec.freeze` finds that out without asking: it sends the value through the column type's own
processors. Two values are equal if their texts are.
"""

import enum
import json
import math
import struct
from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    CHAR,
    JSON,
    NCHAR,
    REAL,
    Boolean,
    DateTime,
    Dialect,
    Float,
    Integer,
    Interval,
    Numeric,
    String,
    Time,
    Uuid,
)
from sqlalchemy import Enum as EnumType
from sqlalchemy.dialects.postgresql import BIT, INTERVAL
from sqlalchemy.types import TypeDecorator, TypeEngine

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
        self._stored = _round_trip(column_type, dialect)
        self._write, self._read = _texts(column_type, dialect)
        self.mutable = _is_json(column_type) or isinstance(_bare(column_type), ARRAY)

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


def _bare(column_type: TypeEngine[Any]) -> TypeEngine[Any]:
    """The type below all decorators."""
    while isinstance(column_type, TypeDecorator):
        column_type = column_type.impl_instance
    return column_type


def _is_json(column_type: TypeEngine[Any]) -> bool:
    return isinstance(_bare(column_type), JSON)


def _round_trip(column_type: TypeEngine[Any], dialect: Dialect) -> Callable[[Any], Any]:
    """What the database gives back of a value: the type's own processors, and what the server does between them."""
    if _is_json(column_type):
        return _json_round_trip(column_type, dialect)
    impl: Any = column_type.dialect_impl(dialect)
    bare = _bare(column_type)
    bind, result = impl.bind_processor(dialect), impl.result_processor(dialect, _type_code(bare, dialect))
    server = _servers_part(bare, dialect)

    def stored(value: Any) -> Any:
        if bind is not None:
            value = bind(value)
        if server is not None and value is not None:
            value = server(value)
        return value if result is None else result(value)

    driver = _DRIVERS.get(_python_type(column_type))
    lossy = dialect.name == "sqlite" and isinstance(bare, Numeric | Float)

    def given_back(value: Any) -> Any:
        found = stored(value)
        if lossy and found is not None and math.isnan(found):  # SQLite stores "not a number" as NULL
            return None
        return found if driver is None or found is None else driver(found)

    return given_back


def _integer(value: Any) -> int:
    if value != (whole := int(value)) and not isinstance(value, str):
        raise ValueError(f"{value!r} is no whole number")
    return whole


def _without_sign_of_zero(value: Any) -> Any:
    return abs(value) if value == 0 else value


_DRIVERS: dict[type, Callable[[Any], Any]] = {
    int: _integer,
    float: lambda value: _without_sign_of_zero(float(value)),
    Decimal: _without_sign_of_zero,
    bytes: bytes,
    str: lambda value: str.__str__(value) if isinstance(value, str) else str(value),
}
"""What drivers give back whatever was given: for True in an INTEGER 1, for a text that is an enum its plain text."""


def _type_code(bare: TypeEngine[Any], dialect: Dialect) -> int | None:
    """By which PostgreSQL says what it gives back (its catalog pg_type): numeric, or double precision."""
    if dialect.name != "postgresql" or not isinstance(bare, Numeric | Float):
        return None
    return 701 if isinstance(bare, Float) else 1700


def _json_round_trip(column_type: TypeEngine[Any], dialect: Dialect) -> Callable[[Any], Any]:
    if not isinstance(column_type, TypeDecorator):
        return lambda value: json.loads(json.dumps(value))
    decorated: TypeDecorator[Any] = column_type

    def stored(value: Any) -> Any:
        return json.loads(_json(decorated.process_bind_param(value, dialect)))

    return stored


def _servers_part(bare: TypeEngine[Any], dialect: Dialect) -> Callable[[Any], Any] | None:
    """What PostgreSQL changes of a value while it stores it (its manual, chapter 8)."""
    if dialect.name != "postgresql":
        return None
    if isinstance(bare, Float):
        single = isinstance(bare, REAL) or (bare.precision is not None and bare.precision <= 24)
        return (lambda value: struct.unpack("f", struct.pack("f", value))[0]) if single else None
    if isinstance(bare, Numeric):
        scale = bare.scale if bare.scale is not None else (0 if bare.precision is not None else None)
        return Decimal if scale is None else lambda value: _rounded(Decimal(value), scale)
    if isinstance(bare, DateTime) and bare.timezone:
        return _zoned
    if isinstance(bare, Time):
        return lambda value: value.replace(tzinfo=None)
    if isinstance(bare, String) and bare.length is not None:
        length, padded = bare.length, isinstance(bare, CHAR | NCHAR)
        return lambda value: _fitted(value, length, padded=padded)
    return None


def _zoned(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("a moment needs its timezone: use datetime.now(UTC)")
    return value


def _fitted(value: str, length: int, *, padded: bool) -> str:
    """Blanks at the end that have no room are cut off; what else has none is refused by the server."""
    if len(value) > length and not value[length:].strip(" "):
        value = value[:length]
    return value.ljust(length) if padded else value


def _rounded(value: Decimal, scale: int) -> Decimal:
    return value.quantize(Decimal(1).scaleb(-scale), ROUND_HALF_UP) if value.is_finite() else value


def _texts(column_type: TypeEngine[Any], dialect: Dialect) -> tuple[Write, Read]:
    bare = _bare(column_type)
    _refuse_inexact(column_type, bare)
    if _is_json(column_type):
        return _json, json.loads
    if isinstance(bare, ARRAY):
        write, read = _texts(bare.item_type, dialect)
        return (
            lambda items: _json([None if item is None else write(item) for item in items]),
            lambda text: [None if item is None else read(item) for item in json.loads(text)],
        )
    if isinstance(bare, EnumType) and bare.enum_class is None:
        return str, str
    if isinstance(bare, Uuid) and not bare.as_uuid:
        return lambda value: str(UUID(value)), str
    kind = _python_type(column_type)
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
    if isinstance(bare, ARRAY):
        simple = isinstance(_bare(bare.item_type), Integer | String | Uuid | Boolean) and bare.dimensions in (None, 1)
        if not simple or isinstance(_bare(bare.item_type), CHAR | NCHAR):
            raise TypeError(f"the log has no text for {bare!r}: use an ARRAY of one dimension, or JSON")
    if isinstance(bare, BIT):
        raise TypeError(f"the log has no text for {bare!r}: use a String")
    given = getattr(type(column_type), "process_result_value", None)
    if _is_json(column_type) and given not in (None, TypeDecorator.process_result_value):
        raise TypeError(f"the log has no text for what {column_type!r} makes of its JSON: track plain JSON")


def _python_type(column_type: TypeEngine[Any]) -> type:
    if isinstance(_bare(column_type), Boolean):
        return bool
    try:
        return column_type.python_type
    except NotImplementedError:
        return object


def _json(value: Any) -> str:
    return json.dumps(_whole(value), ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def _whole(value: Any) -> Any:
    """JSON has one kind of numbers: 1.0 is 1, as JSONB gives it back."""
    if isinstance(value, dict):
        return {key: _whole(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_whole(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


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
    Decimal: (lambda value: format(_without_sign_of_zero(value), "f"), Decimal),
    datetime: (_moment, datetime.fromisoformat),
    date: (_date, date.fromisoformat),
    time: (lambda value: str(value.isoformat()), time.fromisoformat),
    timedelta: (_duration, _read_duration),
    UUID: (str, UUID),
    str: (str, str),
    bytes: (lambda value: b64encode(value).decode(), lambda text: b64decode(text, validate=True)),
}
"""In this order: bool is an int, and datetime a date."""
