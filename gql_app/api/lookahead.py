"""What an operation will ask for below a field."""

from graphql import FieldNode, FragmentSpreadNode, InlineFragmentNode, SelectionSetNode

from gql_app.api.context import Info


def mentions(info: Info, *names: str) -> bool:
    """Whether a field of one of these names is selected anywhere below: what it needs may be read with the rest."""
    raw = info._raw_info
    open_sets = [node.selection_set for node in raw.field_nodes]
    seen: set[str] = set()
    while open_sets:
        selection_set: SelectionSetNode | None = open_sets.pop()
        for node in selection_set.selections if selection_set else ():
            if isinstance(node, FieldNode):
                if node.name.value in names:
                    return True
                open_sets.append(node.selection_set)
            elif isinstance(node, InlineFragmentNode):
                open_sets.append(node.selection_set)
            elif isinstance(node, FragmentSpreadNode) and node.name.value not in seen:
                seen.add(node.name.value)
                open_sets.append(raw.fragments[node.name.value].selection_set)
    return False
