"""The audit log in the schema."""

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter

import strawberry
from sqlalchemy.orm import Session as DbSession
from strawberry.utils.str_converters import to_camel_case

from gql_app.accounts.graphql import User, users_by_id
from gql_app.accounts.vertical import ACCOUNTS
from gql_app.api.connections import Connection, PageArgs
from gql_app.api.context import Info
from gql_app.api.ids import decode_id, encode_id
from gql_app.changes import log, pages
from gql_app.changes.cursors import parse_cursor
from gql_app.changes.models import ChangeEvent, ChangeKind
from gql_app.changes.scope import Interest
from gql_app.changes.topics import Topic
from gql_app.errors import Invalid
from gql_app.vertical import Vertical
from gql_app.viewer import Viewer

strawberry.enum(ChangeKind)

_CAMEL_HUMP = re.compile("[A-Z]")


@strawberry.type(description="One attribute that changed, or an entity that was created or deleted.")
class Change:
    event: strawberry.Private[ChangeEvent]
    cursor: str = strawberry.field(description="Where one stands who has seen this; `after` takes it.")
    occurred_at: datetime
    kind: ChangeKind
    entity_type: str
    entity_id: strawberry.ID
    attribute: str | None
    old_value: str | None = strawberry.field(description="Null also for secrets, of which only the change is recorded.")
    new_value: str | None

    @strawberry.field(description="Who did it; null for the service itself.")
    async def actor(self, info: Info) -> User | None:
        return await info.context.load(users_by_id, self.event.actor_id) if self.event.actor_id else None

    @strawberry.field(description="Whose it is.")
    async def owner(self, info: Info) -> User | None:
        return await info.context.load(users_by_id, self.event.owner_id) if self.event.owner_id else None

    @classmethod
    def of(cls, event: ChangeEvent) -> "Change":
        return cls(
            event=event,
            cursor=event.cursor,
            occurred_at=event.occurred_at,
            kind=event.kind,
            entity_type=event.entity_type,
            entity_id=strawberry.ID(encode_id(event.entity_type, event.entity_id)),
            attribute=to_camel_case(event.attribute) if event.attribute else None,
            old_value=event.old_value,
            new_value=event.new_value,
        )


@strawberry.input(description="Only the changes for which all that is given holds.")
class ChangeFilter:
    entity_type: str | None = None
    entity_id: strawberry.ID | None = None
    attribute: str | None = None

    def topic(self) -> Topic:
        """Raises Invalid."""
        entity_type, entity_id = self.entity_type, None
        if self.entity_id is not None:
            found = decode_id(self.entity_id)
            if found is None or entity_type not in (None, found[0]):
                raise Invalid("That is not the id of such an entity.", field="filter.entityId")
            entity_type, entity_id = found
        return Topic(_name(entity_type, "entityType"), _attribute(self.attribute), entity_id)


def _name(value: str | None, field: str) -> str | None:
    """As entity types and attributes are called: an identifier."""
    if value is not None and not (value.isidentifier() and len(value) <= 64):
        raise Invalid("There is nothing of that name.", field=f"filter.{field}")
    return value


def _attribute(value: str | None) -> str | None:
    """The log calls attributes as the models do."""
    name = _name(value, "attribute")
    return None if name is None else _CAMEL_HUMP.sub(lambda hump: "_" + hump.group().lower(), name)


@dataclass(frozen=True, slots=True)
class _Window:
    events: Sequence[ChangeEvent]
    more: bool


def _read(session: DbSession, viewer: Viewer, topic: Topic, args: PageArgs) -> _Window:
    after = None if args.after is None else parse_cursor(args.after)
    before = None if args.before is None else parse_cursor(args.before, field="before")
    for each in filter(None, (after, before)):
        log.verify(session, each)
    events = pages.window(
        session,
        Interest.of([topic], viewer.scope),
        after=None if after is None else after.position,
        before=None if before is None else before.position,
        limit=args.size + 1,
        backward=args.backward,
    )
    more = len(events) > args.size
    kept = events[: args.size]
    return _Window(kept[::-1] if args.backward else kept, more)


@strawberry.type
class AuditQueries:
    @strawberry.field(
        description="The changes that one may see, in the order in which they were committed. Its cursors are those "
        "of the subscriptions: read up to a cursor, then subscribe `after` it. `last` gives the latest ones."
    )
    async def changes(
        self,
        info: Info,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
        filter: ChangeFilter | None = None,
    ) -> Connection[Change]:
        viewer = await info.context.holder()
        args = PageArgs(first, after, last, before)
        topic = (filter or ChangeFilter()).topic()
        window = await info.context.read(_read, viewer, topic, args)
        return Connection(
            rows=window.events,
            shown=[Change.of(event) for event in window.events],
            cursor_of=attrgetter("cursor"),
            has_next=args.before is not None if args.backward else window.more,
            has_previous=window.more if args.backward else args.after is not None,
        )


@strawberry.type
class AuditSubscriptions:
    @strawberry.subscription(description="All changes that one may see, or those that the filter lets through.")
    def changes(
        self, info: Info, filter: ChangeFilter | None = None, after: str | None = None
    ) -> AsyncIterator[Change]:
        return info.context.stream([(filter or ChangeFilter()).topic()], after, Change.of)


AUDIT = Vertical("audit", needs=(ACCOUNTS,), queries=(AuditQueries,), subscriptions=(AuditSubscriptions,))
