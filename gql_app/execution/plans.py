"""Reads selections by plans: what to do for each field of a selection set is found out once, not for every object.

graphql-core looks all of it up again for every field of every row, at about 6 µs each. A plan is a list of the fields
with what reads and completes their values. It knows fields without arguments, their leaves, objects and lists of
objects, and only how they end well: a value that is anything else is handed to graphql-core as it was read, which
refuses it in its own words. Must hold: answers and errors are those of graphql-core alone. Fields with arguments go
graphql-core's way as a whole. `executor.py` follows the plans.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import GeneratorType, NoneType
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from graphql import (
    FieldNode,
    GraphQLField,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    Undefined,
    is_interface_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
)
from graphql.execution.collect_fields import CollectedFields, FieldDetails
from graphql.pyutils import Path, UndefinedType
from strawberry.types.cast import TYPE_CAST_ATTRIBUTE

from gql_app.execution.direct import PLAIN, KnownByClass, NameByClass

if TYPE_CHECKING:
    from gql_app.execution.executor import PlanningExecutor

Details: TypeAlias = list[FieldDetails]
Complete: TypeAlias = "Callable[[PlanningExecutor, Any, PlannedField, Path | None], Any]"


@dataclass(frozen=True, slots=True, eq=False)
class PlannedField:
    """One field of a selection set, under its name in the response.

    `plain` reads its value from the source alone, otherwise the definition's resolver does. `complete` makes of it
    what is answered; without it the field is graphql-core's. `coerce` does so for leaves that are read plainly.
    """

    name: str
    parent: GraphQLObjectType
    details: Details
    definition: GraphQLField
    nodes: list[FieldNode]
    plain: Any
    complete: "Complete | None"
    coerce: Callable[[Any], Any] | None
    nullable: bool

    def path(self, parent: Path | None) -> Path:
        return Path(parent, self.name, self.parent.name)


Plan: TypeAlias = list[PlannedField]

ordinary: set[type] = set()
"""Types of values of leaves that graphql-core does nothing with but to complete them."""


LEAST_FIELDS = 100
CHARACTERS_PER_FIELD = 4
"""Of a document, for each planned field that is kept, about 1 kB. Fragments that are spread at many places are many
fields; an operation that has more than this is planned anew, again and again."""


class Plans:
    """The plans of one operation. They hold for every execution in which the same fields are selected."""

    def __init__(self, characters: int = 0) -> None:
        """``characters``: the length of the document."""
        self._left = self._most = max(LEAST_FIELDS, characters // CHARACTERS_PER_FIELD)
        self.root: dict[str, Details] | None = None
        self._collected: dict[tuple[GraphQLObjectType, int], tuple[Details, CollectedFields]] = {}
        self._plans: dict[tuple[GraphQLObjectType, int], tuple[Details, Plan]] = {}

    def collected(self, executor: "PlanningExecutor", kind: GraphQLObjectType, details: Details) -> CollectedFields:
        """The fields that are selected below these, of an object of this kind."""
        key = (kind, id(details))  # the list is kept beside, so that nothing else gets its id
        known = self._collected.get(key)
        if known is None:
            known = self._collected[key] = (details, executor.collect(kind, details))
        return known[1]

    def plan(self, executor: "PlanningExecutor", kind: GraphQLObjectType, details: Details) -> Plan:
        """How to read them."""
        key = (kind, id(details))
        known = self._plans.get(key)
        if known is None:
            fields = self.collected(executor, kind, details).grouped_field_set.items()
            self._left -= len(fields)
            if self._left < 0:
                self._left = self._most - len(fields)
                self._plans.clear()
                self._collected.clear()
            made = [_planned(executor.schema, kind, name, below) for name, below in fields]
            known = self._plans[key] = (details, [field for field in made if field is not None])
        return known[1]


def _planned(schema: GraphQLSchema, parent: GraphQLObjectType, name: str, details: Details) -> PlannedField | None:
    node = details[0].node
    definition = schema.get_field(parent, node.name.value)
    if definition is None:
        return None
    plain = (lambda source: parent.name) if node.name.value == "__typename" else definition.extensions.get(PLAIN)
    inner = nullable_of(definition.type)
    by_arguments = definition.args or node.arguments
    return PlannedField(
        name,
        parent,
        details,
        definition,
        [each.node for each in details],
        plain,
        None if by_arguments or definition.resolve is None else _completion(schema, definition.type),
        inner.coerce_output_value if plain is not None and is_leaf_type(inner) else None,
        inner is definition.type,
    )


def _completion(schema: GraphQLSchema, kind: GraphQLOutputType) -> Complete:
    inner = nullable_of(kind)
    if is_leaf_type(inner):
        return _leaf(inner.coerce_output_value, nullable=inner is kind)
    if is_list_type(inner):
        kinds = _kinds(schema, nullable_of(inner.of_type))
        return _objects(kinds) if kinds is not None else _otherwise
    kinds = _kinds(schema, inner)
    return _object(kinds) if kinds is not None else _otherwise


def _otherwise(executor: "PlanningExecutor", value: Any, field: PlannedField, parent: Path | None) -> Any:
    return executor.complete_otherwise(value, field, parent)


def _leaf(coerce: Callable[[Any], Any], *, nullable: bool) -> Complete:
    def complete(executor: "PlanningExecutor", value: Any, field: PlannedField, parent: Path | None) -> Any:
        if type(value) not in ordinary:
            return None if value is None and nullable else executor.complete_unknown(value, field, parent)
        coerced = coerce(value)
        if coerced is not None and coerced is not Undefined:
            return coerced
        return executor.complete_otherwise(value, field, parent)

    return complete


def _object(kinds: "_Kinds") -> Complete:
    kind_of = kinds.of

    def complete(executor: "PlanningExecutor", value: Any, field: PlannedField, parent: Path | None) -> Any:
        kind = kind_of(value)
        if kind is None:
            return executor.complete_otherwise(value, field, parent)
        return executor.collect_and_execute_subfields(kind, field.details, field.path(parent), value)

    return complete


def _objects(kinds: "_Kinds") -> Complete:
    def complete(executor: "PlanningExecutor", value: Any, field: PlannedField, parent: Path | None) -> Any:
        found = kinds.of_all(value) if type(value) is list else None
        if found is None:
            return executor.complete_otherwise(value, field, parent)
        return executor.complete_list(value, found, field, parent)

    return complete


class _Kinds:
    """Finds the GraphQL types of our objects; None for anything else, such as null or something to await.

    Calls are what it costs: one look for each object, and for a whole list no call but this one.
    """

    def __init__(self, schema: GraphQLSchema, kind: Any) -> None:
        self._schema = schema
        self._kind = kind
        self._known: dict[type, GraphQLObjectType] = {}
        self._strange: set[type] = set()
        self._castable = is_interface_type(kind) or kind.is_type_of is not None
        """Whether Strawberry would look at what an object was cast to."""

    def of(self, value: Any) -> GraphQLObjectType | None:
        kind = self._known.get(type(value)) or self._found(type(value))
        if kind is not None and self._castable and getattr(value, TYPE_CAST_ATTRIBUTE, None) is not None:
            return None
        return kind

    def of_all(self, values: list[Any]) -> list[GraphQLObjectType] | None:
        known = self._known
        try:
            kinds = [known[type(each)] for each in values]
        except KeyError:
            found = [self.of(each) for each in values]
            return None if None in found else cast("list[GraphQLObjectType]", found)
        if self._castable and [each for each in values if getattr(each, TYPE_CAST_ATTRIBUTE, None) is not None]:
            return None
        return kinds

    def _found(self, of: type) -> GraphQLObjectType | None:
        if of in self._strange:
            return None
        kind = _kind(self._schema, self._kind, of)
        if kind is None:
            self._strange.add(of)
        else:
            self._known[of] = kind
        return kind


def _kinds(schema: GraphQLSchema, kind: Any) -> _Kinds | None:
    """None for types that are found in a way of their author's."""
    if is_interface_type(kind):
        return _Kinds(schema, kind) if isinstance(kind.resolve_type, NameByClass) else None
    by_class = is_object_type(kind) and (kind.is_type_of is None or isinstance(kind.is_type_of, KnownByClass))
    return _Kinds(schema, kind) if by_class else None


def _kind(schema: GraphQLSchema, kind: Any, of: type) -> GraphQLObjectType | None:
    if getattr(of, "__strawberry_definition__", None) is None or is_special(of):
        return None
    found = kind
    if is_interface_type(kind):
        assert isinstance(kind.resolve_type, NameByClass)
        found = schema.type_map.get(kind.resolve_type.name_of(of) or "")
        if not is_object_type(found) or not schema.is_sub_type(kind, found):
            return None
    knows = found.is_type_of
    return found if knows is None or (isinstance(knows, KnownByClass) and knows.takes(of)) else None


def is_special(of: type) -> bool:
    """Whether graphql-core does something else with such values than to complete them: it raises or awaits them."""
    return issubclass(of, (NoneType, UndefinedType, Exception, GeneratorType)) or hasattr(of, "__await__")


def nullable_of(kind: Any) -> Any:
    return kind.of_type if is_non_null_type(kind) else kind
