"""What is read for a type's fields: attributes of the row, and what is looked up ahead for a whole page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gql_app.api.context import Context
from gql_app.api.lookups import Lookup
from gql_app.changes.tracking import Tracked

_AHEAD: Final = "__gql_app_ahead__"
"""Where an object has what was looked up ahead: by look-up and key."""

Found = Mapping[Lookup[Any, Any], Mapping[Any, Any]]


@dataclass(frozen=True, slots=True)
class Ahead:
    """A field of GraphQL that shows what a look-up finds by an attribute of the object."""

    field: str
    name: str
    by: Lookup[Any, Any]


@dataclass(frozen=True, slots=True)
class Fields:
    """How the fields of a type are read.

    `names` are those of an object's attributes, and of the model's that they show. `shown` says which of them each
    field of GraphQL needs; an attribute that is not among its values is always read. `refers` are the models of which
    fields show entities.
    """

    names: Mapping[str, str]
    shown: Mapping[str, str]
    refers: Sequence[type[Tracked]] = ()
    ahead: Sequence[Ahead] = ()


async def read_ahead(context: Context, objects: Sequence[Any], wanted: Sequence[Ahead], asked: frozenset[str]) -> None:
    """Look up what the fields will show, for all objects at once. ``asked``: the names of all fields below."""
    keys: dict[Lookup[Any, Any], set[Any]] = {}
    for each in wanted:
        keys.setdefault(each.by, set()).update(getattr(one, each.name) for one in objects)
    found = {by: await context.find_all(by.showing(asked), some) for by, of in keys.items() if (some := of - {None})}
    if found:
        for one in objects:
            one.__dict__[_AHEAD] = found


def found_ahead(of: Any, by: Lookup[Any, Any], key: Any) -> Any:
    """What was looked up ahead for an object; None: nothing was."""
    found: Found = of.__dict__.get(_AHEAD, {})
    return found[by].get(key) if by in found else None
