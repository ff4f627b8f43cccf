"""A subscription for an attribute: `boatStatusChanged(id:, after:)`."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any

import strawberry
from sqlalchemy import inspect as sa_inspect
from sqlalchemy.orm import InstrumentedAttribute
from strawberry.utils.str_converters import to_camel_case

from gql_app.api.context import Info
from gql_app.api.ids import id_of
from gql_app.api.lookups import Lookup
from gql_app.api.streams import Snapshot, state_of
from gql_app.audiences.kinds import root_of
from gql_app.changes.models import ChangeEvent
from gql_app.changes.topics import Topic
from gql_app.changes.tracking import attributes_of, value_of
from gql_app.declared.shape import Declared
from gql_app.declared.values import camel, spoken, values_of, words
from gql_app.errors import NotFound

Only = Annotated[
    strawberry.ID | None, strawberry.argument(description="Only of this one; NOT_FOUND if you may not see it.")
]
After = Annotated[str | None, strawberry.argument(description="The cursor of the last event that you have.")]


Actor = tuple[type, Lookup[int, Any]]


def stream_of(of: Declared, attribute: InstrumentedAttribute[Any], actor: Actor | None = None) -> type:
    """The type whose field becomes the subscription.

    Raises:
        TypeError: the attribute is not tracked, or is secret.
    """
    tracked = attributes_of(of.model).get(attribute.key)
    if tracked is None or tracked.secret:
        why = "secret: its values are not recorded" if tracked else "not tracked: declare it with tracked(…)"
        raise TypeError(f"{attribute} cannot be subscribed to, it is {why}")
    if attribute.key not in sa_inspect(of.model).local_table.c and root_of(of.model) is not of.model:
        raise TypeError(f"{attribute} belongs to the base, whose stream tells of all of the kind: declare it there")
    name = of.graphql.__name__
    if attribute.key in ("cursor", "event", "occurred_at", "of", "actor", words(name)):
        raise TypeError(f"{attribute} has a name that each event has for something else: write its stream yourself")
    event = _event(of, attribute, actor)

    async def resolve(self: Any, info: Info, id: Only = None, after: After = None, snapshot: Snapshot = False) -> Any:
        info.context.require_viewer()
        entity_id = id_of(of.kind, id) if id is not None else None
        if entity_id is not None and await of.seen_by(info.context, entity_id) is None:
            raise NotFound
        state = state_of(attribute, entity_id) if snapshot else None
        return info.context.stream([Topic(of.kind, attribute.key, entity_id)], after, event.of, state=state)

    resolve.__annotations__["return"] = AsyncIterator.__class_getitem__(event)  # type: ignore[attr-defined]
    field = strawberry.subscription(
        resolver=resolve,
        description=f"Each change of `{to_camel_case(attribute.key)}` of a {spoken(name)} that you may see, or of the "
        "one with this id. Pass the cursor of the last event that you have as `after`: nothing is missed or repeated.",
    )
    made: type = strawberry.type(
        type(f"{name}{camel(attribute.key)}Stream", (), {f"{words(name)}_{attribute.key}_changed": field})
    )
    return made


def _event(of: Declared, attribute: InstrumentedAttribute[Any], actor: Actor | None) -> Any:
    name, values = of.graphql.__name__, values_of(attribute)

    async def now(self: Any, info: Info) -> Any:
        return await of.as_it_is_now(info.context, self.event.entity_id)

    def old(self: Any) -> Any:
        return value_of(attribute, self.event.old_value)

    def new(self: Any) -> Any:
        return value_of(attribute, self.event.new_value)

    now.__annotations__ = {"self": Any, "info": Info, "return": of.graphql | None}
    old.__annotations__ = {"self": Any, "return": values.kind | None}
    new.__annotations__ = {"self": Any, "return": values.annotation}

    def made(cls: Any, event: ChangeEvent) -> Any:
        return cls(event=event, cursor=event.cursor, occurred_at=event.occurred_at)

    fields: dict[str, Any] = {
        "__annotations__": {"event": strawberry.Private[ChangeEvent], "cursor": str, "occurred_at": datetime},
        "cursor": strawberry.field(description="Cursor of this change. Pass it as `after` to resume behind it."),
        "occurred_at": strawberry.field(description="When it was changed, by the clock of the machine that did it."),
        f"previous_{attribute.key}": strawberry.field(resolver=old, description="The value before it; null if new."),
        attribute.key: strawberry.field(resolver=new, description="The value that the change has given it."),
        words(name): strawberry.field(
            resolver=now, description=f"The {spoken(name)} as it is now; null if you may not see it any more."
        ),
        "of": classmethod(made),
    }
    if actor is not None:
        fields["actor"] = _actor(*actor)
    described = f"`{to_camel_case(attribute.key)}` of a {spoken(name)} was changed, or the {spoken(name)} is new."
    return strawberry.type(type(f"{name}{camel(attribute.key)}Change", (), fields), description=described)


def _actor(kind: type, find: Lookup[int, Any]) -> Any:
    async def resolve(self: Any, info: Info) -> Any:
        actor_id = self.event.actor_id
        return None if actor_id is None else await info.context.load(find, actor_id)

    resolve.__annotations__ = {"self": Any, "info": Info, "return": kind | None}
    return strawberry.field(resolver=resolve, description="Who did it; null for the service itself.")
