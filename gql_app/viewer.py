"""Who is looking, and which changes she may see."""

import enum
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from gql_app.changes.topics import Scope, Topic
from gql_app.changes.tracking import readable_by
from gql_app.changes.watch import Lifetime
from gql_app.errors import Forbidden, GqlAppError, Unauthenticated


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

    @property
    def is_admin(self) -> bool:
        return self.role is Role.ADMIN

    @property
    def scope(self) -> Scope:
        """The changes this viewer may see."""
        if self.is_admin:
            return Scope(everything=True)
        return Scope(self.id, readable_by(self.role))

    @property
    def lifetime(self) -> Lifetime:
        """Until when streams that were opened as this viewer may go on."""
        until: dict[Topic, GqlAppError] = {
            Topic("Session", "revoked_at", self.session_id): Unauthenticated("This session has ended; sign in again."),
            Topic("User", "role", self.public_id): Forbidden("Your role has changed; subscribe again."),
        }
        return Lifetime(until, self.as_of, self.expires_at, Unauthenticated("This session has expired; sign in again."))

    def sees_all(self, entity_type: str) -> bool:
        """Whether this viewer may see every entity of the kind, not only her own."""
        return self.is_admin or entity_type in readable_by(self.role)
