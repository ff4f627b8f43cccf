"""Which GraphQL type the values of a column have."""

import enum
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

import strawberry
from sqlalchemy import BigInteger, Column
from sqlalchemy import inspect as sa_inspect
from sqlalchemy.orm import InstrumentedAttribute, Mapper

from gql_app.changes.stored import bare_type, python_type
from gql_app.changes.tracking import Attribute, attributes_of
from gql_app.db import is_unfit
from gql_app.errors import Invalid

_SHOWN = Attribute("", Column(), secret=False)
_KNOWN = (bool, int, float, Decimal, str, datetime, date, time, UUID)


class Values(NamedTuple):
    """Of a column: the Python type of its values, and whether NULL is one."""

    kind: type
    nullable: bool

    @property
    def annotation(self) -> Any:
        return self.kind | None if self.nullable else self.kind


def values_of(attribute: InstrumentedAttribute[Any]) -> Values:
    """What a column attribute holds.

    Raises:
        TypeError: there is no GraphQL type for it.
    """
    column = column_of(attribute)
    kind = python_type(column.type)
    refuse_secret(attribute)
    if kind is int and isinstance(bare_type(column.type), BigInteger):
        raise TypeError(f"{attribute} may be larger than GraphQL's Int, of 32 bits: show it as a text, by a resolver")
    if kind is datetime and not getattr(bare_type(column.type), "timezone", False):
        raise TypeError(f"{attribute} holds moments without a timezone: make its column UtcDateTime")
    if issubclass(kind, enum.Enum):
        return Values(known_enum(kind), bool(column.nullable))
    if kind not in _KNOWN:
        raise TypeError(
            f"{attribute} holds {kind.__name__}, for which there is no GraphQL type: write its field yourself"
        )
    return Values(kind, bool(column.nullable))


def refuse_secret(attribute: InstrumentedAttribute[Any]) -> None:
    """Raises TypeError."""
    model: Any = attribute.class_
    if attributes_of(model).get(attribute.key, _SHOWN).secret:
        raise TypeError(f"{attribute} is secret: nobody may read it, filter by it or order by it")


def known_enum(kind: type[enum.Enum]) -> type[enum.Enum]:
    """The enum, which Strawberry knows from now on. A member whose value is a sentence is described by it."""
    if not hasattr(kind, "__strawberry_definition__"):
        strawberry.enum(kind, description=(kind.__doc__ or "").strip() or None)
        for each in kind.__strawberry_definition__.values:  # type: ignore[attr-defined]
            if each.description is None and isinstance(value := kind[each.name].value, str) and " " in value:
                each.description = value
    return kind


def column_of(attribute: InstrumentedAttribute[Any]) -> Column[Any]:
    """Raises TypeError for what is no column."""
    mapper: Mapper[Any] = sa_inspect(attribute.class_)
    column = mapper.columns.get(attribute.key)
    if not isinstance(column, Column):
        raise TypeError(f"{attribute} is no column attribute")
    return column


@contextmanager
def fit(field: str | None) -> Iterator[None]:
    """Raises Invalid for a value that somebody has sent and that cannot be one of its column."""
    try:
        yield
    except Exception as error:
        if not is_unfit(error):
            raise
        raise Invalid("A value is too long, too large or otherwise none that can be kept here.", field=field) from error


def said_of(attribute: InstrumentedAttribute[Any]) -> str:
    """What the column's ``doc=`` says, or its name in a sentence."""
    return column_of(attribute).doc or f"The {spoken(attribute.key.removesuffix('_id'))}."


def words(name: str) -> str:
    """``FuelRequest`` → ``fuel_request``: how Python writes the name of a type."""
    return "".join(
        f"_{char.lower()}" if char.isupper() and number else char.lower() for number, char in enumerate(name)
    )


def camel(name: str) -> str:
    """``fuel_request`` → ``FuelRequest``."""
    return "".join(part.capitalize() for part in name.split("_"))


def spoken(name: str) -> str:
    """``FuelRequest`` → ``fuel request``."""
    return words(name).replace("_", " ")
