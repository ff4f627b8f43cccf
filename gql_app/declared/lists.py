"""Queries for one entity by its id, and for a page of those that the viewer may see."""

import enum
import inspect
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import strawberry
from sqlalchemy import Select, select
from sqlalchemy import inspect as sa_inspect
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.orm import InstrumentedAttribute, Mapper
from strawberry.utils.str_converters import to_camel_case

from gql_app.api.connections import (
    DEFAULT_PAGE,
    LARGEST_PAGE,
    LONGEST_TEXT,
    After,
    Before,
    Connection,
    First,
    Last,
    Order,
    OrderDirection,
    Page,
    PageArgs,
)
from gql_app.api.context import Info
from gql_app.api.ids import id_of
from gql_app.audiences.conditions import Holder, visible
from gql_app.changes.codec import Codec
from gql_app.changes.stored import python_type
from gql_app.changes.tracking import Tracked
from gql_app.declared.shape import Declared
from gql_app.declared.values import column_of, fit, refuse_secret, said_of, spoken, values_of, words

Attributes = Sequence[InstrumentedAttribute[Any]]
Id = Annotated[strawberry.ID, strawberry.argument(description="As `id` of the entity shows it.")]


def one_and_many(of: Declared, many: str | None, filters: Attributes, orders: Attributes) -> list[type]:
    """The types whose fields become queries.

    Raises:
        TypeError: filters or orders for a list that is not there, or of attributes that have no GraphQL type.
    """
    if many is None and (filters or orders):
        raise TypeError(f"{of.graphql.__name__} has filters or orders and no list: give it a name with many=…")
    name = of.graphql.__name__
    fields = {words(name): _one(of)}
    if many is not None:
        if not many.isidentifier() or to_camel_case(many) == to_camel_case(words(name)):
            raise TypeError(
                f"{many!r} cannot be the name of the list of {name}: use a word of its own, as boats for Boat"
            )
        fields[many] = _many(of, many, filters, orders)
    return [strawberry.type(type(f"{name}Queries", (), fields))]


def _one(of: Declared) -> Any:
    async def resolve(self: Any, info: Info, id: Id) -> Any:
        info.context.require_viewer()
        return await of.seen_by(info.context, id_of(of.kind, id))

    resolve.__annotations__["return"] = of.graphql | None
    said = spoken(of.graphql.__name__)
    return strawberry.field(
        resolver=resolve,
        description=f"The {said} with this id. Null if it does not exist or you may not see it; a malformed id is an "
        "INVALID error.",
    )


def _many(of: Declared, many: str, filters: Attributes, orders: Attributes) -> Any:
    filtering = _Filter(of, many, filters) if filters else None
    ordering = _Ordering(of, many, orders)

    async def resolve(
        self: Any,
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        filter: Any = None,
        order_by: Any = None,
    ) -> Any:
        viewer = info.context.require_viewer()
        args = PageArgs(first, after, last, before)
        order = ordering.order(order_by)
        query = of.select(viewer, order.column.key, order.unique.key)
        if filtering is not None and filter is not None:
            query = filtering.apply(query, filter, viewer)
        page = Page.of(query, order, args)
        with fit("after" if args.after else "before" if args.before else "filter"):
            rows = await info.context.read(page.statement)
        return page.connection(rows, of.of_rows)

    kinds: dict[str, Any] = {"return": Connection[of.graphql]}  # type: ignore[name-defined]
    if filtering is not None:
        only = strawberry.argument(description="Only those for which all of this holds.")
        kinds["filter"] = Annotated[filtering.type | None, only]
    if orders:
        by = strawberry.argument(description="In which order.")
        kinds["order_by"] = Annotated[ordering.type | None, by]
    resolve.__annotations__.update(kinds)
    wanted = ["self", "info", "first", "after", "last", "before"]
    wanted += ["filter"] * (filtering is not None) + ["order_by"] * bool(orders)
    _keep(resolve, wanted)
    return strawberry.field(
        resolver=resolve,
        description=f"The {spoken(many)} that you may see, {ordering.said} unless `orderBy` says otherwise. A page has "
        f"at most {LARGEST_PAGE} (default: {DEFAULT_PAGE}): `first` and `after` go forward, `last` and `before` back.",
    )


def _keep(resolve: Any, wanted: Sequence[str]) -> None:
    """Let Strawberry see only these parameters."""
    signature = inspect.signature(resolve)
    resolve.__signature__ = signature.replace(parameters=[signature.parameters[name] for name in wanted])
    resolve.__annotations__ = {
        name: kind for name, kind in resolve.__annotations__.items() if name in wanted or name == "return"
    }


