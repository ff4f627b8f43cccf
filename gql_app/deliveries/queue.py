"""The queue in the database: claiming what is due, and writing down what came of it.

Must hold: a message is sent by nobody but the holder of its lease, and only he writes its row until that ends. A claim
is committed with its attempt before the provider is called. Changes of state are recorded in the change log in the same
transaction.
"""

import os
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import bindparam, delete, func, insert, select, update
from sqlalchemy.orm import Session

from gql_app.changes.capture import Entry, record
from gql_app.changes.log import note_pruned
from gql_app.changes.models import ChangeKind
from gql_app.db import ANNOUNCED, clock, moment
from gql_app.deliveries.claims import Claim, Result
from gql_app.deliveries.due import older_to_the_same_recipient
from gql_app.deliveries.models import AttemptOutcome, Channel, Delivery, DeliveryAttempt, DeliveryState
from gql_app.deliveries.senders import Outgoing
from gql_app.deliveries.templates import Rendered

LEASE = timedelta(seconds=30)
"""How long a claimed message is left alone since its worker last said that it has it; then that is taken for dead."""
RENEWAL = 10.0
"""Seconds after which a worker says so again: one of these may fail."""

COUNTED = (AttemptOutcome.TRANSIENT, AttemptOutcome.UNKNOWN, AttemptOutcome.PERMANENT)
"""The outcomes that count against a message; that our credentials were refused is not its fault."""

_deliveries: Any = Delivery.__table__
_attempts: Any = DeliveryAttempt.__table__


TextOf = Callable[[Any], Rendered | None]
"""What a row says, or None where it cannot be rendered."""


@dataclass(slots=True)
class _Unclear:
    """What earlier attempts may have left at the provider: since when, and under which texts."""

    since: datetime
    texts: set[str] = field(default_factory=set)


