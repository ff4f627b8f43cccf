"""The schema of an application: the parts that its verticals bring, joined."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Annotated, Any, cast

import strawberry
from graphql import GraphQLEnumValue, GraphQLObjectType
from strawberry.schema.config import StrawberryConfig
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.tools import merge_types
from strawberry.utils.str_converters import to_camel_case

from gql_app.api.connections import LARGEST_PAGE
from gql_app.api.context import Info
from gql_app.api.ids import decode_id
from gql_app.api.nodes import Node, find_nodes
from gql_app.declared.mutations import part_of
from gql_app.declared.shape import declared
from gql_app.errors import ConfigurationError, ErrorCode, Invalid, UserFault
from gql_app.execution.direct import resolve_directly
from gql_app.vertical import Vertical

Ids = Annotated[list[strawberry.ID], strawberry.argument(description=f"At most {LARGEST_PAGE}.")]


@strawberry.type
class NodeQueries:
    @strawberry.field(description="Anything by its id; null for what does not exist or is not yours to see.")
    async def node(self, info: Info, id: strawberry.ID) -> Node | None:
        if decode_id(id) is None:
            raise Invalid("That is not an id.", field="id")
        return next(iter(await find_nodes(info.context, [id])))

    @strawberry.field(
        description="The cursor of the change log before anything of this operation is read. Ask for it beside what "
        "you load, and subscribe `after` it: no change is missed, and one or the other may come that you have already."
    )
    def position(self, info: Info) -> str:
        return str(info.context.arrived_at)

    @strawberry.field(description="The same for several, in their order.")
    async def nodes(self, info: Info, ids: Ids) -> list[Node | None]:
        if len(ids) > LARGEST_PAGE:
            raise Invalid(f"Ask for at most {LARGEST_PAGE} nodes.", field="ids")
        return await find_nodes(info.context, ids)


def build(verticals: Sequence[Vertical], *, fast: bool = True) -> strawberry.Schema:
    """The schema of these verticals; the same for the same ones. ``fast``: with resolvers that are called directly.

    Raises:
        ConfigurationError: two verticals bring a field of the same name.
    """
    schema = _build(tuple(verticals), fast)
    mend_introspection(schema)  # others may have been made since
    return schema


@cache
def _build(verticals: tuple[Vertical, ...], fast: bool) -> strawberry.Schema:
    entities = [declared(kind) for each in verticals for kind in each.entities]
    queries = [part for each in verticals for part in each.queries] + [q for each in entities for q in each.queries]
    mutations = [part_of(part) for each in verticals for part in each.mutations]
    subscriptions = [part for each in verticals for part in each.subscriptions]
    subscriptions += [part for each in entities for part in each.subscriptions]
    schema = strawberry.Schema(
        _root("Query", [NodeQueries, *queries]),
        _root("Mutation", mutations) if mutations else None,
        _root("Subscription", subscriptions) if subscriptions else None,
        types=[each for vertical in verticals for each in (*vertical.types, *vertical.entities)],
        config=StrawberryConfig(auto_camel_case=True),
    )
    types = schema._schema.type_map
    _add_codes(types, [error for each in verticals for error in each.errors])
    if names := [name for each in verticals for name in each.channels]:
        _extend(types.get("Channel"), dict.fromkeys(names))
    if fast:
        resolve_directly(schema)
    return schema


def _add_codes(types: Mapping[str, Any], errors: Sequence[type[UserFault]]) -> None:
    """Close the enum of error codes with those that verticals bring."""
    codes = types.get(ErrorCode.__name__)
    for error in errors:
        code = error.code
        if not isinstance(code, str) or not re.fullmatch(r"[A-Z][A-Z0-9_]*", code) or code in ErrorCode.__members__:
            raise ConfigurationError(f"{error.__name__}.code must be a code of its own in capitals, as OVERBOOKED.")
        _extend(codes, {code: (error.__doc__ or "").strip().partition("\n")[0] or None})


class _Name(str):
    """A value of an enum that has been extended, where Strawberry expects a member."""

    __slots__ = ()

    @property
    def value(self) -> str:
        return self


def _extend(kind: Any, names: Mapping[str, str | None]) -> None:
    """Add values to an enum of the schema: texts, which stand for themselves."""
    if kind is None:
        return
    added = {name: GraphQLEnumValue(name, description=described) for name, described in names.items()}
    kind.values = {**kind.values, **added}
    kind.wrapped_cls = _Name
    vars(kind).pop("_value_lookup", None)  # graphql-core has made it of the values before


def _root(name: str, parts: Iterable[type]) -> type:
    known: dict[str, type] = {}
    for part in parts:
        for field in part.__strawberry_definition__.fields:  # type: ignore[attr-defined]
            shown = field.graphql_name or to_camel_case(field.python_name)
            if (other := known.setdefault(shown, part)) is not part:
                raise ConfigurationError(f"{name}.{shown} is brought by {other.__name__} and by {part.__name__}.")
    return merge_types(name, tuple(dict.fromkeys(known.values())))


def _is_one_of(kind: Any, info: object) -> bool:
    """Strawberry's own fails for lists and types that are not null, with an error each."""
    definition = getattr(kind, "extensions", {}).get(GraphQLCoreConverter.DEFINITION_BACKREF)
    return bool(getattr(definition, "is_one_of", False))


def mend_introspection(schema: strawberry.Schema) -> None:
    """`__Type` is one for all schemas of a process: whoever makes another one without `build` has to do this again."""
    cast(GraphQLObjectType, schema._schema.type_map["__Type"]).fields["isOneOf"].resolve = _is_one_of


def printed(schema: strawberry.Schema) -> str:
    """The schema in GraphQL's own language, as it stands in ``schema.graphql``."""
    return schema.as_str().rstrip() + "\n"
