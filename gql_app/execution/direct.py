"""Calls resolvers directly: for a field without arguments, half of its cost was Strawberry's way to its resolver."""

import inspect
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any

from graphql import GraphQLField, GraphQLInterfaceType, GraphQLNamedType, GraphQLObjectType, GraphQLResolveInfo
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types import Info
from strawberry.types.field import StrawberryField

PLAIN = "gql_app.plain"
"""The extension of fields whose value is found from the object alone: a function of it, never to be awaited."""


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
                    _shorten(field, definition)


def _shorten(field: GraphQLField, definition: StrawberryField) -> None:
    if definition.arguments or definition.extensions or definition.permission_classes:
        return
    if definition.base_resolver is None:
        _read_plainly(field, attrgetter(definition.python_name))
        return
    function: Any = definition.base_resolver.wrapped_func
    match list(inspect.signature(function).parameters):
        case ["self"] if inspect.iscoroutinefunction(function):
            field.resolve = lambda source, info: function(source)
        case ["self"]:
            _read_plainly(field, function)
        case ["self", "info"]:
            field.resolve = lambda source, info: function(source, Info(_raw_info=info, _field=definition))


def _read_plainly(field: GraphQLField, read: Callable[[Any], Any]) -> None:
    field.resolve = lambda source, info: read(source)
    field.extensions[PLAIN] = read


def _name_of_type(value: Any, info: GraphQLResolveInfo[Any], of: object) -> str:
    return str(type(value).__strawberry_definition__.name)
