"""Stream tickets: a browser's EventSource cannot send a token, and a token must not be in an address.

Must hold: a ticket opens streams only, for some seconds, as the session in which it was made, and not after that one
has ended.
"""

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, delete, func, select
from sqlalchemy.orm import Session

from gql_app.accounts.models import AuthSession, StreamTicket, User
from gql_app.accounts.sessions import TOKEN_BYTES, hash_of, viewer_of
from gql_app.api.authentication import Credentials
from gql_app.errors import RateLimited, Unauthenticated
from gql_app.viewer import Viewer

LIFETIME = timedelta(seconds=60)
"""From when it is made until a stream must have begun with it."""
MOST = 100
"""Tickets of one session that have not expired."""


@dataclass(frozen=True, slots=True)
class NewTicket:
    """The only time that the ticket is known."""

    ticket: str = field(repr=False)
    expires_at: datetime


def make(session: Session, viewer: Viewer) -> NewTicket:
    """Raises Unauthenticated, or RateLimited with `MOST` of them."""
    now = datetime.now(UTC)
    session.execute(delete(StreamTicket).where(StreamTicket.expires_at < now))
    on = (AuthSession.public_id == viewer.session_id, AuthSession.revoked_at.is_(None))
    session_id = session.scalar(select(AuthSession.id).where(*on))
    if session_id is None:
        raise Unauthenticated
    held = select(func.count()).select_from(StreamTicket).where(StreamTicket.session_id == session_id)
    if (session.scalar(held) or 0) >= MOST:
        raise RateLimited(retry_after=LIFETIME.total_seconds())
    ticket, expires_at = secrets.token_urlsafe(TOKEN_BYTES), now + LIFETIME
    session.add(StreamTicket(session_id=session_id, ticket_hash=hash_of(ticket), expires_at=expires_at))
    return NewTicket(ticket, expires_at)


_users: Any = User.__table__.c
_sessions: Any = AuthSession.__table__.c
_tickets: Any = StreamTicket.__table__.c
_VIEWER = (
    select(_users.id, _users.role, _sessions.public_id, _sessions.expires_at)
    .join_from(StreamTicket.__table__, AuthSession.__table__, _tickets.session_id == _sessions.id)
    .join(User.__table__, _sessions.user_id == _users.id)
    .where(
        _tickets.ticket_hash == bindparam("ticket_hash"),
        _tickets.expires_at > bindparam("now"),
        _sessions.revoked_at.is_(None),
        _sessions.expires_at > bindparam("now"),
    )
)


async def admit(credentials: Credentials) -> Viewer | None:
    """Whose ticket this is, if it and its session have not ended."""
    rows = await credentials.db.look_up(_VIEWER, {"ticket_hash": hash_of(credentials.token), "now": datetime.now(UTC)})
    if not rows:
        return None
    user_id, role, session_id, expires_at = tuple(rows[0])
    return viewer_of(user_id, role, session_id, expires_at, credentials.as_of, credentials.catalog)
