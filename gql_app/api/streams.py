"""The stream of a subscription: the changes of its topics. With `snapshot: true` it begins with the present state."""

from collections.abc import AsyncIterator, Callable, Hashable, Iterator
from dataclasses import replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar, cast
from uuid import UUID

import strawberry
from sqlalchemy import Connection, Select, String
from sqlalchemy import cast as cast_to
from sqlalchemy.orm import InstrumentedAttribute, Session

from gql_app.audiences.conditions import Holder, seen
from gql_app.changes.codec import Codec
from gql_app.changes.cursors import Cursor
from gql_app.changes.models import ChangeEvent
from gql_app.changes.scope import Interest, Scope
from gql_app.changes.states import Row, State
from gql_app.changes.stored import UNREADABLE
from gql_app.changes.topics import Topic
from gql_app.changes.tracking import Tracked, codecs_of, entity_type
from gql_app.changes.watch import Renewal, Watch
from gql_app.viewer import with_keys

if TYPE_CHECKING:
    from gql_app.api.context import Context

T = TypeVar("T")

Snapshot = Annotated[
    bool,
    strawberry.argument(
        description="True: first tell the present state, one event per entity. Such an event has "
        "`extensions.snapshot`. The event with `last: true` also has the position from which changes follow. "
        "If `after` is a cursor behind the snapshot, only the changes are told."
    ),
]
"""The `snapshot` argument of a subscription."""


def state_of(attribute: InstrumentedAttribute[Any], only: UUID | None = None) -> State:
    """A snapshot of a tracked attribute: of all entities that the subscriber may see, or ``only`` of one."""
    model = cast("type[Tracked]", attribute.class_)
    return State(entity_type(model), attribute.key, partial(_page, model, attribute, only))


def _page(
    model: type[Tracked],
    attribute: InstrumentedAttribute[Any],
    only: UUID | None,
    session: Session,
    holder: Holder,
    behind: UUID | None,
    limit: int,
) -> list[Row]:
    ids: Any = model.public_id
    query = seen(model, holder).with_only_columns(ids, attribute, maintain_column_froms=True)
    if only is not None:
        query = query.where(ids == only)
    if behind is not None:
        query = query.where(ids > behind)
    connection = session.connection()
    codec = codecs_of(model, connection.dialect)[attribute.key]
    query = query.order_by(ids).limit(limit)
    try:
        return [Row(entity_id, codec.frozen(value).text) for entity_id, value in connection.execute(query)]
    except UNREADABLE:
        return list(_one_by_one(connection, query, ids, attribute, codec))


def _one_by_one(
    connection: Connection, query: Select[Any], ids: Any, attribute: InstrumentedAttribute[Any], codec: Codec
) -> Iterator[Row]:
    """Some value is of another version. Its row has the raw text, so that only its own event is `Undecodable`."""
    only_ids = query.with_only_columns(ids, maintain_column_froms=True)
    for entity_id in connection.execute(only_ids).scalars().all():
        one = query.where(ids == entity_id)
        try:
            text = codec.frozen(connection.execute(one).one()[1]).text
        except UNREADABLE:
            raw = one.with_only_columns(cast_to(attribute, String), maintain_column_froms=True)
            text = connection.execute(raw).scalar_one()
        yield Row(entity_id, text)


class Stream(AsyncIterator[T], Generic[T]):
    """A subscription's events. Close it after use.

    ``of`` makes a GraphQL event of a change (None: not this one), and with ``state`` also of what there is at first.
    With ``by_scope`` it is also handed what the subscriber may see. `identity` is the same for all that make the same
    of every event.
    """

    __slots__ = ("_by_scope", "_context", "_of", "_wanted", "begins_after", "identity", "state", "viewer", "watch")

    def __init__(
        self,
        context: "Context",
        topics: tuple[Topic, ...],
        after: Cursor,
        of: Callable[..., T | None],
        identity: Hashable,
        *,
        by_scope: bool = False,
        resumed: bool = False,
        state: State | None = None,
    ) -> None:
        self.identity = _once(identity)
        self.state = state
        self.viewer = viewer = context.require_viewer()
        self._context = context
        self._wanted = topics
        self._of = of
        self._by_scope = by_scope
        self.begins_after = after
        # What an event loads may be seen by keys that decide about no event of these topics.
        renewal = Renewal(viewer.renewed_by, self.look_again, at_first=bool(viewer.catalog.granted_kinds))
        self.watch: Watch = context.feed.watch(
            topics, viewer.scope, after=after.plain, lifetime=viewer.lifetime, renewal=renewal, resumed=resumed
        )

    async def look_again(self) -> Interest:
        """What the viewer may hear of now."""
        db, catalog = self._context.db, self.viewer.catalog
        found = replace(await self._context.look_again(db, self.viewer), catalog=catalog)
        self.viewer = found if found.granted is not None else await with_keys(db, found)
        return Interest.of(self._wanted, self.viewer.scope)

    def event(self, event: ChangeEvent, scope: Scope) -> T | None:
        return self._of(event, scope) if self._by_scope else self._of(event)

    async def __anext__(self) -> T:
        while (event := self.event(await self.watch.__anext__(), self.watch.interest.scope)) is None:
            pass
        return event

    async def aclose(self) -> None:
        self.watch.close()


@lru_cache(1024)
def _once(identity: Hashable) -> Hashable:
    """One object for all that are equal: each subscription keeps it."""
    return identity
