"""Devices on which somebody has signed in before. Others' guesses at the password do not lock them out.

Must hold: a device token lets nobody in. It only says whose failures are counted together.
"""

import secrets
from datetime import UTC, datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from gql_app.accounts.models import KnownDevice, User
from gql_app.accounts.sessions import TOKEN_BYTES, hash_of

MOST = 20
"""Devices that are remembered of somebody. The one that was used longest ago is forgotten first."""


def known(session: Session, user_id: int, token: str) -> int | None:
    """The id of this user's device with this token."""
    query = select(KnownDevice.id).where(KnownDevice.device_hash == hash_of(token), KnownDevice.user_id == user_id)
    return session.scalar(query)


def remember(session: Session, user: User, token: str | None = None) -> str:
    """Note that the user has signed in on this device; returns the token that the client keeps for it.

    A token that is not this user's is replaced by a new one.
    """
    now = datetime.now(UTC)
    if token is not None and (device := known(session, user.id, token)) is not None:
        session.get_one(KnownDevice, device).used_at = now
        return token
    token = secrets.token_urlsafe(TOKEN_BYTES)
    latest = select(KnownDevice.id).where(KnownDevice.user_id == user.id).order_by(KnownDevice.used_at.desc())
    if surplus := session.scalars(latest.offset(MOST - 1)).all():
        session.execute(delete(KnownDevice).where(KnownDevice.id.in_(surplus)))
    session.add(KnownDevice(user_id=user.id, device_hash=hash_of(token), used_at=now))
    return token


def forget(session: Session, user: User) -> None:
    """All of them: the password was changed."""
    session.execute(delete(KnownDevice).where(KnownDevice.user_id == user.id))
