"""Calls resolvers directly: for a field without arguments, half of its cost was Strawberry's way to its resolver.

Must hold: a field or type is shortened only if all that Strawberry does for it is known here. Everything else keeps
Strawberry's own functions, so that nothing an author has written is passed over in silence.
"""

import inspect
from collections.abc import Callable
from operator import attrgetter
from typing import Any

import strawberry
from graphql import GraphQLField, GraphQLInterfaceType, GraphQLObjectType, GraphQLResolveInfo
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.base import StrawberryObjectDefinition
from strawberry.types.cast import get_strawberry_type_cast
from strawberry.types.field import StrawberryField
from strawberry.types.fields.resolver import StrawberryResolver

PLAIN = "gql_app.plain"
"""The extension of fields whose value is found from the object alone: a function of it."""

BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
BY_NAME = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class NameByClass:
    """An interface's `resolve_type`: Strawberry's answer, found once for each class of its implementations."""

    def __init__(self, interface: StrawberryObjectDefinition, otherwise: Callable[..., Any]) -> None:
        self._origin = interface.origin
        self._otherwise = otherwise
        self._names: dict[type, str | None] = {}

    def __call__(self, value: Any, info: GraphQLResolveInfo[Any], of: Any) -> Any:
        name = self.name_of(type(value)) if get_strawberry_type_cast(value) is None else None
        return self._otherwise(value, info, of) if name is None else name

    def name_of(self, kind: type) -> str | None:
        """The type's name for objects of this class that are not cast to another. None: Strawberry has to say it."""
        try:
            return self._names[kind]
        except KeyError:
            found: StrawberryObjectDefinition | None = getattr(kind, "__strawberry_definition__", None)
            known = found is not None and issubclass(kind, self._origin) and not found.is_graphql_generic
            name = self._names[kind] = found.name if known and found is not None else None
            return name


class KnownByClass:
    """An object type's `is_type_of`: Strawberry's answer, which depends on the class of an object not cast."""

    def __init__(self, definition: StrawberryObjectDefinition, otherwise: Callable[..., Any]) -> None:
        self._possible = (definition.origin, *(each.origin for each in definition.interfaces))
        self._otherwise = otherwise
        self._known: set[type] = set()

    def __call__(self, value: Any, info: GraphQLResolveInfo[Any]) -> Any:
        return self.knows(value) or self._otherwise(value, info)

    def knows(self, value: Any) -> bool:
        """Whether it is certain that the value is of the type."""
        return get_strawberry_type_cast(value) is None and (type(value) in self._known or self.takes(type(value)))

    def takes(self, kind: type) -> bool:
        """Whether all objects of this class that are not cast to another are of the type."""
        if issubclass(kind, self._possible):
            self._known.add(kind)
            return True
        return False


def resolve_directly(schema: strawberry.Schema) -> None:
    """Replace what Strawberry has put before attributes and argumentless resolvers, and how it finds a value's type.

    Fields with arguments, extensions, permissions or handlers of exceptions keep Strawberry's way, as do fields of an
    author's own class, and types that say by themselves what is of them.
    """
    for each in schema._schema.type_map.values():
        definition = each.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
        if not isinstance(definition, StrawberryObjectDefinition):
            continue
        if isinstance(each, GraphQLInterfaceType):
            if not definition.resolve_type and each.resolve_type is not None:
                each.resolve_type = NameByClass(definition, each.resolve_type)
        elif isinstance(each, GraphQLObjectType):
            if not definition.is_type_of and each.is_type_of is not None:
                each.is_type_of = KnownByClass(definition, each.is_type_of)
            for field in each.fields.values():
                shown = field.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
                if field.subscribe is None and type(shown) is StrawberryField:
                    _shorten(schema, field, shown)


def _shorten(schema: strawberry.Schema, field: GraphQLField, definition: StrawberryField) -> None:
    handlers = schema.schema_converter._get_field_exception_handlers(definition)
    if definition.arguments or definition.extensions or definition.permission_classes or handlers:
        return
    resolver, info_of = definition.base_resolver, schema.config.info_class
    if resolver is None:
        if definition.default_resolver is getattr:
            _read_plainly(field, attrgetter(definition.python_name))
        return
    if type(resolver) is not StrawberryResolver:
        return
    function: Any = resolver.wrapped_func
    match [(each, each.kind) for each in inspect.signature(function).parameters.values()]:
        case [(first, kind)] if first == resolver.self_parameter and kind in BY_POSITION:
            if inspect.iscoroutinefunction(function):
                field.resolve = lambda source, info: function(source)
            else:
                _read_plainly(field, function)
        case [(first, kind), (second, other)] if (
            first == resolver.self_parameter
            and kind in BY_POSITION
            and second == resolver.info_parameter
            and second.name == "info"
            and other in BY_NAME
        ):
            field.resolve = lambda source, info: function(source, info=info_of(_raw_info=info, _field=definition))


def _read_plainly(field: GraphQLField, read: Callable[[Any], Any]) -> None:
    field.resolve = lambda source, info: read(source)
    field.extensions[PLAIN] = read
