"""Stream tickets. A browser's EventSource cannot send a token, and a token must not be in a URL.

Must hold: a ticket opens streams and nothing else. It lasts for seconds. The stream belongs to the session that made
the ticket. When the session has ended, the ticket is refused.
"""

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, delete, func, select
from sqlalchemy.orm import Session

from gql_app.accounts.models import AuthSession, StreamTicket
from gql_app.accounts.sessions import TOKEN_BYTES, hash_of, living_session, viewer_by
from gql_app.api.authentication import Credentials
from gql_app.errors import RateLimited, Unauthenticated
from gql_app.viewer import Viewer

LIFETIME = timedelta(seconds=60)
"""A stream must begin within this time."""
MOST = 100
"""A session may have so many tickets that have not expired."""


@dataclass(frozen=True, slots=True)
class NewTicket:
    """The ticket in plain text, which is not stored."""

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


_sessions: Any = AuthSession.__table__.c
_tickets: Any = StreamTicket.__table__.c
_BY_TICKET = living_session(
    StreamTicket.__table__.join(AuthSession.__table__, _tickets.session_id == _sessions.id),
    _tickets.ticket_hash == bindparam("shown"),
    _tickets.expires_at > bindparam("now"),
)


async def admit(credentials: Credentials) -> Viewer | None:
    """The owner of this ticket, if neither it nor its session has ended."""
    return await viewer_by(_BY_TICKET, credentials)
