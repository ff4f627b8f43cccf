"""What a stored value means, and whether a text of the change log denotes it."""

import base64
import enum
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, Boolean, Date, DateTime, Enum, Float, Integer, LargeBinary, Numeric, Time, TypeDecorator
from sqlalchemy import Uuid as UuidType
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.types import TypeEngine

from gql_app.db import UtcDateTime
from gql_app.demo.fuel_requests.models import Litres


@dataclass(frozen=True, slots=True)
class Json:
    """A value of a JSON column; not what a text column holds."""

    value: Any


def parse(text: str) -> Any:
    """JSON with its numbers as they are written."""
    return json.loads(text, parse_float=Decimal)


def meaning(column: TypeEngine[Any], stored: Any) -> Any:
    """What a stored value means. ``stored`` is as it stands in an image: bytes in hex, moments in ISO 8601."""
    if stored is None:
        return None
    for kind, read in _STORED:
        if isinstance(column, kind):
            return read(column, stored)
    return stored


def denotes(text: str | None, value: Any) -> bool:
    """Whether a text of the change log says this."""
    if text is None or value is None:
        return text is None and value is None
    for kind, says in _TEXTS:
        if isinstance(value, kind):
            try:
                return says(text, value)
            except (ValueError, KeyError, ArithmeticError):
                return False
    return bool(text == value)


def _enum(column: Any, stored: str) -> Any:
    if column.enum_class is None:
        return stored
    return dict(zip(column.enums, column.enum_class, strict=True))[stored]


def _decorated(column: TypeDecorator[Any], stored: Any) -> Any:
    """A type of somebody's own: by its own way to read."""
    value = meaning(column.impl_instance, stored)
    if type(column).process_result_value is TypeDecorator.process_result_value:
        return value
    return column.process_result_value(value, DefaultDialect())


def _moment(stored: str) -> datetime:
    moment = datetime.fromisoformat(stored)
    return moment.astimezone(UTC) if moment.tzinfo else moment


_STORED: list[tuple[type, Callable[[Any, Any], Any]]] = [
    (Litres, lambda _, stored: Decimal(stored) / 100),
    (UtcDateTime, lambda _, stored: _moment(stored if _moment(stored).tzinfo else stored + "+00:00")),
    (TypeDecorator, _decorated),
    (Enum, _enum),
    (Boolean, lambda _, stored: bool(stored)),
    (UuidType, lambda _, stored: UUID(stored)),
    (JSON, lambda _, stored: Json(stored)),
    (LargeBinary, lambda _, stored: bytes.fromhex(stored.removeprefix("\\x"))),
    (DateTime, lambda _, stored: _moment(stored)),
    (Date, lambda _, stored: date.fromisoformat(stored)),
    (Time, lambda _, stored: time.fromisoformat(stored)),
    (Float, lambda _, stored: float(stored)),
    (Numeric, lambda _, stored: Decimal(stored)),
    (Integer, lambda _, stored: int(stored)),
]
"""The first line that fits decides. SQLite stores booleans as 0 and 1, UUIDs without dashes, moments without offset."""


def _says_moment(text: str, value: datetime) -> bool:
    said = datetime.fromisoformat(text)
    return said == value and said.utcoffset() == (None if value.tzinfo is None else timedelta(0))


_TEXTS: list[tuple[type, Callable[[str, Any], bool]]] = [
    (enum.Enum, lambda text, value: type(value)[text] is value),
    (bool, lambda text, value: {"true": True, "false": False}[text] is value),
    (UUID, lambda text, value: UUID(text) == value),
    (datetime, _says_moment),
    (date, lambda text, value: date.fromisoformat(text) == value),
    (time, lambda text, value: time.fromisoformat(text) == value),
    (float, lambda text, value: math.isclose(float(text), value, rel_tol=1e-12)),
    (int, lambda text, value: Decimal(text) == value),
    (Decimal, lambda text, value: Decimal(text) == value),
    (bytes, lambda text, value: value.hex() == text.lower() or base64.b64encode(value).decode() == text),
    (Json, lambda text, value: bool(parse(text) == value.value)),
]
"""The same for the log's texts, by what the value is. Numbers are compared by value: "10.5" is "10.50"."""
