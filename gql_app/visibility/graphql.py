"""`visibilityChanged` in the schema."""

import enum
from collections.abc import AsyncIterator
from datetime import datetime

import strawberry

from gql_app.api.context import Info
from gql_app.api.ids import encode_id
from gql_app.audiences.declaration import USER, key_text
from gql_app.changes.models import ChangeEvent, ChangeKind
from gql_app.changes.scope import Scope
from gql_app.changes.topics import Topic
from gql_app.vertical import Vertical
from gql_app.viewer import Viewer


@strawberry.enum(description="What has become of what one may see.")
class VisibilityKind(enum.Enum):
    CAME = strawberry.enum_value("CAME", description="The entity can be seen from now on: it is new, or was shared.")
    LEFT = strawberry.enum_value("LEFT", description="The entity cannot be seen any more: it is gone, or was taken.")
    RELOAD = strawberry.enum_value(
        "RELOAD", description="One's role or memberships have changed: load anew what is shown, it may be all of it."
    )


@strawberry.type(
    description="An entity came into sight or left it, with all that belongs to it and is seen by the same people."
)
class VisibilityChange:
    cursor: str = strawberry.field(description="Where one stands who has seen this; `after` takes it.")
    occurred_at: datetime
    kind: VisibilityKind
    entity_type: str | None = strawberry.field(default=None, description="The name of its type. Null with RELOAD.")
    entity_id: strawberry.ID | None = strawberry.field(
        default=None, description="Its id. After LEFT nothing finds it any more. Null with RELOAD."
    )

    @classmethod
    def of(cls, event: ChangeEvent, scope: Scope) -> "VisibilityChange | None":
        if _changes_keys(event, scope):
            return cls(cursor=event.cursor, occurred_at=event.occurred_at, kind=VisibilityKind.RELOAD)
        came = scope.came(event)
        if came is None:
            return None
        return cls(
            cursor=event.cursor,
            occurred_at=event.occurred_at,
            kind=VisibilityKind.CAME if came else VisibilityKind.LEFT,
            entity_type=event.entity_type,
            entity_id=strawberry.ID(encode_id(event.entity_type, event.entity_id)),
        )


def _changes_keys(event: ChangeEvent, scope: Scope) -> bool:
    """Whether the event changes which keys the one who looks holds: of others' she is not told by these."""
    if (event.entity_type, event.attribute) in scope.catalog.role_attributes:
        return event.kind is ChangeKind.UPDATED
    granting = [each for each in scope.catalog.grants if each.entity == event.entity_type]
    if not granting or scope.owner_id is None:
        return False
    mine = key_text(USER, scope.owner_id)
    concerns_her = event.owner_id == scope.owner_id or mine in event.keys or mine in event.lost
    changed = event.kind is ChangeKind.UPDATED and event.attribute in {each.grant.column for each in granting}
    return concerns_her and (event.turns or changed)


def topics_for(viewer: Viewer) -> list[Topic]:
    """What came and what left, for anybody; her own role; the keys that rows give her."""
    mine = key_text(USER, viewer.id)
    found = [Topic(turns=True)]
    found += [Topic(entity, attribute, owner_id=viewer.id) for entity, attribute in viewer.catalog.role_attributes]
    for each in viewer.catalog.grants:
        found.append(Topic(each.entity, each.grant.column, owner_id=viewer.id))
        found.append(Topic(each.entity, each.grant.column, key=mine))
    return found


@strawberry.type
class VisibilitySubscriptions:
    @strawberry.subscription(
        description="What came into one's sight and what left it: CAME and LEFT for one entity, RELOAD where one's "
        "role or memberships have changed. A new entity comes, a deleted one leaves."
    )
    def visibility_changed(self, info: Info, after: str | None = None) -> AsyncIterator[VisibilityChange]:
        topics = topics_for(info.context.require_viewer())
        return info.context.stream(topics, after, VisibilityChange.of, by_scope=True)


VISIBILITY = Vertical("visibility", subscriptions=(VisibilitySubscriptions,))
