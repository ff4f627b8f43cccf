"""What people can do with accounts. Each function is a unit of work, or checks values before one."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from gql_app.accounts import devices, sessions
from gql_app.accounts.models import AuthSession, PremiumUser, User
from gql_app.accounts.names import known_name
from gql_app.accounts.roles import Role
from gql_app.accounts.sessions import NewSession
from gql_app.errors import BadCredentials, Conflict, Forbidden, NotFound, Taken
from gql_app.viewer import Viewer


@dataclass(frozen=True, slots=True)
class NewUser:
    """A checked sign-up; the password is hashed already."""

    username: str
    email: str
    password_hash: str = field(repr=False)
    phone_number: str | None = None
    premium: bool = False
    role: Role = Role.USER


def sign_up(session: Session, new: NewUser, lifetime: timedelta | None) -> tuple[User, NewSession | None]:
    """Create a user and, with a ``lifetime``, a session. Raises Taken."""
    values = {
        "username": new.username,
        "email": new.email,
        "phone_number": new.phone_number,
        "password_hash": new.password_hash,
        "role": new.role,
    }
    user = PremiumUser(**values, premium_since=datetime.now(UTC)) if new.premium else User(**values)
    _refuse_taken(session, username=new.username, email=new.email)
    session.add(user)
    _flush(session)
    return user, sessions.begin(session, user, lifetime) if lifetime is not None else None


def credentials(session: Session, username: str) -> tuple[int, str] | None:
    """The id and password hash of the user with this name, to be checked outside of any transaction."""
    name = known_name(username)
    if name is None:
        return None
    row = session.execute(
        select(User.id, User.password_hash).where(func.lower(User.username) == name.lower())
    ).one_or_none()
    return None if row is None else (row[0], row[1])


def password_hash(session: Session, user_id: int) -> str | None:
    return session.scalar(select(User.password_hash).where(User.id == user_id))


def log_in(
    session: Session, user_id: int, checked_hash: str, lifetime: timedelta, device_token: str | None = None
) -> tuple[User, NewSession, str]:
    """Begin a session for a user whose password matched ``checked_hash`` a moment ago; also the device's token."""
    # Locked, or a session could be begun by the old password after the change has ended all that there were.
    user = _user_with(session, user_id, checked_hash, lock={"read": True, "of": User.__table__})
    return user, sessions.begin(session, user, lifetime), devices.remember(session, user, device_token)


def log_out(session: Session, viewer: Viewer, *, everywhere: bool) -> None:
    if everywhere:
        sessions.revoke(sessions.sessions_of(session, viewer.id))
    else:
        sessions.revoke(session.scalars(select(AuthSession).where(AuthSession.public_id == viewer.session_id)))


def change_email(session: Session, viewer: Viewer, checked_hash: str, email: str) -> User:
    """Raises Taken."""
    user = _user_with(session, viewer.id, checked_hash)
    _refuse_taken(session, email=email, field="newEmail", except_for=user.id)
    user.email = email
    _flush(session, field="newEmail")
    return user


def change_password(
    session: Session, viewer: Viewer, checked_hash: str, new_hash: str, lifetime: timedelta
) -> tuple[User, NewSession, str]:
    """Every session of the user ends, this one too; she goes on in a new one."""
    user = _user_with(session, viewer.id, checked_hash)
    user.password_hash = new_hash
    sessions.revoke(sessions.sessions_of(session, user.id))
    devices.forget(session, user)
    return user, sessions.begin(session, user, lifetime), devices.remember(session, user)


def update_profile(session: Session, viewer: Viewer, phone_number: str | None) -> User:
    user = session.get_one(User, viewer.id)
    user.phone_number = phone_number
    return user


def set_role(session: Session, viewer: Viewer, user_id: UUID, role: Role) -> User:
    """Raises Forbidden, NotFound, or Conflict for the last admin."""
    if not viewer.is_admin:
        raise Forbidden
    user = session.scalar(select(User).where(User.public_id == user_id))
    if user is None:
        raise NotFound(field="userId")
    # Locked: two admins who take the role from each other at the same time would otherwise both succeed.
    admins = session.scalars(
        select(User.id).where(User.role == Role.ADMIN).order_by(User.id).with_for_update(of=User.__table__)
    ).all()
    if role is not Role.ADMIN and set(admins) == {user.id}:
        raise Conflict("There would be no admin left.", field="role")
    user.role = role
    return user


def _user_with(session: Session, user_id: int, checked_hash: str, *, lock: Any = None) -> User:
    user = session.get(User, user_id, with_for_update=lock)
    if user is None or user.password_hash != checked_hash:  # it was changed since it was checked
        raise BadCredentials
    return user


def _refuse_taken(
    session: Session,
    *,
    username: str | None = None,
    email: str | None = None,
    field: str = "email",
    except_for: int | None = None,
) -> None:
    if username is not None and session.scalar(select(User.id).where(func.lower(User.username) == username.lower())):
        raise Taken("This username is taken.", field="username")
    if email is not None:
        owner = session.scalar(select(User.id).where(func.lower(User.email) == email.lower()))
        if owner is not None and owner != except_for:
            raise Taken("There is an account with this e-mail address already.", field=field)


def _flush(session: Session, field: str = "email") -> None:
    """Write now: another transaction may have taken the name or the address since we looked."""
    try:
        session.flush()
    except IntegrityError as error:
        said = str(error.orig)
        if "uq_users_username_lower" in said:
            raise Taken("This username is taken.", field="username") from error
        if "uq_users_email_lower" in said:
            raise Taken("There is an account with this e-mail address already.", field=field) from error
        raise
