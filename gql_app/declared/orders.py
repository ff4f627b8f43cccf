"""The orders of a list: an input, what it comes to, and whether an index has the rows in that order."""

import enum
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import strawberry
from sqlalchemy import UnaryExpression
from sqlalchemy import inspect as sa_inspect
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.orm import InstrumentedAttribute, Mapper
from sqlalchemy.sql import operators
from strawberry.utils.str_converters import to_camel_case

from gql_app.api.connections import OrderDirection
from gql_app.api.keyset import LONGEST_TEXT, Order
from gql_app.audiences.conditions import Holder
from gql_app.audiences.kinds import kind_of, table_of
from gql_app.changes.codec import Codec
from gql_app.changes.stored import python_type
from gql_app.declared.shape import Declared
from gql_app.declared.values import column_of, refuse_secret, said_of, spoken

Ordered = InstrumentedAttribute[Any] | UnaryExpression[Any]
"""An attribute, or one with its direction: ``Boat.length.desc()``."""


class Ordering:
    """By one of these attributes, or by the first of them; by the key where there is none."""

    def __init__(self, of: Declared, many: str, given: Sequence[Ordered]) -> None:
        mapper: Mapper[Any] = sa_inspect(of.model)
        table = table_of(of.model)
        directed = [_directed(each, mapper) for each in given]
        attributes = [attribute for attribute, _ in directed]
        keys = [getattr(of.model, mapper.get_property_by_column(each).key) for each in mapper.primary_key]
        self._unique = keys[0] if len(keys) == 1 else of.model.public_id
        self._first = attributes[0] if attributes else self._unique
        self._descending = {attribute.key: descending for attribute, descending in directed} or {
            self._unique.key: False
        }
        name = of.graphql.__name__
        members = [(each.key.upper(), each.key) for each in (attributes or [self._unique])]
        made: Any = enum.Enum("OrderField", members)  # type: ignore[misc]  # not known before
        field: Any = strawberry.enum(
            made, name=f"{name}OrderField", description=f"What {spoken(many)} can be ordered by."
        )
        if len({key for key, _ in members}) < len(members):
            raise TypeError(f"{name} has two orders that differ in upper and lower case only")
        for value, each in zip(field.__strawberry_definition__.values, attributes or [self._unique], strict=True):
            _refuse_order(each)
            value.description = said_of(each) + (" Descending by default." if self._descending[each.key] else "")
        default = field[self._first.key.upper()]
        fields: dict[str, Any] = {
            "__annotations__": {"field": field, "direction": OrderDirection | None},
            "field": strawberry.field(default=default, description="By what."),
            "direction": strawberry.field(
                default=None, description="In which direction. Default: ascending, unless the field says otherwise."
            ),
        }
        described = f"The order of {spoken(many)}. Those with the same value are ordered by their keys."
        self.type: Any = strawberry.input(type(f"{name}Order", (), fields), description=described)
        self._model = of.model
        descending = self._descending[self._first.key]
        first = "latest first" if _is_moment(self._first) else "descending"
        self.said = f"ordered by `{to_camel_case(self._first.key)}`{f', {first},' if descending else ''}"
        self._indexes = [tuple(map(id, each.columns)) for each in (table.indexes | {table.primary_key})]

    def order(self, given: Any) -> Order:
        attribute = self._first if given is None else getattr(self._model, given.field.value)
        descending = self._descending[attribute.key]
        if given is not None and given.direction is not None:
            descending = given.direction is OrderDirection.DESC
        return Order(attribute, self._unique, descending=descending)

    def is_indexed(self, order: Order, holder: Holder) -> bool:
        """Whether an index has the holder's rows in this order: a page takes little more than its rows."""
        kind = kind_of(self._model)
        if order.has_nulls or order.is_raw or not kind.is_owners:
            return False
        names = [order.column] if order.column is order.unique else [order.column, order.unique]
        if not holder.sees_whole(kind.entity):
            if kind.owner is None:
                return True
            names = [getattr(self._model, kind.owner), *names]
        columns = tuple(id(column_of(each)) for each in names)
        return any(each[: len(columns)] == columns for each in self._indexes)


def _directed(given: Ordered, mapper: Mapper[Any]) -> tuple[InstrumentedAttribute[Any], bool]:
    """The attribute, and whether it is descending. Raises TypeError for what is none."""
    if isinstance(given, InstrumentedAttribute):
        return given, _is_moment(given)
    if isinstance(given, UnaryExpression) and given.modifier in (operators.asc_op, operators.desc_op):
        column: Any = given.element
        if column in mapper.columns.values():
            name = mapper.get_property_by_column(column).key
            return getattr(mapper.class_, name), given.modifier is operators.desc_op
    raise TypeError(f"{given} is no attribute of {mapper.class_.__name__}, nor one with .asc() or .desc()")


def _refuse_order(attribute: InstrumentedAttribute[Any]) -> None:
    """Raises TypeError for what a cursor cannot hold."""
    refuse_secret(attribute)
    kind: Any = column_of(attribute).type
    Codec(kind, DefaultDialect())
    if python_type(kind) is str and not 0 < (kind.length or 0) <= LONGEST_TEXT:
        raise TypeError(f"{attribute} is too long to order by: a cursor holds it (String({LONGEST_TEXT}) at most)")


def _is_moment(attribute: InstrumentedAttribute[Any]) -> bool:
    return python_type(column_of(attribute).type) is datetime
