"""Capture: what a transaction changed is written into the change log by that same transaction.

At each flush the net changes are noted; right before the commit they are written, together with what the recorders
make of them (messages owed). After the commit the doorbell is rung, and nothing else.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import ClauseElement, event, insert
from sqlalchemy import inspect as sa_inspect
from sqlalchemy.orm import PassiveFlag, Session, SessionTransaction, UOWTransaction
from sqlalchemy.util import IdentitySet

from gql_app.changes.models import ChangeKind, ChangeOutbox, ChangeRecord
from gql_app.changes.net import Key, NetChange, Pending
from gql_app.changes.tracking import Tracked, encode, entity_type, tracked_attributes
from gql_app.db import ON_COMMIT, WriteSession


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


Recorder = Callable[[Session, UUID, Sequence[NetChange]], Iterable[Entry]]
"""Is called before the commit with the change set's id and its net changes; may insert rows of its own with Core
statements and returns the log entries for these."""

_recorders: list[Recorder] = []
_PENDING = "gql_app_pending"
_RECORDED = "gql_app_recorded"
_ACTOR = "gql_app_actor"


def add_recorder(recorder: Recorder) -> None:
    _recorders.append(recorder)


def act_as(session: Session, actor_id: int | None) -> None:
    """From now on the changes of this session are put down to this user."""
    session.info[_ACTOR] = actor_id


def record(session: Session, entries: Sequence[Entry], change_set: UUID | None = None) -> None:
    """Write entries into the change log, in the session's transaction: for what Core statements changed."""
    if not entries:
        return
    now = datetime.now(UTC)
    shared = {"change_set": change_set or uuid4(), "occurred_at": now, "actor_id": session.info.get(_ACTOR)}
    rows = [
        {
            "kind": entry.kind,
            "entity_type": entry.entity_type,
            "entity_id": entry.entity_id,
            "attribute": entry.attribute,
            "old_value": entry.old_value,
            "new_value": entry.new_value,
            "owner_id": entry.owner_id,
            **shared,
        }
        for entry in entries
    ]
    target = ChangeOutbox if session.get_bind().dialect.name == "postgresql" else ChangeRecord
    session.connection().execute(insert(target), rows)
    session.info[_RECORDED] = True


def pending(session: Session) -> Pending:
    found = session.info.get(_PENDING)
    if not isinstance(found, Pending):
        found = session.info[_PENDING] = Pending()
    return found


def key_of(subject: Tracked) -> Key:
    mapper: Any = sa_inspect(type(subject))
    return mapper.base_mapper.class_, tuple(mapper.primary_key_from_instance(subject))


def entry_of(change: NetChange) -> Entry:
    """The log entry of a net change; of a secret attribute only that it changed."""
    subject, name = change.subject, change.attribute
    secret = name is not None and tracked_attributes(type(subject))[name]
    return Entry(
        change.kind,
        entity_type(type(subject)),
        subject.public_id,
        name,
        None if secret else encode(change.old),
        None if secret else encode(change.new),
        owner_of(subject),
    )


def owner_of(subject: Tracked) -> int | None:
    return getattr(subject, subject.__owner__) if subject.__owner__ else None


@event.listens_for(WriteSession, "before_flush", propagate=True)
def _refuse_expressions(session: Session, flush_context: object, instances: object) -> None:
    """What an SQL expression will have replaced is not known here, and after the flush it is too late."""
    for obj in (*session.new, *session.dirty):
        if isinstance(obj, Tracked):
            obj.public_id = obj.public_id or uuid4()  # not by the default: that is not asked where it takes over a row
            loaded = sa_inspect(obj).dict
            for name in tracked_attributes(type(obj)):
                if isinstance(loaded.get(name), ClauseElement):
                    raise TypeError(f"{type(obj).__name__}.{name} is tracked: assign a value, not an SQL expression")


@event.listens_for(WriteSession, "after_flush", propagate=True)
def _note(session: Session, flush_context: UOWTransaction) -> None:
    noted = pending(session)
    flushed = flush_context.states
    # Not session.deleted: that misses the orphans which the flush itself has found. First, because in the same flush
    # a new entity may take over the row.
    gone = IdentitySet(state.obj() for state, (deleted, _) in flushed.items() if deleted)
    for obj in gone:
        if isinstance(obj, Tracked):
            noted.deleted(key_of(obj), obj)
    for obj in session.new:
        if isinstance(obj, Tracked) and sa_inspect(obj) in flushed:
            noted.created(key_of(obj), obj, _initial_values(obj))
    for obj in session.dirty:
        if isinstance(obj, Tracked) and sa_inspect(obj) in flushed and obj not in gone:
            noted.updated(key_of(obj), obj, _replaced_values(obj))


def _initial_values(obj: Tracked) -> dict[str, object]:
    loaded = sa_inspect(obj).dict
    return {name: loaded[name] for name in tracked_attributes(type(obj)) if loaded.get(name) is not None}


def _replaced_values(obj: Tracked) -> dict[str, tuple[object, object]]:
    state = sa_inspect(obj)
    replaced = {}
    for name in tracked_attributes(type(obj)):
        history = state.get_history(name, PassiveFlag.PASSIVE_NO_INITIALIZE)
        if history.added:  # nothing in front of it: it was never set, so it is NULL in the row
            replaced[name] = (history.deleted[0] if history.deleted else None, history.added[0])
    return replaced


@event.listens_for(WriteSession, "before_commit", propagate=True)
def _write_down(session: Session) -> None:
    if session.in_nested_transaction():
        return
    session.flush()
    changes = pending(session).take()
    if not changes:
        return
    change_set = uuid4()
    entries = [entry_of(change) for change in changes]
    for recorder in _recorders:
        entries.extend(recorder(session, change_set, changes))
    record(session, entries, change_set)
    if session.new or session.dirty or session.deleted or pending(session):  # the last: flushed by a read of its own
        raise RuntimeError("a recorder or rule changed mapped objects: use Core statements, or do it in the service")


@event.listens_for(WriteSession, "after_transaction_create", propagate=True)
def _enter(session: Session, transaction: SessionTransaction) -> None:
    if transaction.nested:
        pending(session).open_savepoint()


@event.listens_for(WriteSession, "after_transaction_end", propagate=True)
def _leave(session: Session, transaction: SessionTransaction) -> None:
    if transaction.nested:
        pending(session).close_savepoint()
    elif transaction.parent is None:
        session.info.pop(_PENDING, None)
        session.info.pop(_RECORDED, None)


@event.listens_for(WriteSession, "after_commit", propagate=True)
def _ring(session: Session) -> None:
    if session.in_nested_transaction():
        pending(session).release_savepoint()
    elif session.info.pop(_RECORDED, False):
        for ring in session.info.get(ON_COMMIT, ()):
            ring()
