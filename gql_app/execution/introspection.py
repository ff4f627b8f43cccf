"""What an introspection costs, by how much of the schema it can return.

Must hold: the price of a document is found in time linear in it: each fragment is looked at once for each place where
its price differs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import ceil

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    get_introspection_query,
    parse,
)

ROOTS = frozenset({"__schema", "__type"})
LONG = 3
"""What a description counts: it has many times the characters of a name."""
TIMES_THE_USUAL = 1.5
"""How many times as much as the usual introspection (graphql-core's `get_introspection_query`) one may return."""


@dataclass(frozen=True)
class Sizes:
    """How long the lists of an introspection are: of all types together, and of the one with the longest."""

    types: int
    whole: Mapping[str, int]
    longest: Mapping[str, int]

    @classmethod
    def of(cls, schema: GraphQLSchema) -> "Sizes":
        types = list(schema.type_map.values())
        lists: dict[str, list[int]] = {"fields": [0], "inputFields": [0], "enumValues": [0], "args": [0]}
        arguments: list[Mapping[str, GraphQLArgument]] = [each.args for each in schema.directives]
        for each in types:
            if isinstance(each, GraphQLObjectType | GraphQLInterfaceType):
                lists["fields"].append(len(each.fields))
                arguments += [field.args for field in each.fields.values()]
            elif isinstance(each, GraphQLInputObjectType):
                lists["inputFields"].append(len(each.fields))
            elif isinstance(each, GraphQLEnumType):
                lists["enumValues"].append(len(each.values))
        lists["args"] += [len(each) for each in arguments]
        fields = max(sum(lists["fields"]), 1)
        whole = {name: ceil(sum(found) / len(types)) for name, found in lists.items()}
        whole |= {"args": ceil(sum(lists["args"]) / fields), "possibleTypes": 2, "interfaces": 2}
        longest = {name: max(found) for name, found in lists.items()}
        interfaces = (each for each in types if isinstance(each, GraphQLInterfaceType))
        possible = max((len(schema.get_possible_types(each)) for each in interfaces), default=1)
        longest |= {"possibleTypes": possible, "interfaces": 8, "directives": len(schema.directives)}
        return cls(len(types), whole, longest)

    @cached_property
    def most(self) -> int:
        """Values that an introspection may return."""
        usual = parse(get_introspection_query(schema_description=True, input_value_deprecation=True))
        fragments = {each.name.value: each for each in usual.definitions if isinstance(each, FragmentDefinitionNode)}
        (asked,) = (each for each in usual.definitions if isinstance(each, OperationDefinitionNode))
        return int(TIMES_THE_USUAL * Prices(self, fragments).of(asked.selection_set))

    def of_list(self, name: str, within: str) -> int:
        """How often what is below a field of this name is returned; 1 for what is no list."""
        if name == "types":
            return self.types
        return max(1, (self.whole if within == "types" else self.longest).get(name, 1))


def is_introspection(operation: OperationDefinitionNode) -> bool:
    """Whether it asks for nothing but the schema, which is the same for everybody."""
    fields = operation.selection_set.selections
    return not operation.variable_definitions and all(
        isinstance(each, FieldNode) and each.name.value in ROOTS and not each.directives for each in fields
    )


class Prices:
    """The prices of one document's introspections."""

    def __init__(self, sizes: Sizes, fragments: Mapping[str, FragmentDefinitionNode]) -> None:
        self._sizes = sizes
        self._fragments = fragments
        self._known: dict[tuple[str, str], int] = {}
        self._open: set[str] = set()

    def of(self, selection_set: SelectionSetNode, within: str = "") -> int:
        """``within``: in `types`, whose lists count by what all of them hold, or elsewhere."""
        price = 0
        for node in selection_set.selections:
            if isinstance(node, FieldNode):
                name = node.name.value
                price += LONG if name == "description" else 1
                if node.selection_set is not None:
                    inside = "types" if name == "types" or (within == "types" and name in self._sizes.whole) else name
                    price += self._sizes.of_list(name, within) * self.of(node.selection_set, inside)
            elif isinstance(node, InlineFragmentNode):
                price += self.of(node.selection_set, within)
            elif isinstance(node, FragmentSpreadNode):
                price += self._of_fragment(node.name.value, within)
        return price

    def _of_fragment(self, name: str, within: str) -> int:
        definition = self._fragments.get(name)
        if definition is None or name in self._open:  # validation has better words for these
            return 0
        if (name, within) not in self._known:
            self._open.add(name)
            self._known[name, within] = self.of(definition.selection_set, within)
            self._open.discard(name)
        return self._known[name, within]
