"""What the database gives back of a value, found out without asking it.

A value goes through the processors of its column type, and through what the server and the driver do between them.
"""

import json
import math
import struct
from collections.abc import Callable
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from sqlalchemy import CHAR, JSON, NCHAR, REAL, Boolean, DateTime, Dialect, Float, Numeric, String, Time
from sqlalchemy.types import TypeDecorator, TypeEngine


def bare_type(column_type: TypeEngine[Any]) -> TypeEngine[Any]:
    """The type below all decorators."""
    while isinstance(column_type, TypeDecorator):
        column_type = column_type.impl_instance
    return column_type


def is_json(column_type: TypeEngine[Any]) -> bool:
    return isinstance(bare_type(column_type), JSON)


def round_trip(column_type: TypeEngine[Any], dialect: Dialect) -> Callable[[Any], Any]:
    """What the database gives back of a value: the type's own processors, and what the server does between them."""
    if is_json(column_type):
        return _json_round_trip(column_type, dialect)
    impl: Any = column_type.dialect_impl(dialect)
    bare = bare_type(column_type)
    bind, result = impl.bind_processor(dialect), impl.result_processor(dialect, _type_code(bare, dialect))
    server = _servers_part(bare, dialect)

    def stored(value: Any) -> Any:
        if bind is not None:
            value = bind(value)
        if server is not None and value is not None:
            value = server(value)
        return value if result is None else result(value)

    driver = _DRIVERS.get(python_type(column_type))
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


def without_sign_of_zero(value: Any) -> Any:
    return abs(value) if value == 0 else value


_DRIVERS: dict[type, Callable[[Any], Any]] = {
    int: _integer,
    float: lambda value: without_sign_of_zero(float(value)),
    Decimal: without_sign_of_zero,
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
        return json.loads(canonical_json(decorated.process_bind_param(value, dialect)))

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


def python_type(column_type: TypeEngine[Any]) -> type:
    if isinstance(bare_type(column_type), Boolean):
        return bool
    try:
        return column_type.python_type
    except NotImplementedError:
        return object


def canonical_json(value: Any) -> str:
    return json.dumps(_whole(value), ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def _whole(value: Any) -> Any:
    """JSON has one kind of numbers: 1.0 is 1, as JSONB gives it back."""
    if isinstance(value, dict):
        return {key: _whole(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_whole(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


UNREADABLE = (LookupError, ValueError, TypeError, ArithmeticError)
"""What is raised for a stored value that is not one of its type."""

Read = Callable[[Any], Any]


def reader(column_type: TypeEngine[Any], dialect: Dialect) -> Read:
    """Turns what the driver gives into the value. Raises one of UNREADABLE."""
    bare = bare_type(column_type)
    # By its code PostgreSQL says what it gives (its catalog pg_type): double precision, numeric.
    code = None if dialect.name == "sqlite" else 701 if isinstance(bare, Float) else 1700
    impl: Any = column_type.dialect_impl(dialect)
    found: Read | None = impl.result_processor(dialect, code if isinstance(bare, Numeric | Float) else None)
    return found or (lambda value: value)
