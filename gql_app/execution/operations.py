"""What can be read off a valid document about its operations."""

from collections import Counter

from graphql import (
    SKIP,
    DirectiveNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    VariableNode,
    Visitor,
    VisitorAction,
    visit,
)


def is_subscription(operation: OperationDefinitionNode) -> bool:
    return operation.operation is OperationType.SUBSCRIPTION


def is_mutation(operation: OperationDefinitionNode) -> bool:
    return operation.operation is OperationType.MUTATION


def root_fields(document: DocumentNode | None, operation: OperationDefinitionNode) -> set[str]:
    """The names of the fields that an operation selects at its root, also by fragments."""
    assert document is not None
    fragments = {each.name.value: each for each in document.definitions if isinstance(each, FragmentDefinitionNode)}
    left, names, spread = [operation.selection_set], set(), set()
    while left:
        for node in left.pop().selections:
            if isinstance(node, FieldNode):
                names.add(node.name.value)
            elif isinstance(node, InlineFragmentNode):
                left.append(node.selection_set)
            elif isinstance(node, FragmentSpreadNode) and node.name.value not in spread:
                spread.add(node.name.value)
                left.append(fragments[node.name.value].selection_set)
    return names - {"__typename"}


class _Conditions(Visitor):
    """Whether there is any @skip or @include."""

    found = False

    def enter_directive(self, node: DirectiveNode, *_: object) -> None:
        self.found |= node.name.value in ("skip", "include")


def is_conditional(document: DocumentNode) -> bool:
    conditions = _Conditions()
    visit(document, conditions)
    return conditions.found


class _Uses(Visitor):
    """How often each variable is used; its definition is no use."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def enter_variable_definition(self, *_: object) -> VisitorAction:
        return SKIP

    def enter_variable(self, node: VariableNode, *_: object) -> None:
        self.counts[node.name.value] += 1


def resume_variables_of(document: DocumentNode) -> frozenset[str]:
    fields = [
        field
        for operation in document.definitions
        if isinstance(operation, OperationDefinitionNode) and is_subscription(operation)
        for field in operation.selection_set.selections
        if isinstance(field, FieldNode)
    ]
    found = {
        argument.value.name.value
        for field in fields
        for argument in field.arguments or ()
        if argument.name.value in ("after", "snapshot") and isinstance(argument.value, VariableNode)
    }
    if not found:
        return frozenset()
    uses = _Uses()
    visit(document, uses)
    return frozenset(name for name in found if uses.counts[name] == 1)
