"""The streams of one viewer, opened as the API opens them."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from gql_app.accounts import sessions
from gql_app.accounts.models import User
from gql_app.accounts.roles import Role
from gql_app.api.context import Context
from gql_app.api.ids import encode_id
from gql_app.api.streams import Stream
from gql_app.app import App
from gql_app.changes.cursors import parse_cursor
from gql_app.changes.models import ChangeEvent
from gql_app.changes.topics import Topic
from gql_app.changes.watch import Watch
from gql_app.viewer import Viewer
from gql_app.visibility.graphql import VisibilityChange, topics_for
from tests.audiences.models import MODELS

KINDS = [model.__entity__ for model in MODELS]
Sight = tuple[int, str, str | None]
"""A position, what became of it, and the encoded id."""


def itself(event: ChangeEvent) -> ChangeEvent:
    return event


def viewer_of(user: User, as_of: int, role: Role | None = None) -> Viewer:
    """``role``: the one that she is taken to have, as of this position."""
    expires = datetime.now(UTC) + timedelta(days=1)
    return sessions.viewer_of(user.id, role or user.role, uuid4(), expires, as_of)


def context(app: App, viewer: Viewer) -> Context:
    found = Context(
        app.db, app.feed, app.settings, app.resources, arrived_at=app.feed.cursor, look_again=sessions.look_again
    )
    found.identify(replace(viewer, catalog=app.application.catalog))
    return found


def of_kinds(app: App, viewer: Viewer, after: int | None = None) -> Stream[ChangeEvent]:
    """All attributes of all kinds of entities, a topic for each kind."""
    return _stream(app, viewer, [Topic(kind) for kind in KINDS], after)


def of_all(app: App, viewer: Viewer, after: int | None = None) -> Stream[ChangeEvent]:
    """The same as one topic."""
    return _stream(app, viewer, [Topic()], after)


def of_one(app: App, viewer: Viewer, kind: str, after: int | None = None) -> Stream[ChangeEvent]:
    return _stream(app, viewer, [Topic(f"Aud{kind}", "status")], after)


def _stream(app: App, viewer: Viewer, topics: list[Topic], after: int | None) -> Stream[ChangeEvent]:
    return context(app, viewer).stream(topics, None if after is None else str(after), itself)


def of_sights(app: App, viewer: Viewer, after: int | None = None) -> Stream[VisibilityChange]:
    """As `visibilityChanged` does."""
    cursor = None if after is None else str(after)
    return context(app, viewer).stream(topics_for(viewer), cursor, VisibilityChange.of, by_scope=True)


async def drained(watch: Watch) -> list[ChangeEvent]:
    """All that there is to hear now, of the tests' kinds."""
    found = []
    while (event := await watch.fetch()) is not None:
        found.append(event)
    return [event for event in found if event.entity_type in KINDS]


async def heard(stream: Stream[ChangeEvent]) -> list[int]:
    return [event.position for event in await drained(stream.watch)]


async def seen(stream: Stream[VisibilityChange]) -> list[Sight]:
    """What came, what left and what makes one load all anew."""
    found: list[Sight] = []
    while (event := await stream.watch.fetch()) is not None:
        change = stream.event(event, stream.watch.interest.scope)
        if change is not None and (change.entity_type is None or change.entity_type in KINDS):
            found.append((parse_cursor(change.cursor).position, change.kind.name, change.entity_id))
    return found


def sight_of(position: int, what: str, entity: str, entity_id: UUID) -> Sight:
    return position, what, None if what == "RELOAD" else encode_id(entity, entity_id)


@dataclass
class Ears:
    """A viewer's open streams."""

    user: User
    viewer: Viewer
    kinds: Stream[ChangeEvent]
    all: Stream[ChangeEvent]
    one: Stream[ChangeEvent]
    sights: Stream[VisibilityChange]
    only: str

    @classmethod
    def open(cls, app: App, user: User, only: str) -> "Ears":
        viewer = viewer_of(user, app.feed.position)
        streams = of_kinds(app, viewer), of_all(app, viewer), of_one(app, viewer, only)
        return cls(user, viewer, *streams, of_sights(app, viewer), only)

    def now(self, app: App, role: str) -> Viewer:
        """The same viewer who signs in now."""
        return replace(sessions.acting_as(self.viewer, Role[role]), as_of=app.feed.position)

    async def close(self) -> None:
        for stream in (self.kinds, self.all, self.one, self.sights):
            await stream.aclose()
