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

from sqlalchemy import ARRAY, CHAR, JSON, REAL, Boolean, Dialect, Float, Numeric, Uuid
from sqlalchemy import Enum as EnumType
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
    return stored if driver is None else lambda value: driver(stored(value))


_DRIVERS: dict[type, Callable[[Any], Any]] = {int: int, float: float, bytes: bytes}
"""The types that drivers give back whatever was given: True in an INTEGER comes back as 1."""


def _type_code(bare: TypeEngine[Any], dialect: Dialect) -> int | None:
    """By which PostgreSQL says what it gives back (its catalog pg_type): numeric, or double precision."""
    if dialect.name != "postgresql" or not isinstance(bare, Numeric | Float):
        return None
    return 701 if isinstance(bare, Float) else 1700


def _json_round_trip(column_type: TypeEngine[Any], dialect: Dialect) -> Callable[[Any], Any]:
    if not isinstance(column_type, TypeDecorator):
        return lambda value: value
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
        return None if scale is None else lambda value: _rounded(Decimal(value), scale)
    if isinstance(bare, CHAR) and bare.length is not None:
        length = bare.length
        return lambda value: value.ljust(length)
    return None


def _rounded(value: Decimal, scale: int) -> Decimal:
    return value.quantize(Decimal(1).scaleb(-scale), ROUND_HALF_UP) if value.is_finite() else value


def _texts(column_type: TypeEngine[Any], dialect: Dialect) -> tuple[Write, Read]:
    bare = _bare(column_type)
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


def _python_type(column_type: TypeEngine[Any]) -> type:
    if isinstance(_bare(column_type), Boolean):
        return bool
    try:
        return column_type.python_type
    except NotImplementedError:
        return object


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def _moment(value: datetime) -> str:
    return value.isoformat() if value.tzinfo is None else value.astimezone(UTC).isoformat()


def _date(value: date) -> str:
    return (value.date() if isinstance(value, datetime) else value).isoformat()


def _float(value: Any) -> str:
    return repr(float(value))


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
    Decimal: (lambda value: format(value, "f"), Decimal),
    datetime: (_moment, datetime.fromisoformat),
    date: (_date, date.fromisoformat),
    time: (lambda value: str(value.isoformat()), time.fromisoformat),
    timedelta: (_duration, _read_duration),
    UUID: (str, UUID),
    str: (str, str),
    bytes: (lambda value: b64encode(value).decode(), lambda text: b64decode(text, validate=True)),
}
"""In this order: bool is an int, and datetime a date."""
