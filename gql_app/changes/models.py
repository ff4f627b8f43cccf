"""The change log: what happened, in the order in which it was committed."""

import enum
import json
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import Enum, Index, Row, String, Text, select
from sqlalchemy.orm import Mapped, mapped_column

from gql_app.audiences.declaration import USER, key_text
from gql_app.changes.cursors import Cursor, mark_of
from gql_app.db import Base, BigId

AUDIENCE = "audience"
"""The attribute of an entry which tells that others may see the entity now. It has no values."""
LONGEST_KEY = 80
"""Characters of a key: its kind, a colon, an integer or a UUID."""


class ChangeKind(enum.Enum):
    """What happened to the entity."""

    CREATED = "CREATED"
    UPDATED = "UPDATED"
    DELETED = "DELETED"


class _Entry:
    """What is written down of a change.

    `old_value` and `new_value` are texts (see `tracking.encode`); both are NULL for a secret attribute.
    `change_set` is the same for all that was committed together. `decisions` is what each rule owed because of this
    change, as JSON: rule → {"owed": {channel: count}, "nothing": [why not]}. NULL means: no rule ran, or not known
    (written or moved by an older version).

    `audience` are the keys of those who may read the entry, as a JSON list, besides the owner's and those of roles
    that see all of the kind; NULL where there are no others. `audience_before` is NULL but where the entity came or
    left: then it is a list of all the keys that could see it before. (Both are NULL in what a version without them
    has written or moved, and so is `trace`.)

    `trace` is the traceparent of the request that made the change (W3C Trace Context, level 1), where it had one.
    """

    change_set: Mapped[UUID]
    kind: Mapped[ChangeKind] = mapped_column(Enum(ChangeKind, native_enum=False, length=16))
    entity_type: Mapped[str] = mapped_column(String(64))
    entity_id: Mapped[UUID]
    attribute: Mapped[str | None] = mapped_column(String(64))
    old_value: Mapped[str | None] = mapped_column(Text)
    new_value: Mapped[str | None] = mapped_column(Text)
    owner_id: Mapped[int | None] = mapped_column(BigId)
    actor_id: Mapped[int | None] = mapped_column(BigId)
    occurred_at: Mapped[datetime]
    decisions: Mapped[str | None] = mapped_column(Text)
    audience: Mapped[str | None] = mapped_column(Text)
    audience_before: Mapped[str | None] = mapped_column(Text)
    trace: Mapped[str | None] = mapped_column(String(64))


class ChangeRecord(_Entry, Base):
    """One row per changed attribute, and at least one per created or deleted entity. Append-only.

    Positions follow the order of commits: on SQLite because there is one writer at a time, on PostgreSQL because the
    sequencer gives them out (see `sequencer`).
    """

    __tablename__ = "change_events"
    __table_args__ = (
        Index(None, "entity_type", "attribute", "position"),
        Index(None, "entity_id", "position"),
        Index(None, "owner_id", "position"),
        {"sqlite_autoincrement": True},  # a pruned position is never given out again
    )

    position: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True, sort_order=-1)


class ChangeOutbox(_Entry, Base):
    """Where transactions on PostgreSQL leave their entries, until the sequencer moves them into the log."""

    __tablename__ = "change_outbox"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True, sort_order=-1)


_Key = String(LONGEST_KEY, "C").with_variant(String(LONGEST_KEY), "sqlite")


class ChangeAudience(Base):
    """By which keys an entry is found: those of its `audience`, and with `lost` those that only `audience_before` has.

    The owner's key is not among them: the log has an index of its own for it.
    """

    __tablename__ = "change_audience"
    __table_args__ = ({"sqlite_with_rowid": False},)

    key: Mapped[str] = mapped_column(_Key, primary_key=True)
    position: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    lost: Mapped[bool]


class ChangeLogState(Base):
    """One row: what has been pruned. Every cursor from `pruned_through` on can be resumed.

    A message that had ended before `deliveries_pruned_before` may be gone. Neither value ever goes back.
    """

    __tablename__ = "change_log_state"

    id: Mapped[int] = mapped_column(primary_key=True)
    pruned_through: Mapped[int] = mapped_column(BigId, default=0)
    deliveries_pruned_before: Mapped[datetime | None]


class TrackedSince(Base):
    """From where in the log an attribute is tracked; with the attribute '', the entities of a kind.

    Position 0: from the beginning. Rows may be older than a later position, and nothing in the log tells of them.
    """

    __tablename__ = "tracked_since"

    entity_type: Mapped[str] = mapped_column(String(64), primary_key=True)
    attribute: Mapped[str] = mapped_column(String(64), primary_key=True)
    since_position: Mapped[int] = mapped_column(BigId)
    since: Mapped[datetime]


@dataclass(frozen=True, slots=True)
class ChangeEvent:
    """A committed change as the feed hands it on; the fields are those of `ChangeRecord`."""

    position: int
    change_set: UUID
    kind: ChangeKind
    entity_type: str
    entity_id: UUID
    attribute: str | None
    old_value: str | None
    new_value: str | None
    owner_id: int | None
    actor_id: int | None
    occurred_at: datetime
    audience: str | None = None
    audience_before: str | None = None

    @classmethod
    def of(cls, row: Row[*tuple[Any, ...]]) -> "ChangeEvent":
        return cls(*row)

    @property
    def cursor(self) -> str:
        """Where a subscriber that has seen this event stands."""
        return str(Cursor(self.position, mark_of(self.change_set)))

    @property
    def keys(self) -> frozenset[str]:
        """The keys of those who may read it, besides the owner's."""
        return NO_KEYS if self.audience is None else read_keys(self.audience)

    @property
    def keys_before(self) -> frozenset[str]:
        """Where the entity came or left: all the keys that could see it before."""
        return NO_KEYS if self.audience_before is None else read_keys(self.audience_before)

    @property
    def lost(self) -> frozenset[str]:
        """The keys that could see the entity before and may not read this."""
        return lost_keys(self.owner_id, self.keys, self.keys_before)

    @property
    def turns(self) -> bool:
        """Whether it tells that the entity came or left, for anybody."""
        return self.audience_before is not None


NO_KEYS: frozenset[str] = frozenset()


@lru_cache(4096)
def read_keys(text: str) -> frozenset[str]:
    return frozenset(json.loads(text))


def write_keys(keys: frozenset[str]) -> str:
    if not keys:
        return "[]"
    return json.dumps(sorted(keys), separators=(",", ":"))


def lost_keys(owner_id: int | None, keys: frozenset[str], before: frozenset[str]) -> frozenset[str]:
    if not before:
        return NO_KEYS
    return before - keys - {key_text(USER, owner_id)}


_log = ChangeRecord.__table__.c
SELECT_EVENTS = select(*(_log[name] for name in ChangeEvent.__dataclass_fields__))
"""Selects the rows that `ChangeEvent.of` takes."""
