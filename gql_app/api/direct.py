"""Calls resolvers directly: for a field without arguments, half of its cost was Strawberry's way to its resolver."""

import inspect
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any

from graphql import GraphQLInterfaceType, GraphQLNamedType, GraphQLObjectType, GraphQLResolveInfo
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types import Info
from strawberry.types.field import StrawberryField

Resolve = Callable[[Any, GraphQLResolveInfo[Any]], Any]


def resolve_directly(types: Mapping[str, GraphQLNamedType]) -> None:
    """Replace what Strawberry has put before attributes and argumentless resolvers, and how it finds a value's type.

    Fields with arguments, extensions or permissions keep Strawberry's way.
    """
    for each in types.values():
        if isinstance(each, GraphQLInterfaceType):
            each.resolve_type = _name_of_type
        elif isinstance(each, GraphQLObjectType) and not each.name.startswith("__"):
            each.is_type_of = None  # asked for each value, and answered by the interface's `resolve_type` already
            for field in each.fields.values():
                definition = field.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
                if definition is not None and field.subscribe is None:
                    field.resolve = _direct(definition) or field.resolve


def _direct(field: StrawberryField) -> Resolve | None:
    if field.arguments or field.extensions or field.permission_classes:
        return None
    if field.base_resolver is None:
        get = attrgetter(field.python_name)
        return lambda source, info: get(source)
    function: Any = field.base_resolver.wrapped_func
    match list(inspect.signature(function).parameters):
        case ["self"]:
            return lambda source, info: function(source)
        case ["self", "info"]:
            return lambda source, info: function(source, Info(_raw_info=info, _field=field))
    return None


def _name_of_type(value: Any, info: GraphQLResolveInfo[Any], of: object) -> str:
    return str(type(value).__strawberry_definition__.name)
