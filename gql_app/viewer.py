"""Who is looking, and which keys she holds."""

import enum
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement

from gql_app.audiences.conditions import ByRows, granted
from gql_app.audiences.declaration import ROLE, USER, key_text
from gql_app.audiences.registry import confidential, granted_kinds, grants, seen_whole_by
from gql_app.changes.models import NO_KEYS
from gql_app.changes.scope import Scope
from gql_app.changes.topics import Topic
from gql_app.changes.watch import Lifetime
from gql_app.db import Database
from gql_app.errors import GqlAppError, Unauthenticated


class Role(enum.Enum):
    """What somebody may do. A USER sees her own, an APPROVER every fuel request, an ADMIN everything."""

    USER = "USER"
    APPROVER = "APPROVER"
    ADMIN = "ADMIN"


@dataclass(frozen=True, slots=True)
class Viewer:
    """A signed-in user as of one moment: `as_of` is the log position up to which this is known to hold."""

    id: int
    public_id: UUID
    role: Role
    session_id: UUID
    expires_at: datetime
    as_of: int = 0
    granted: frozenset[str] | None = None
    """The keys that rows give her; None: not looked up yet (see `with_keys`)."""

    @property
    def is_admin(self) -> bool:
        return self.role is Role.ADMIN

    @property
    def scope(self) -> Scope:
        """The changes this viewer may see."""
        keys = (self.granted or NO_KEYS) | {key_text(ROLE, self.role.name)}
        return Scope(self.id, seen_whole_by(self.role), self.is_admin, keys)

    @property
    def lifetime(self) -> Lifetime:
        """Until when streams that were opened as this viewer may go on."""
        until: dict[Topic, GqlAppError] = {
            Topic("Session", "revoked_at", self.session_id): Unauthenticated("This session has ended; sign in again."),
        }
        return Lifetime(until, self.as_of, self.expires_at, Unauthenticated("This session has expired; sign in again."))

    @property
    def renewed_by(self) -> tuple[Topic, ...]:
        """What changes which keys she holds."""
        mine = key_text(USER, self.id)
        found = [Topic("User", "role", self.public_id)]
        for each in grants():
            found += [Topic(each.entity, owner_id=self.id), Topic(each.entity, key=mine), Topic(each.entity, lost=mine)]
        return tuple(dict.fromkeys(found))

    def sees_whole(self, entity: str) -> bool:
        """Whether this viewer may see every entity of the kind."""
        return (self.is_admin and entity not in confidential()) or entity in seen_whole_by(self.role)

    def has_role(self, key: str) -> bool:
        return key == key_text(ROLE, self.role.name)

    def holds(self, kind: str, column: Any) -> ColumnElement[bool]:
        return ByRows(self.id).holds(kind, column)


async def with_keys(db: Database, viewer: Viewer) -> Viewer:
    """The viewer with the keys that rows give her at this moment."""
    keys: set[str] = set()
    for kind in sorted(granted_kinds()):
        for statement in granted(viewer.id, kind):
            keys |= {key_text(kind, row[0]) for row in await db.rows(statement, {}) if row[0] is not None}
    return replace(viewer, granted=frozenset(keys))
