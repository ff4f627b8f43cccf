"""Everything that has a global id, and how `node(id:)` finds it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import strawberry
from sqlalchemy.orm import Session

from gql_app.api.context import Context
from gql_app.api.ids import decode_id, encode_id
from gql_app.audiences.conditions import Holder

Finder = Callable[[Session, Holder, Sequence[UUID]], Mapping[UUID, Any]]
"""Finds the entities with these public ids that the holder of keys may see, as GraphQL objects."""


@dataclass(frozen=True, slots=True)
class Nodes:
    """How the entities of an application are found, kind by kind; what `Context.resource` has of it."""

    finders: Mapping[str, Finder]


@strawberry.interface(description="Anything that can be fetched again by its id.")
class Node:
    _kind: strawberry.Private[str]
    public_id: strawberry.Private[UUID]

    @strawberry.field(description="Unique among all kinds of nodes.")
    def id(self) -> strawberry.ID:
        return strawberry.ID(encode_id(self._kind, self.public_id))


async def as_it_is_now(context: Context, kind: str, public_id: UUID) -> Any:
    """The entity that an event is about, if those who hear of it may see it now; else None.

    It is read once for all who share the answer, and again for a single one who may see more than they all do.
    """
    return await first_seen(context, kind, context.resource(Nodes).finders[kind], public_id)


async def first_seen(context: Context, kind: str, finder: Callable[[Session, Any, Any], Any], key: Any) -> Any:
    """The same with a finder of one's own, by whatever it finds entities by."""
    for holder in context.who_may_see(kind):
        if (found := await context.load_for(holder, finder, key)) is not None:
            return found
    return None


async def find_nodes(context: Context, ids: Sequence[str]) -> list[Node | None]:
    """The nodes in the order of the ids; None for what does not exist or may not be seen."""
    viewer = context.require_viewer()
    wanted: dict[str, list[UUID]] = {}
    decoded = [decode_id(each) for each in ids]
    for kind, public_id in filter(None, decoded):
        wanted.setdefault(kind, []).append(public_id)
    finders = context.resource(Nodes).finders
    found = {
        kind: await context.look_up(finders[kind], viewer, public_ids)
        for kind, public_ids in wanted.items()
        if kind in finders
    }
    return [found.get(each[0], {}).get(each[1]) if each else None for each in decoded]