def claim(session: Session, channel: Channel, now: datetime, limit: int, text_of: TextOf | None = None) -> list[Claim]:
    """Take up to ``limit`` due messages, oldest first and one per recipient, and record an attempt for each.

    ``now`` is what the database's clock said right before (`next_due`). ``text_of`` where the provider is asked for a
    message by its text: it is written down with the attempt, for the template may be another one by then.
    """
    due = (
        select(_deliveries)
        .where(_deliveries.c.channel == channel, _deliveries.c.due_at <= now, ~older_to_the_same_recipient(now))
        .order_by(_deliveries.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    connection = session.connection()
    rows = connection.execute(due).all()
    if not rows:
        return []
    lease = uuid4()
    _close_interrupted(session, [r.id for r in rows if r.lease is not None], now)
    unclear = _unclear(session, [r.id for r in rows if r.lease is not None or r.state is DeliveryState.UNKNOWN])
    connection.execute(
        update(_deliveries)
        .execution_options(**ANNOUNCED)
        .where(_deliveries.c.id.in_([r.id for r in rows]))
        .values(
            lease=lease,
            claimed_by=_this_worker(),
            due_at=now + LEASE,
            attempt_count=_deliveries.c.attempt_count + 1,
            version=_deliveries.c.version + 1,
            updated_at=now,
        )
    )
    said = {row.id: text_of(row) for row in rows} if text_of is not None else {}
    claims = [_claim_of(row, lease, unclear.get(row.id), now, said.get(row.id)) for row in rows]
    connection.execute(
        insert(_attempts),
        [
            {
                "public_id": c.message.attempt_id,
                "delivery_id": c.id,
                "number": c.attempt,
                "started_at": now,
                "text": None if c.said is None else c.said.body,
            }
            for c in claims
        ],
    )
    return claims


def _this_worker() -> str:
    """For people who look at leases."""
    return f"{socket.gethostname()[:100]}:{os.getpid()}"


def _claim_of(row: Any, lease: UUID, unclear: _Unclear | None, now: datetime, said: Rendered | None) -> Claim:
    message = Outgoing(
        row.public_id, uuid4(), row.recipient, earlier=frozenset(unclear.texts if unclear is not None else ())
    )
    return Claim(
        row.id,
        lease,
        row.attempt_count + 1,
        row.failure_count,
        row.state,
        row.recipient_id,
        message,
        None if unclear is None else unclear.since,
        now,
        row,
        said,
    )


def _close_interrupted(session: Session, ids: Sequence[int], now: datetime) -> None:
    """Attempts whose worker died in the middle: their outcome is unknown."""
    if not ids:
        return
    open_attempts = (_attempts.c.delivery_id.in_(ids), _attempts.c.finished_at.is_(None))
    session.connection().execute(
        update(_attempts)
        .where(*open_attempts)
        .values(finished_at=now, outcome=AttemptOutcome.UNKNOWN, error="the worker stopped in the middle of it")
    )


def _unclear(session: Session, ids: Iterable[int]) -> Mapping[int, _Unclear]:
    """Of each delivery, what its attempts with an unknown outcome may have left."""
    if not (known := list(ids)):
        return {}
    query = (
        select(_attempts.c.delivery_id, _attempts.c.started_at, _attempts.c.text)
        .where(_attempts.c.delivery_id.in_(known), _attempts.c.outcome == AttemptOutcome.UNKNOWN)
        .order_by(_attempts.c.started_at)
    )
    found: dict[int, _Unclear] = {}
    for delivery_id, started_at, said in session.connection().execute(query):
        its = found.setdefault(delivery_id, _Unclear(started_at))
        if said is not None:
            its.texts.add(said)
    return found


def renew(session: Session, claims: Sequence[Claim]) -> int:
    """Hold the claims for another lease; those that were lost meanwhile stay lost. Returns how many are still held."""
    longer = (
        update(_deliveries)
        .where(
            _deliveries.c.id.in_([claim.id for claim in claims]),
            _deliveries.c.lease.in_({claim.lease for claim in claims}),
        )
        .values(due_at=moment(session, LEASE))
    )
    return session.connection().execute(longer.execution_options(**ANNOUNCED)).rowcount


def finish(session: Session, results: Sequence[Result]) -> int:
    """Write down results; those whose lease was lost meanwhile are left to the new holder. Returns how many counted."""
    connection = session.connection()
    held = _deliveries.c.id.in_([r.claim.id for r in results])
    leases = connection.execute(select(_deliveries.c.id, _deliveries.c.lease).where(held).with_for_update())
    valid = {tuple(row) for row in leases}
    results = [r for r in results if (r.claim.id, r.claim.lease) in valid]
    if not results:
        return 0
    connection.execute(
        update(_attempts)
        .where(_attempts.c.delivery_id == bindparam("delivery"), _attempts.c.number == bindparam("attempt"))
        .values(
            {
                name: bindparam(name)
                for name in ("finished_at", "outcome", "provider_id", "fault", "error_code", "error")
            }
        ),
        [_attempt_values(r) for r in results],
    )
    connection.execute(
        update(_deliveries)
        .execution_options(**ANNOUNCED)
        .where(_deliveries.c.id == bindparam("delivery"))
        .values(
            {name: bindparam(name) for name in ("state", "due_at", "updated_at", "failure_count", "reason")}
            | {
                "lease": None,
                "version": _deliveries.c.version + 1,
                "provider_id": func.coalesce(bindparam("provider"), _deliveries.c.provider_id),
                "fault": func.coalesce(bindparam("whose", type_=_deliveries.c.fault.type), _deliveries.c.fault),
            }
        ),
        [_delivery_values(r) for r in results],
    )
    record(session, [_entry(r) for r in results if r.then.state is not r.claim.before])
    return len(results)


def _attempt_values(result: Result) -> dict[str, object]:
    return {
        "delivery": result.claim.id,
        "attempt": result.claim.attempt,
        "finished_at": result.finished_at,
        "outcome": result.outcome,
        "provider_id": result.provider_id,
        "fault": result.fault,
        "error_code": result.error_code,
        "error": result.error,
    }


def _delivery_values(result: Result) -> dict[str, object]:
    return {
        "delivery": result.claim.id,
        "state": result.then.state,
        "due_at": result.then.due_at,
        "updated_at": result.finished_at,
        "failure_count": result.claim.failures + (result.outcome in COUNTED),
        "provider": result.provider_id,
        "whose": result.fault,
        "reason": result.reason,
    }


def _entry(result: Result) -> Entry:
    return Entry(
        ChangeKind.UPDATED,
        Delivery.__entity__,
        result.claim.message.id,
        "state",
        result.claim.before.name,
        result.then.state.name,
        result.claim.recipient_id,
    )


def taken(session: Session, provider_ids: Sequence[str]) -> set[str]:
    """Those of the provider's ids that are known as some attempt's already."""
    query = select(_attempts.c.provider_id).where(_attempts.c.provider_id.in_(provider_ids))
    return set(session.connection().execute(query).scalars())


def prune(session: Session, before: datetime, limit: int = 5_000) -> int:
    """Forget up to ``limit`` messages that were finished before this moment; what is still owed is kept."""
    old = (
        select(_deliveries.c.id)
        .where(_deliveries.c.due_at.is_(None), _deliveries.c.updated_at < before)
        .order_by(_deliveries.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    connection = session.connection()
    ids = list(connection.execute(old).scalars())
    if ids:
        connection.execute(delete(_attempts).where(_attempts.c.delivery_id.in_(ids)))
        connection.execute(delete(_deliveries).execution_options(**ANNOUNCED).where(_deliveries.c.id.in_(ids)))
        note_pruned(session, min(before, clock.now(session)))
    return len(ids)
