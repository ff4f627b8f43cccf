"""What an operation will ask for below a field: what it needs may be read with the rest, and nothing else must be."""

from graphql import FieldNode, FragmentSpreadNode, InlineFragmentNode, SelectionSetNode

from gql_app.api.context import Info


def mentioned(info: Info) -> frozenset[str]:
    """The names of all fields that are selected anywhere below this one, under whatever conditions."""
    raw = info._raw_info
    open_sets: list[SelectionSetNode | None] = [node.selection_set for node in raw.field_nodes]
    names: set[str] = set()
    spread: set[str] = set()
    while open_sets:
        selection_set = open_sets.pop()
        for node in selection_set.selections if selection_set else ():
            if isinstance(node, FieldNode):
                names.add(node.name.value)
                open_sets.append(node.selection_set)
            elif isinstance(node, InlineFragmentNode):
                open_sets.append(node.selection_set)
            elif isinstance(node, FragmentSpreadNode) and node.name.value not in spread:
                spread.add(node.name.value)
                open_sets.append(raw.fragments[node.name.value].selection_set)
    return frozenset(names)
