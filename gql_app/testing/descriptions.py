"""Which parts of a schema say nothing about themselves."""

from collections.abc import Iterator

import strawberry
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    is_introspection_type,
    is_specified_scalar_type,
)

ROOTS = ("Query", "Mutation", "Subscription")


def undescribed(schema: strawberry.Schema, *, besides: strawberry.Schema | None = None) -> list[str]:
    """The types, fields, arguments, input fields and enum values without a description: ``Boat.berth``,
    ``Query.boats(filter:)``, ``BoatStatus.AT_SEA``.

    ``besides``: what this schema has as well is passed over. With that of an application without one's own vertical,
    what is left is one's own.
    """
    known = set() if besides is None else set(undescribed(besides))
    types = schema._schema.type_map.values()
    ours = (each for each in types if not (is_introspection_type(each) or is_specified_scalar_type(each)))
    return sorted({name for each in ours for name in _of(each)} - known)


def _of(kind: GraphQLNamedType) -> Iterator[str]:
    if not kind.description and kind.name not in ROOTS:
        yield kind.name
    if isinstance(kind, GraphQLEnumType):
        yield from (f"{kind.name}.{name}" for name, value in kind.values.items() if not value.description)
    elif isinstance(kind, GraphQLInputObjectType):
        yield from (f"{kind.name}.{name}" for name, field in kind.fields.items() if not field.description)
    elif isinstance(kind, GraphQLObjectType | GraphQLInterfaceType):
        for name, field in kind.fields.items():
            if not field.description:
                yield f"{kind.name}.{name}"
            yield from (f"{kind.name}.{name}({each}:)" for each, one in field.args.items() if not one.description)
