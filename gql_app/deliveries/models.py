"""What is owed: one row per message to one person by one channel, and one row per attempt to send it."""

import enum
import re
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from uuid import UUID, uuid4

from sqlalchemy import (
    CheckConstraint,
    Dialect,
    Enum,
    ForeignKey,
    Index,
    SmallInteger,
    String,
    Text,
    TypeDecorator,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from gql_app.audiences import Audience, owner
from gql_app.changes.tracking import Tracked, tracked
from gql_app.db import Base, BigId, Timestamped


@dataclass(frozen=True, slots=True)
class Channel:
    """How a message travels: a name of at most 16 capitals, as wide as the column.

    SMS and EMAIL are there; a vertical may bring others, each with a sender.
    """

    name: str
    SMS: ClassVar["Channel"]
    EMAIL: ClassVar["Channel"]

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Z][A-Z0-9_]{0,15}", self.name):
            raise TypeError(f"{self.name!r} cannot be the name of a channel: use at most 16 capitals, as WHATSAPP")


Channel.SMS, Channel.EMAIL = Channel("SMS"), Channel("EMAIL")
BUILT_IN = (Channel.SMS, Channel.EMAIL)
"""The channels of every application."""
_KNOWN = {each.name: each for each in BUILT_IN}


class ChannelType(TypeDecorator[Channel]):
    """A channel by its name."""

    impl = String(16)
    cache_ok = True

    @property
    def python_type(self) -> type[Channel]:
        return Channel

    def process_bind_param(self, value: Channel | str | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        return value.name if isinstance(value, Channel) else Channel(value).name

    def process_result_value(self, value: str | None, dialect: Dialect) -> Channel | None:
        return None if value is None else _KNOWN.get(value) or Channel(value)


class DeliveryState(enum.Enum):
    """Where a message is. A message that was captured by the mailbox counts as SENT."""

    PENDING = "PENDING"  # owed; sent as soon as it is due
    SENDING = "SENDING"  # a worker holds a lease on it; shown, never stored (see `shown_state`)
    SENT = "SENT"  # the provider accepted it
    DELIVERED = "DELIVERED"  # the provider says that it arrived
    UNDELIVERED = "UNDELIVERED"  # the provider says that it did not arrive
    UNKNOWN = "UNKNOWN"  # the last attempt's outcome is not known; it is looked up before anything is sent again
    DEAD = "DEAD"  # given up; an admin can retry it
    SUPPRESSED = "SUPPRESSED"  # not sent, for the reason that the row has


def shown_state(stored: DeliveryState, lease: UUID | None) -> DeliveryState:
    """SENDING while a worker has it. A lease is the workers' own affair: the state that is stored, and that the change
    log tells of, is the one around it."""
    return stored if lease is None else DeliveryState.SENDING


class AttemptOutcome(enum.Enum):
    """How an attempt ended; NULL in the table while it runs (or was cut off by a crash)."""

    SENT = "SENT"
    TRANSIENT = "TRANSIENT"  # worth another attempt
    PERMANENT = "PERMANENT"  # no attempt will ever succeed
    REFUSED = "REFUSED"  # our own credentials were refused: the channel pauses, the message is not to blame
    UNKNOWN = "UNKNOWN"  # may or may not have been accepted
    SUPPRESSED = "SUPPRESSED"  # not sent: see the reason of the message


class Fault(enum.Enum):
    """Whose fault it was that a message was not accepted."""

    RECIPIENT = "RECIPIENT"  # this address or number will never work
    MESSAGE = "MESSAGE"  # nobody would take this message
    US = "US"  # our configuration, sender, reputation, quota or credentials
    LATER = "LATER"  # nobody's: it may be accepted later


EXPIRED = "EXPIRED"
"""The reason of a message that was too old when its turn came."""
LONGEST_LANGUAGE = 35
"""Characters of a language tag (RFC 5646, section 4.4.1)."""


_PROVIDERS_ID = String(64).with_variant(Text(), "postgresql")
"""A Message-ID is as long as our domain makes it. SQLite heeds no lengths, so there the column stayed what it was."""


class Delivery(Tracked, Timestamped, Base):
    """A message owed.

    `rule` is what yielded it, `cause_id` the entity whose change was the cause, `change_set` that of the change.
    `due_at` is when a worker may take it next: the end of its back-off or of a worker's lease; None: never again.
    `failure_count` are the attempts that count against it since it was last queued by hand.

    What it says is rendered from `template` (VERTICAL/NAME) with `template_values`, in `language`; without a template
    it is `subject`, `body` and `html` (of rules that say a text as it is, and of older versions).

    `claimed_by` is the worker that holds the lease, or has held the last one. Must hold: a worker that knows no
    templates (of an older version, which leaves it out) never claims a message that has one.

    `fault` is whose fault the last refusal was, `reason` why it is held back or was not sent. `route` (its mail domain,
    or the prefix of its number) and `priority` (more is earlier; 0 is usual) have room here and are not used yet.
    """

    __tablename__ = "deliveries"
    __entity__ = "Delivery"
    __audience__ = Audience(owner("recipient_id"))

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    channel: Mapped[Channel] = mapped_column(ChannelType)
    state: Mapped[DeliveryState] = tracked(
        Enum(DeliveryState, native_enum=False, length=16), default=DeliveryState.PENDING
    )
    recipient_id: Mapped[int | None] = mapped_column(BigId)
    recipient: Mapped[str] = mapped_column(String(320))
    subject: Mapped[str | None] = mapped_column(Text)
    body: Mapped[str | None] = mapped_column(Text)
    html: Mapped[str | None] = mapped_column(Text)
    template: Mapped[str | None] = mapped_column(String(200))
    template_values: Mapped[str | None] = mapped_column(Text)
    language: Mapped[str | None] = mapped_column(String(LONGEST_LANGUAGE))
    rule: Mapped[str] = mapped_column(String(128))
    change_set: Mapped[UUID]
    cause_id: Mapped[UUID | None]
    cause_type: Mapped[str | None] = mapped_column(String(64))
    not_before: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    priority: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    route: Mapped[str | None] = mapped_column(String(255))
    due_at: Mapped[datetime | None]
    lease: Mapped[UUID | None]
    claimed_by: Mapped[str | None] = mapped_column(String(128))
    attempt_count: Mapped[int] = mapped_column(default=0)
    failure_count: Mapped[int] = mapped_column(default=0)
    provider_id: Mapped[str | None] = mapped_column(_PROVIDERS_ID)
    fault: Mapped[Fault | None] = mapped_column(Enum(Fault, native_enum=False, length=16))
    reason: Mapped[str | None] = mapped_column(String(64))

    @property
    def shown_state(self) -> DeliveryState:
        return shown_state(self.state, self.lease)

    # The worker looks for what is due: only unfinished rows are in this index, however many are finished.
    __table_args__ = (
        Index(
            "ix_deliveries_due",
            "channel",
            "due_at",
            sqlite_where=text("due_at IS NOT NULL"),
            postgresql_where=text("due_at IS NOT NULL"),
        ),
        # Of several to one recipient the oldest goes first: is there an older one that is not finished?
        Index(
            "ix_deliveries_unfinished",
            "channel",
            "recipient",
            "id",
            sqlite_where=text("due_at IS NOT NULL"),
            postgresql_where=text("due_at IS NOT NULL"),
        ),
        # How many were given up: operators look at it every few seconds.
        Index(
            "ix_deliveries_dead",
            "channel",
            sqlite_where=text("state = 'DEAD'"),
            postgresql_where=text("state = 'DEAD'"),
        ),
        Index(None, "recipient_id", "created_at", "id"),
        Index(None, "created_at", "id"),
        Index(None, "change_set"),
        CheckConstraint("lease IS NULL OR template IS NULL OR claimed_by IS NOT NULL", name="claimed_by_who_knows"),
    )


class DeliveryAttempt(Base):
    """One attempt, written before the provider is called and completed with what came of it.

    `text` is what is handed over, where the provider may have to be asked for it by its text.
    """

    __tablename__ = "delivery_attempts"
    __table_args__ = (
        Index(None, "delivery_id", "number", unique=True),
        Index(
            None,
            "provider_id",
            sqlite_where=text("provider_id IS NOT NULL"),
            postgresql_where=text("provider_id IS NOT NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    public_id: Mapped[UUID] = mapped_column(default=uuid4, unique=True)
    delivery_id: Mapped[int] = mapped_column(BigId, ForeignKey("deliveries.id", ondelete="CASCADE"))
    number: Mapped[int]
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    outcome: Mapped[AttemptOutcome | None] = mapped_column(Enum(AttemptOutcome, native_enum=False, length=16))
    provider_id: Mapped[str | None] = mapped_column(_PROVIDERS_ID)
    fault: Mapped[Fault | None] = mapped_column(Enum(Fault, native_enum=False, length=16))
    text: Mapped[str | None] = mapped_column(Text)
    error_code: Mapped[str | None] = mapped_column(String(32))
    error: Mapped[str | None] = mapped_column(Text)