class _Filter:
    """An input with a field for each attribute; a foreign key is given as the id of what it refers to."""

    def __init__(self, of: Declared, many: str, attributes: Attributes) -> None:
        self._attributes = {each.key: each for each in attributes}
        self._references = {each.key: referred(each) for each in attributes}
        fields: dict[str, Any] = {"__annotations__": {}}
        for name, each in self._attributes.items():
            refuse_secret(each)
            kind: Any = strawberry.ID if self._references[name] else values_of(each).kind
            fields["__annotations__"][name] = kind | None
            said = f"Only those with this value. {said_of(each)}"
            hint = " Null: only those without one." if column_of(each).nullable else " Null: any."
            fields[name] = strawberry.field(default=strawberry.UNSET, description=said + hint)
        described = f"Only the {spoken(many)} for which all that is given holds."
        self.type: Any = strawberry.input(type(f"{of.graphql.__name__}Filter", (), fields), description=described)

    def apply(self, query: Select[Any], given: Any, holder: Holder) -> Select[Any]:
        """Raises Invalid for an id of another kind."""
        for name, attribute in self._attributes.items():
            value, target = getattr(given, name), self._references[name]
            if value is strawberry.UNSET or (value is None and not column_of(attribute).nullable):
                continue
            if target is not None and value is not None:
                model, theirs = target
                public_id = id_of(model.__entity__, value, field=f"filter.{to_camel_case(name)}")
                found = select(theirs).where(model.public_id == public_id, visible(model, holder))
                query = query.where(attribute.in_(found))
            else:
                query = query.where(attribute.is_(None) if value is None else attribute == value)
        return query


def referred(attribute: InstrumentedAttribute[Any]) -> tuple[type[Tracked], Any] | None:
    """The tracked model and its attribute to which a foreign key refers; None where it is none."""
    keys = list(column_of(attribute).foreign_keys)
    if len(keys) != 1:
        return None
    mapper: Mapper[Any] = sa_inspect(attribute.class_)
    for other in mapper.registry.mappers:
        is_base = other.local_table is keys[0].column.table and other.inherits is None
        if is_base and issubclass(other.class_, Tracked):
            return other.class_, getattr(other.class_, other.get_property_by_column(keys[0].column).key)
    return None


class _Ordering:
    """By one of these attributes, or by the first of them; by the key where there is none."""

    def __init__(self, of: Declared, many: str, attributes: Attributes) -> None:
        mapper: Mapper[Any] = sa_inspect(of.model)
        keys = [getattr(of.model, mapper.get_property_by_column(each).key) for each in mapper.primary_key]
        self._unique = keys[0] if len(keys) == 1 else of.model.public_id
        self._first = attributes[0] if attributes else self._unique
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
            value.description = said_of(each)
        default = field[self._first.key.upper()]
        fields: dict[str, Any] = {
            "__annotations__": {"field": field, "direction": OrderDirection | None},
            "field": strawberry.field(default=default, description="By what."),
            "direction": strawberry.field(
                default=None, description="In which direction. Default: the latest first of moments, else ascending."
            ),
        }
        described = f"The order of {spoken(many)}. Those with the same value are ordered by their keys."
        self.type: Any = strawberry.input(type(f"{name}Order", (), fields), description=described)
        self._model = of.model
        latest = ", latest first," if _is_latest_first(self._first) else ""
        self.said = f"ordered by `{to_camel_case(self._first.key)}`{latest}"

    def order(self, given: Any) -> Order:
        attribute = self._first if given is None else getattr(self._model, given.field.value)
        descending = _is_latest_first(attribute)
        if given is not None and given.direction is not None:
            descending = given.direction is OrderDirection.DESC
        return Order(attribute, self._unique, descending=descending)


def _refuse_order(attribute: InstrumentedAttribute[Any]) -> None:
    """Raises TypeError for what a cursor cannot hold."""
    refuse_secret(attribute)
    kind: Any = column_of(attribute).type
    Codec(kind, DefaultDialect())
    if python_type(kind) is str and not 0 < (kind.length or 0) <= LONGEST_TEXT:
        raise TypeError(f"{attribute} is too long to order by: a cursor holds it (String({LONGEST_TEXT}) at most)")


def _is_latest_first(attribute: InstrumentedAttribute[Any]) -> bool:
    return python_type(column_of(attribute).type) is datetime
