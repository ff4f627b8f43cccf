"""Sessions: an opaque random token for the client, its hash for us; revocable, and they expire."""

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from gql_app.accounts.models import AuthSession, User
from gql_app.viewer import Viewer

TOKEN_BYTES = 32


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session that was just begun: the only time that its token is known."""

    token: str = field(repr=False)
    expires_at: datetime


def begin(session: Session, user: User, lifetime: timedelta) -> NewSession:
    token = secrets.token_urlsafe(TOKEN_BYTES)
    expires_at = datetime.now(UTC) + lifetime
    session.add(AuthSession(user_id=user.id, token_hash=_hash(token), expires_at=expires_at))
    return NewSession(token, expires_at)


def authenticate(session: Session, token: str, as_of: int) -> Viewer | None:
    """Who this token belongs to, if the session is still on. ``as_of``: the log position known before this read."""
    query = (
        select(User.id, User.public_id, User.role, AuthSession.public_id, AuthSession.expires_at)
        .join(AuthSession, AuthSession.user_id == User.id)
        .where(
            AuthSession.token_hash == _hash(token),
            AuthSession.revoked_at.is_(None),
            AuthSession.expires_at > datetime.now(UTC),
        )
    )
    row = session.execute(query).one_or_none()
    return None if row is None else Viewer(*row, as_of=as_of)


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


def _hash(token: str) -> bytes:
    # The token holds 256 random bits: a fast hash is enough, there is nothing to guess.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
