"""What a document may cost, found out before anything expensive is done with it.

Must hold: to find out what a document costs is cheap itself. Every fragment is looked at once, however often it is
spread: the cost of finding out is linear in the document.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
)

from gql_app.api.connections import DEFAULT_PAGE, LARGEST_PAGE
from gql_app.execution.introspection import ROOTS, Prices, Sizes

MAX_TOKENS = 2_000
MAX_LENGTH = 50_000
"""Characters of a document, comments included."""
MAX_DEPTH = 20
MAX_COST = 20_000
"""Fields that an answer may hold; a page counts as many times as it has entries."""
MAX_PAIRS = 10_000
"""Pairs of fields with the same name that validation would have to compare (its rule
OverlappingFieldsCanBeMerged is quadratic in these)."""


TEXTS = {"body": 50, "note": 20, "decisionNote": 20, "oldValue": 20, "newValue": 20, "error": 20, "totalCount": 500}
"""What fields count that may hold thousands of characters, or take as long."""


@dataclass(slots=True)
class _Weight:
    """What a selection set costs; `names` are the fields that it holds directly, fragments spread."""

    cost: int = 0
    introspected: int = 0
    depth: int = 0
    names: Counter[str] = field(default_factory=Counter)
    lists: set[str] = field(default_factory=set)


class _Scales:
    def __init__(self, document: DocumentNode, sizes: Sizes) -> None:
        self._fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
        self._prices = Prices(sizes, self._fragments)
        self._weights: dict[str, _Weight] = {}
        self._open: set[str] = set()
        self.pairs = 0

    def weigh(self, selection_set: SelectionSetNode) -> _Weight:
        weight = _Weight()
        for selection in selection_set.selections:
            if isinstance(selection, FieldNode):
                self._add_field(weight, selection)
            elif isinstance(selection, InlineFragmentNode):
                _merge(weight, self.weigh(selection.selection_set))
            elif isinstance(selection, FragmentSpreadNode):
                _merge(weight, self._fragment(selection.name.value))
        self.pairs += sum(count * count for count in weight.names.values() if count > 1)
        return weight

    def weigh_unused(self) -> None:
        """Validation compares the fields of fragments also where nothing spreads them."""
        for name in self._fragments:
            self._fragment(name)

    def _add_field(self, weight: _Weight, node: FieldNode) -> None:
        weight.names[node.alias.value if node.alias else node.name.value] += 1
        weight.lists.add(node.name.value)
        inner = self.weigh(node.selection_set) if node.selection_set else _Weight()
        if node.name.value in ROOTS and node.selection_set:
            weight.introspected += 1 + self._prices.of(node.selection_set)
        else:
            entries = _entries(node, inner)
            weight.cost += TEXTS.get(node.name.value, 1) + entries * inner.cost
            weight.introspected += entries * inner.introspected
        weight.depth = max(weight.depth, 1 + inner.depth)

    def _fragment(self, name: str) -> _Weight:
        if name not in self._weights:
            definition = self._fragments.get(name)
            if definition is None or name in self._open:  # validation has better words for these
                return _Weight()
            self._open.add(name)
            self._weights[name] = self.weigh(definition.selection_set)
            self._open.discard(name)
        return self._weights[name]


class Weighed(NamedTuple):
    """What the dearest operation of a document costs in fields, and how many pairs of fields validation compares."""

    cost: int
    pairs: int


def weigh(document: DocumentNode, sizes: Sizes) -> Weighed:
    """Raises GraphQLError when an operation of the document would cost too much, saying which limit it breaks."""
    scales, cost = _Scales(document, sizes), 0
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode):
            weight = scales.weigh(definition.selection_set)
            if weight.depth > MAX_DEPTH:
                raise GraphQLError(f"The document is nested {weight.depth} deep; {MAX_DEPTH} is the most.")
            if weight.cost > MAX_COST:
                raise GraphQLError(
                    f"The answer could hold {weight.cost} fields; {MAX_COST} is the most. Ask for smaller pages."
                )
            if weight.introspected > sizes.most:
                raise GraphQLError(
                    f"The introspection could return {weight.introspected} values; {sizes.most} is the most. "
                    "Ask for less at a time."
                )
            cost = max(cost, weight.cost + weight.introspected)
    scales.weigh_unused()
    if scales.pairs > MAX_PAIRS:
        raise GraphQLError("The document asks for the same field too many times.")
    return Weighed(cost, scales.pairs)


def _merge(weight: _Weight, inner: _Weight) -> None:
    weight.cost += inner.cost
    weight.introspected += inner.introspected
    weight.depth = max(weight.depth, inner.depth)
    weight.names.update(inner.names)
    weight.lists |= inner.lists


def _entries(node: FieldNode, inner: "_Weight") -> int:
    """How many entries a connection may return; 1 for what is no connection. A variable may hold the largest page."""
    for argument in node.arguments or ():
        if argument.name.value in ("first", "last", "ids"):
            value = argument.value
            if not isinstance(value, IntValueNode) or len(value.value) > 3:
                return LARGEST_PAGE
            return max(1, min(int(value.value), LARGEST_PAGE))
    is_connection = bool(inner.lists & {"edges", "nodes"})
    return DEFAULT_PAGE if is_connection else 1
