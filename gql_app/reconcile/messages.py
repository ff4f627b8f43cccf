"""Messages and their attempts: each explains the other, and nothing that is due is left lying."""

import heapq
from collections.abc import Iterator
from itertools import groupby
from operator import attrgetter
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, exists, func, literal, or_, select

from gql_app.deliveries.models import AttemptOutcome, Delivery, DeliveryAttempt, DeliveryState
from gql_app.deliveries.queue import COUNTED
from gql_app.reconcile.findings import Finding
from gql_app.reconcile.snapshot import OVERDUE, Snapshot, finding, raw

UNFINISHED = {DeliveryState.PENDING.name, DeliveryState.UNKNOWN.name}
STORED = {state.name for state in DeliveryState} - {DeliveryState.SENDING.name}
SENT = AttemptOutcome.SENT.name
UNKNOWN = AttemptOutcome.UNKNOWN.name
FAILED = {outcome.name for outcome in COUNTED}

NEEDS = {
    DeliveryState.SENT.name: {SENT},
    DeliveryState.DELIVERED.name: {SENT},
    DeliveryState.UNDELIVERED.name: {SENT},
    DeliveryState.UNKNOWN.name: {UNKNOWN},
    DeliveryState.DEAD.name: FAILED,
    DeliveryState.SUPPRESSED.name: {AttemptOutcome.SUPPRESSED.name},
}
"""The outcomes of which a message in this state has one."""

_delivery_id = attrgetter("delivery_id")
_deliveries: Any = Delivery.__table__
_attempts: Any = DeliveryAttempt.__table__


def look(snapshot: Snapshot) -> Iterator[Finding]:
    streams = [snapshot.rows(_messages()), snapshot.rows(_all_attempts())]
    for delivery_id, rows in groupby(heapq.merge(*streams, key=_delivery_id), _delivery_id):
        message, *attempts = rows
        if message.is_message:
            yield from Message(message, attempts, snapshot.channels).look()
        else:
            detail = f"an attempt belongs to the delivery {delivery_id}, which is not there"
            yield finding("attempt missing", None, detail)
    yield from _shared_results(snapshot)
    yield from _overdue(snapshot)


def _messages() -> Select[Any]:
    return select(
        literal(1).label("is_message"),
        _deliveries.c.id.label("delivery_id"),
        raw(_deliveries.c.public_id, "about"),
        raw(_deliveries.c.channel, "channel"),
        raw(_deliveries.c.state, "state"),
        raw(_deliveries.c.due_at, "due_at"),
        raw(_deliveries.c.lease, "lease"),
        _deliveries.c.attempt_count,
        _deliveries.c.failure_count,
        _deliveries.c.provider_id,
    ).order_by(_deliveries.c.id)


def _all_attempts() -> Select[Any]:
    return select(
        literal(0).label("is_message"),
        _attempts.c.delivery_id,
        _attempts.c.number,
        raw(_attempts.c.finished_at, "finished_at"),
        raw(_attempts.c.outcome, "outcome"),
        _attempts.c.provider_id,
        _attempts.c.error.is_not(None).label("has_error"),
    ).order_by(_attempts.c.delivery_id, _attempts.c.number)


