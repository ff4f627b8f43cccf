"""Who is looking, and which keys she holds."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement

from gql_app.audiences.conditions import ByRows, granted
from gql_app.audiences.declaration import ROLE, USER, key_text
from gql_app.audiences.kinds import kind_of
from gql_app.audiences.registry import ALL, Catalog
from gql_app.changes.models import NO_KEYS
from gql_app.changes.scope import Scope
from gql_app.changes.topics import Topic
from gql_app.changes.watch import Lifetime
from gql_app.db import Database
from gql_app.errors import GqlAppError, SessionReplaced, Unauthenticated

NO_ROLES: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Viewer:
    """Somebody who is signed in, as of one moment.

    `id` is what owners and people are known by in the models' columns. `roles` are names, as audiences have them. An
    admin sees all kinds that are not kept from admins. `as_of` is the log position up to which all of this is known to
    hold. `session_id` is her session, where the application keeps sessions. Her streams end at `expires_at`, and when
    an event matches one of the topics of `ends_with`; or of `replaced_with`, if another session may take its place.
    """

    id: int
    roles: frozenset[str] = NO_ROLES
    is_admin: bool = False
    as_of: int = 0
    expires_at: datetime | None = None
    session_id: UUID | None = None
    ends_with: tuple[Topic, ...] = ()
    replaced_with: tuple[Topic, ...] = ()
    catalog: Catalog = ALL
    """The models of the application, which sets it."""
    granted: frozenset[str] | None = None
    """The keys that rows give her; None: not looked up yet (see `with_keys`)."""

    @property
    def scope(self) -> Scope:
        """The changes this viewer may see."""
        keys = (self.granted or NO_KEYS).union(key_text(ROLE, each) for each in self.roles)
        return Scope(self.id, self.catalog.seen_whole_by(self.roles), self.is_admin, keys, catalog=self.catalog)

    @property
    def is_on(self) -> bool:
        """Whether she is known by an id that a column can hold, and has not expired."""
        return abs(self.id) < 2**63 and (self.expires_at is None or self.expires_at > datetime.now(UTC))

    @property
    def lifetime(self) -> Lifetime:
        """Until when streams that were opened as this viewer may go on."""
        until: dict[Topic, GqlAppError] = {
            topic: Unauthenticated("This session has ended; sign in again.") for topic in self.ends_with
        }
        until |= {topic: SessionReplaced() for topic in self.replaced_with}
        expired = Unauthenticated("This session has expired; sign in again.")
        return Lifetime(until, self.as_of, self.expires_at, expired)

    @property
    def renewed_by(self) -> tuple[Topic, ...]:
        """What changes which roles and keys she holds."""
        mine = key_text(USER, self.id)
        found = [Topic(entity, attribute, owner_id=self.id) for entity, attribute in self.catalog.role_attributes]
        for each in self.catalog.grants:
            found += [Topic(each.entity, owner_id=self.id), Topic(each.entity, key=mine), Topic(each.entity, lost=mine)]
        return tuple(dict.fromkeys(found))

    def may_act_as(self, *roles: enum.Enum | str) -> bool:
        """Whether she has one of these roles. An admin may do what any role may."""
        return self.is_admin or any((each if isinstance(each, str) else each.name) in self.roles for each in roles)

    def sees_whole(self, entity: str) -> bool:
        """Whether this viewer may see every entity of the kind."""
        if self.is_admin and entity in self.catalog.kinds and entity not in self.catalog.confidential:
            return True
        return entity in self.catalog.seen_whole_by(self.roles)

    def can_tell(self, model: Any) -> bool:
        """Whether a row's own columns, and what this viewer knows of herself, say if she may see it (see `covers`)."""
        kind = kind_of(model)
        return kind.is_plain and not self.catalog.depend_on_rows((kind.entity,))

    def covers(self, model: Any, held: Mapping[str, Any]) -> bool:
        """Whether she may see the row with these values of its attributes. Must hold: `can_tell` says yes."""
        kind = kind_of(model)
        named = kind.keys_of(held)
        if named is None:  # hidden
            return self.scope.covers(kind.entity, None)
        return self.scope.covers(kind.entity, named[0], frozenset(named[1]))

    def has_role(self, key: str) -> bool:
        return any(key == key_text(ROLE, each) for each in self.roles)

    def holds(self, kind: str, column: Any) -> ColumnElement[bool]:
        return ByRows(self.id, self.catalog).holds(kind, column)


async def with_keys(db: Database, viewer: Viewer) -> Viewer:
    """The viewer with the keys that rows give her at this moment."""
    keys: set[str] = set()
    for kind in sorted(viewer.catalog.granted_kinds):
        for statement in granted(viewer.catalog, viewer.id, kind):
            keys |= {key_text(kind, row[0]) for row in await db.look_up(statement) if row[0] is not None}
    return replace(viewer, granted=frozenset(keys))
