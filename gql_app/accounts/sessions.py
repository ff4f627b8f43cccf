"""Sessions: an opaque random token for the client, its hash for us; revocable, and they expire."""

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, FromClause, Select, bindparam, select
from sqlalchemy.orm import Session

from gql_app.accounts.models import AuthSession, User
from gql_app.accounts.roles import Role
from gql_app.api.authentication import Credentials
from gql_app.audiences.registry import ALL, Catalog
from gql_app.changes.topics import Topic
from gql_app.db import Database
from gql_app.errors import Unauthenticated
from gql_app.viewer import Viewer, with_keys

TOKEN_BYTES = 32


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session that was just begun: the only time that its token is known."""

    token: str = field(repr=False)
    expires_at: datetime


def begin(session: Session, user: User, lifetime: timedelta) -> NewSession:
    token = secrets.token_urlsafe(TOKEN_BYTES)
    expires_at = datetime.now(UTC) + lifetime
    session.add(AuthSession(user_id=user.id, token_hash=hash_of(token), expires_at=expires_at))
    return NewSession(token, expires_at)


_users: Any = User.__table__.c
_sessions: Any = AuthSession.__table__.c


def living_session(source: FromClause, *conditions: ColumnElement[bool]) -> Select[Any]:
    """Selects what `viewer_by` takes: the user and the session, if it has not ended at ``now``.

    ``source`` joins the sessions with what the ``conditions`` need; they name the parameter ``shown``.
    """
    return (
        select(_users.id, _users.role, _sessions.public_id, _sessions.expires_at)
        .select_from(source.join(User.__table__, _sessions.user_id == _users.id))
        .where(*conditions, _sessions.revoked_at.is_(None), _sessions.expires_at > bindparam("now"))
    )


async def viewer_by(statement: Select[Any], credentials: Credentials) -> Viewer | None:
    """The viewer that the statement finds by the hash of what is shown."""
    parameters = {"shown": hash_of(credentials.token), "now": datetime.now(UTC)}
    rows = await credentials.db.look_up(statement, parameters)
    if not rows:
        return None
    user_id, role, session_id, expires_at = tuple(rows[0])
    return viewer_of(user_id, role, session_id, expires_at, credentials.as_of, credentials.catalog)


_BY_TOKEN = living_session(AuthSession.__table__, _sessions.token_hash == bindparam("shown"))


async def authenticate(credentials: Credentials) -> Viewer | None:
    """The owner of this token, if its session has not ended."""
    return await viewer_by(_BY_TOKEN, credentials)


_NAMES = {role: frozenset((role.name,)) for role in Role}


def viewer_of(
    user_id: int, role: Role, session_id: UUID, expires_at: datetime, as_of: int, catalog: Catalog = ALL
) -> Viewer:
    """A user in one of her sessions: when it is revoked, her streams end; a new password puts another in its place."""
    revoked = (Topic("Session", "revoked_at", session_id),)
    changed = (Topic("User", "password_hash", owner_id=user_id, changed=True),)
    return Viewer(user_id, _NAMES[role], role is Role.ADMIN, as_of, expires_at, session_id, revoked, changed, catalog)


_ROLE = select(_users.role).where(_users.id == bindparam("user_id"))


async def look_again(db: Database, viewer: Viewer) -> Viewer:
    """The same viewer with the role and the keys that she has at this moment."""
    rows = await db.look_up(_ROLE, {"user_id": viewer.id})
    if not rows:
        raise Unauthenticated("This account is not there any more.")
    return await with_keys(db, acting_as(viewer, rows[0].role))


def acting_as(viewer: Viewer, role: Role) -> Viewer:
    """The same viewer with this role."""
    return replace(viewer, roles=_NAMES[role], is_admin=role is Role.ADMIN)


def revoke(sessions: Iterable[AuthSession]) -> None:
    """End these sessions; the open streams of their viewers end through the change log."""
    now = datetime.now(UTC)
    for each in sessions:
        if each.revoked_at is None:
            each.revoked_at = now


def sessions_of(session: Session, user_id: int) -> Iterable[AuthSession]:
    """The sessions of a user that have not been revoked."""
    query = select(AuthSession).where(AuthSession.user_id == user_id, AuthSession.revoked_at.is_(None))
    return session.scalars(query).all()


def hash_of(token: str) -> bytes:
    # The token holds 256 random bits: a fast hash is enough, there is nothing to guess.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
