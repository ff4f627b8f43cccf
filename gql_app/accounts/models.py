"""People, and the sessions in which they are signed in."""

from datetime import datetime

from sqlalchemy import Enum, ForeignKey, Index, LargeBinary, String, event, func
from sqlalchemy.orm import Mapped, Mapper, mapped_column

from gql_app.accounts import passwords
from gql_app.accounts.roles import Role
from gql_app.audiences import Audience, owner
from gql_app.changes.tracking import Tracked, tracked
from gql_app.db import Base, BigId, Timestamped


class User(Tracked, Timestamped, Base):
    """Somebody with an account. A username and an e-mail address belong to one user, without regard to case."""

    __tablename__ = "users"
    __entity__ = "User"
    __audience__ = Audience(owner("id"))
    __role__ = "role"
    __mapper_args__ = {"polymorphic_on": "plan", "polymorphic_identity": "STANDARD"}  # noqa: RUF012

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    plan: Mapped[str] = mapped_column(String(16))
    username: Mapped[str] = tracked(String(32))
    email: Mapped[str] = tracked(String(320))
    phone_number: Mapped[str | None] = tracked(String(20))
    role: Mapped[Role] = tracked(Enum(Role, native_enum=False, length=16), default=Role.USER)
    password_hash: Mapped[str] = tracked(String(60), secret=True)


Index("uq_users_username_lower", func.lower(User.username), unique=True)
Index("uq_users_email_lower", func.lower(User.email), unique=True)


class PremiumUser(User):
    """A user who pays."""

    __tablename__ = "premium_users"
    __mapper_args__ = {"polymorphic_identity": "PREMIUM", "polymorphic_load": "inline"}  # noqa: RUF012

    id: Mapped[int] = mapped_column(BigId, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    premium_since: Mapped[datetime]


class AuthSession(Tracked, Timestamped, Base):
    """A signed-in session. The token itself is known to the client only; here is its SHA-256."""

    __tablename__ = "sessions"
    __entity__ = "Session"
    __audience__ = Audience(owner("user_id"))
    __table_args__ = (Index(None, "user_id"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    user_id: Mapped[int] = mapped_column(BigId, ForeignKey("users.id"))
    token_hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None] = tracked()


class StreamTicket(Base):
    """Lets a stream begin in a session, for some seconds. The ticket itself is known to the client only."""

    __tablename__ = "stream_tickets"
    __table_args__ = (Index(None, "session_id"), Index(None, "expires_at"))

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    session_id: Mapped[int] = mapped_column(BigId, ForeignKey("sessions.id", ondelete="CASCADE"))
    ticket_hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    expires_at: Mapped[datetime]


class KnownDevice(Base):
    """A device on which a user has signed in. Its token is known to the client only; here is its SHA-256."""

    __tablename__ = "known_devices"
    __table_args__ = (Index(None, "user_id"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    user_id: Mapped[int] = mapped_column(BigId, ForeignKey("users.id", ondelete="CASCADE"))
    device_hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    used_at: Mapped[datetime]


def _only_hashes(mapper: Mapper[User], connection: object, user: User) -> None:
    if not passwords.is_hash(user.password_hash):
        raise ValueError("a user's password_hash must come from passwords.hash(): nothing else is ever stored")


event.listen(User, "before_insert", _only_hashes, propagate=True)
event.listen(User, "before_update", _only_hashes, propagate=True)
