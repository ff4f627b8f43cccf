"""Capture: what a transaction changed is written into the change log by that same transaction.

Must hold: what is logged of a row is frozen when the row's statement runs. Right before the commit the net changes are
written, together with what the recorders make of them (messages owed). After the commit the doorbell is rung, and
nothing else.

`flushes` notes what the unit of work changes, `bulk` what statements change.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, Select, event, func, insert, select
from sqlalchemy.orm import Session, SessionTransaction

from gql_app.changes.audience import Keys, Sides
from gql_app.changes.besides import TAKE_IN, TakesIn, what_the_database_did
from gql_app.changes.models import (
    AUDIENCE,
    NO_KEYS,
    ChangeAudience,
    ChangeKind,
    ChangeOutbox,
    ChangeRecord,
    lost_keys,
    write_keys,
)
from gql_app.changes.net import Entity, NetChange, Pending
from gql_app.changes.tracking import attributes_of, entity_type
from gql_app.db import ANNOUNCED, FOLLOWER, ON_COMMIT, WriteSession


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the change log to be."""

    kind: ChangeKind
    entity_type: str
    entity_id: UUID
    attribute: str | None = None
    old_value: str | None = None
    new_value: str | None = None
    owner_id: int | None = None
    decisions: str | None = None
    audience: frozenset[str] = NO_KEYS
    before: frozenset[str] | None = None
    """Where it tells that the entity came or left: the keys that could see it before."""


Recorder = Callable[[Session, UUID, Sequence[NetChange]], Iterable[Entry]]
"""Is called before the commit with the change set's id and its net changes; may insert rows of its own with Core
statements and returns the log entries for these."""

_INTO_LOG, _INTO_OUTBOX = (
    insert(model.__table__).execution_options(**ANNOUNCED)  # type: ignore[arg-type]
    for model in (ChangeRecord, ChangeOutbox)
)
_INTO_INDEX = insert(ChangeAudience.__table__)  # type: ignore[arg-type]
_LAST_POSITION: Select[Any] = select(func.max(ChangeRecord.__table__.c.position))
_AT_ONCE = 10_000
"""Rows of the index by keys that are written by one statement."""
_MOST_FLUSHES = 100
_recorders: list[Recorder] = []
_PENDING = "gql_app_pending"
_RECORDED = "gql_app_recorded"
_ACTOR = "gql_app_actor"


def add_recorder(recorder: Recorder) -> None:
    _recorders.append(recorder)


def act_as(session: Session, actor_id: int | None) -> None:
    """From now on the changes of this session are put down to this user."""
    session.info[_ACTOR] = actor_id


def record(
    session: Session, entries: Sequence[Entry], change_set: UUID | None = None, *, by_nobody: bool = False
) -> None:
    """Write entries into the change log, in the session's transaction: for what announced statements changed.

    ``by_nobody``: it was not the session's user.
    """
    if not entries:
        return
    takes_in: TakesIn | None = None if by_nobody else session.info.get(TAKE_IN)
    if takes_in is not None:
        takes_in.others(session)  # what they have committed comes first
    now = datetime.now(UTC)
    actor_id = None if by_nobody else session.info.get(_ACTOR)
    shared = {"change_set": change_set or uuid4(), "occurred_at": now, "actor_id": actor_id}
    rows = [
        {
            "kind": entry.kind,
            "entity_type": entry.entity_type,
            "entity_id": entry.entity_id,
            "attribute": entry.attribute,
            "old_value": entry.old_value,
            "new_value": entry.new_value,
            "owner_id": entry.owner_id,
            "decisions": entry.decisions,
            "audience": write_keys(entry.audience) if entry.audience else None,
            "audience_before": None if entry.before is None else write_keys(entry.before),
            **shared,
        }
        for entry in entries
    ]
    connection = session.connection()
    if connection.dialect.name == "postgresql":
        connection.execute(_INTO_OUTBOX, rows)  # the sequencer does the rest
    else:
        connection.execute(_INTO_LOG, rows)
        _index_by_key(connection, entries)
    session.info[_RECORDED] = True


def _index_by_key(connection: Connection, entries: Sequence[Entry]) -> None:
    """On SQLite, where there is one writer: these entries are the last ones, in their order."""
    if not any(entry.audience or entry.before for entry in entries):
        return
    first = connection.execute(_LAST_POSITION).scalar_one() - len(entries) + 1
    rows = (
        {"key": key, "position": position, "lost": lost}
        for position, entry in enumerate(entries, first)
        for lost, keys in (
            (False, entry.audience),
            (True, lost_keys(entry.owner_id, entry.audience, entry.before or NO_KEYS)),
        )
        for key in sorted(keys)
    )
    while some := list(islice(rows, _AT_ONCE)):
        connection.execute(_INTO_INDEX, some)


def pending(session: Session) -> Pending:
    found = session.info.get(_PENDING)
    if not isinstance(found, Pending):
        found = session.info[_PENDING] = Pending(session)
    return found


def wrote_in_bulk(session: Session) -> bool:
    """Whether the unit of work executed ORM statements by criteria: its objects may be behind their rows."""
    return pending(session).in_bulk


