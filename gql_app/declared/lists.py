"""Queries for one entity by its id, and for a page of those that the viewer may see."""

import inspect
from collections.abc import Sequence
from typing import Annotated, Any

import strawberry
from sqlalchemy import Select, select
from sqlalchemy import inspect as sa_inspect
from sqlalchemy.orm import InstrumentedAttribute, Mapper
from strawberry.utils.str_converters import to_camel_case

from gql_app.api.connections import (
    DEFAULT_PAGE,
    LARGEST_PAGE,
    After,
    Before,
    Connection,
    First,
    Last,
    Page,
    PageArgs,
)
from gql_app.api.context import Info
from gql_app.api.ids import id_of
from gql_app.api.lookahead import mentioned
from gql_app.audiences.conditions import Holder, visible
from gql_app.changes.tracking import Tracked
from gql_app.declared.orders import Ordered, Ordering
from gql_app.declared.shape import Declared
from gql_app.declared.values import column_of, fit, refuse_secret, said_of, spoken, values_of, words

Attributes = Sequence[InstrumentedAttribute[Any]]
Id = Annotated[strawberry.ID, strawberry.argument(description="As `id` of the entity shows it.")]


def one_and_many(of: Declared, many: str | None, filters: Attributes, orders: Sequence[Ordered]) -> list[type]:
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


def _many(of: Declared, many: str, filters: Attributes, orders: Sequence[Ordered]) -> Any:
    filtering = _Filter(of, many, filters) if filters else None
    ordering = Ordering(of, many, orders)

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
        order, asked = ordering.order(order_by), mentioned(info)
        read = asked | {to_camel_case(order.column.key)}  # its cursors hold it
        query = of.select(viewer, order.column.key, order.unique.key, asked=read)
        if filtering is not None and filter is not None:
            query = filtering.apply(query, filter, viewer)
        page = Page.of(query, order, args)
        with fit("after" if args.after else "before" if args.before else "filter"):
            at_once = filter is None and ordering.is_indexed(order, viewer)
            rows = await (info.context.look_up if at_once else info.context.read)(page.statement)
        shown = await of.with_ahead(info.context, page.shown(rows), asked)
        return page.connection(rows, lambda rows: shown)

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
        self._shown_to_all = {each.name for each in of.fields.ahead}
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
                found = select(theirs).where(model.public_id == public_id)
                if name not in self._shown_to_all:
                    found = found.where(visible(model, holder))
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