class Message:
    """One message and its attempts, the first one first."""

    def __init__(self, row: Row[Any], attempts: list[Row[Any]], channels: frozenset[str]) -> None:
        self._row = row
        self._channels = channels
        self._attempts = attempts
        self._outcomes = {attempt.outcome for attempt in attempts}

    def _find(self, what: str, detail: str) -> Finding:
        return finding(what, self._row.about, f"is {self._row.state} and {detail}")

    def look(self) -> Iterator[Finding]:
        row = self._row
        if row.state not in STORED or row.channel not in self._channels:
            yield self._find("stuck", f"goes by {row.channel}: such a message is never taken")
        elif (row.due_at is not None) != (row.state in UNFINISHED):
            yield self._find("stuck", f"is due {row.due_at}")
        elif row.due_at is None and row.lease is not None:
            yield self._find("stuck", "a worker has it, without an end")
        yield from self._explain()
        yield from self._count()
        yield from self._look_for_open()

    def _explain(self) -> Iterator[Finding]:
        needed = NEEDS.get(self._row.state)
        if needed and not needed & self._outcomes:
            yield self._find("unexplained", f"no attempt ended in {' or '.join(sorted(needed))}")
        provider_id = self._row.provider_id
        if provider_id is not None and all(attempt.provider_id != provider_id for attempt in self._attempts):
            yield self._find("unexplained", f"no attempt came to {provider_id}")
        for attempt in self._attempts:
            if (attempt.finished_at is None) != (attempt.outcome is None):
                yield self._find("unexplained", f"attempt {attempt.number} has an end or an outcome, not both")

    def _count(self) -> Iterator[Finding]:
        numbers, count = [attempt.number for attempt in self._attempts], self._row.attempt_count
        if numbers != list(range(1, count + 1)):
            yield self._find("attempt missing", f"has the attempts {numbers[:20]} of {count}")
        # An unclear attempt that counted is SENT when a report tells so later; what was unclear of it stays noted.
        failures = sum(a.outcome in FAILED or (a.outcome == SENT and a.has_error) for a in self._attempts)
        if self._row.failure_count > failures:
            yield self._find("failures miscounted", f"counts {self._row.failure_count} failures of {failures}")

    def _look_for_open(self) -> Iterator[Finding]:
        still_open = [attempt.number for attempt in self._attempts if attempt.finished_at is None]
        if self._row.lease is not None:
            if self._row.attempt_count not in still_open:
                yield self._find("idle lease", f"a worker has it, and the attempts {still_open} are under way")
        # Older versions left an attempt open when a report ended its message in the middle of it.
        elif still_open and SENT not in self._outcomes:
            yield self._find("open attempt", f"the attempts {still_open} have no end, and no worker has it")


def _shared_results(snapshot: Snapshot) -> Iterator[Finding]:
    query = (
        select(_attempts.c.provider_id, func.count(_attempts.c.delivery_id.distinct()).label("messages"))
        .where(_attempts.c.provider_id.is_not(None))
        .group_by(_attempts.c.provider_id)
        .having(func.count(_attempts.c.delivery_id.distinct()) > 1)
    )
    for row in snapshot.rows(query):
        yield Finding("one result for two", None, f"{row.messages} messages came to {row.provider_id}")


def _overdue(snapshot: Snapshot) -> Iterator[Finding]:
    """Due for long, with no older message in front of it, on a channel on which nothing was begun for as long.

    A channel that is paused tries a message every minute, and on a busy one attempts are begun all the time: there
    somebody looks after it.
    """
    since = snapshot.now - OVERDUE
    begun = select(raw(_deliveries.c.channel, "channel")).join(_attempts, _attempts.c.delivery_id == _deliveries.c.id)
    looked_after = {row.channel for row in snapshot.rows(begun.where(_attempts.c.started_at >= since).distinct())}
    query = select(
        *(raw(_deliveries.c[name], name) for name in ("public_id", "channel", "state", "due_at")),
    ).where(_deliveries.c.due_at < since, ~_held_back())
    for row in snapshot.rows(query):
        if row.channel not in looked_after:
            yield finding("overdue", row.public_id, f"is {row.state}, due since {row.due_at}")


def _held_back() -> ColumnElement[bool]:
    """Messages to one recipient go out in their order: an unfinished one holds back those behind it, unless it waits
    for a time of its own."""
    older = _deliveries.alias("older")
    return exists().where(
        older.c.channel == _deliveries.c.channel,
        older.c.recipient == _deliveries.c.recipient,
        older.c.id < _deliveries.c.id,
        older.c.due_at.is_not(None),
        or_(older.c.not_before.is_(None), older.c.not_before <= _deliveries.c.due_at),
    )