@dataclass(frozen=True, slots=True)
class _Told:
    """What is told of one entity, and to whom. `before` is who could see it before, where that is not the same."""

    changes: Sequence[NetChange]
    readers: Keys
    before: Keys | None

    @classmethod
    def of(cls, entity: Entity, sides: Sides) -> "_Told":
        before, readers = sides.both(entity)
        changes = [*entity.net()]
        if entity.created or entity.deleted:
            return cls(changes, readers, before)
        if readers is before or (was := before.all) == (is_now := readers.all):
            return cls(changes, readers, None)
        moved = NetChange(entity, ChangeKind.UPDATED, AUDIENCE, came=is_now - was, left=was - is_now)
        return cls([*changes, moved], readers, before)

    def entries(self) -> Iterator[Entry]:
        """One entry tells that the entity came or left: the first of a new or deleted one, or that of its audience."""
        for number, change in enumerate(self.changes):
            turns = change.attribute == AUDIENCE or (number == 0 and change.kind is not ChangeKind.UPDATED)
            yield self._entry(change, self.before.all if turns and self.before is not None else None)

    def _entry(self, change: NetChange, before: frozenset[str] | None) -> Entry:
        """Of a secret attribute only that it changed."""
        entity, name = change.entity, change.attribute
        has_values = change.old is not None and change.new is not None
        secret = has_values and name is not None and attributes_of(entity.model)[name].secret
        return Entry(
            change.kind,
            entity_type(entity.model),
            entity.public_id,
            name,
            None if secret or change.old is None else change.old.text,
            None if secret or change.new is None else change.new.text,
            self.readers.owner_id,
            json.dumps(change.decisions, sort_keys=True, separators=(",", ":")) if change.decisions else None,
            self.readers.others,
            before,
        )


def entries_of(entities: Iterable[Entity], sides: Sides) -> list[Entry]:
    """What is told of these entities, and of those that others may see because of them; no rules are run."""
    return [entry for each in (*entities, *sides.others) for entry in _Told.of(each, sides).entries()]


@event.listens_for(WriteSession, "before_commit", propagate=True)
def _write_down(session: Session) -> None:
    if session.in_nested_transaction():
        return
    for _ in range(_MOST_FLUSHES):  # as the session's own commit does: a flush or a listener may leave something to do
        if not (session.new or session.dirty or session.deleted):
            break
        session.flush()
    noted = pending(session)
    if noted.spoiled is not None:
        raise RuntimeError(f"{noted.spoiled} failed half-way and is not recorded: roll back, this cannot be committed")
    if not noted:
        return
    noted.spoil("what the transaction changed")  # until all of it is written: who catches an error commits nothing
    entities = noted.take()
    besides = what_the_database_did(session, entities)
    sides = Sides(session, [*entities, *besides])
    told = [_Told.of(entity, sides) for entity in (*entities, *sides.others)]
    changes = [change for each in told for change in each.changes]
    change_set = uuid4()
    owed = [entry for recorder in _recorders for entry in recorder(session, change_set, changes)]
    told += [_Told.of(entity, sides) for entity in besides]
    entries = [entry for each in told for entry in each.entries()]
    record(session, [*entries, *owed], change_set)
    if session.new or session.dirty or session.deleted or noted:  # the last: flushed by a read of its own
        raise RuntimeError("a recorder or rule changed mapped objects: use Core statements, or do it in the service")
    noted.make_good()


@event.listens_for(WriteSession, "after_begin", propagate=True)
def _enter(session: Session, transaction: SessionTransaction, connection: Connection) -> None:
    if transaction.nested:
        return
    noted = pending(session)
    if connection.info.setdefault(FOLLOWER, noted) is not noted:
        raise TypeError("another session records what is changed by this connection: use that one")
    noted.follows = connection.info
    if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
        raise TypeError(
            "without a transaction nothing could be recorded with its change: leave the isolation level alone"
        )


@event.listens_for(Session, "after_begin")
def _refuse_stranger(session: Session, transaction: SessionTransaction, connection: Connection) -> None:
    """The statements of its own flush would be taken for those of the flush that is going on."""
    noted = connection.info.get(FOLLOWER)
    if noted is not None and noted.flushing and noted is not session.info.get(_PENDING):
        raise TypeError("another session on the connection of a flush: use that connection by itself")


@event.listens_for(WriteSession, "before_flush", propagate=True)
def _flush_begins(session: Session, flush_context: object, instances: object) -> None:
    pending(session).another_flush()


@event.listens_for(WriteSession, "after_flush", propagate=True)
def _flush_ends(session: Session, flush_context: object) -> None:
    pending(session).flush_ends()


@event.listens_for(WriteSession, "after_transaction_end", propagate=True)
def _leave(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        noted = pending(session)
        noted.forget()
        if noted.follows is not None:
            noted.follows.pop(FOLLOWER, None)
            noted.follows = None
        session.info.pop(_RECORDED, None)


@event.listens_for(WriteSession, "after_commit", propagate=True)
def _ring(session: Session) -> None:
    if not session.in_nested_transaction() and session.info.pop(_RECORDED, False):
        for ring in session.info.get(ON_COMMIT, ()):
            ring()
