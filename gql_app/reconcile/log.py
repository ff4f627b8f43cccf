"""The log as a whole: its positions, its outbox, and how far it counts as pruned or tracked."""

from collections.abc import Iterator
from datetime import timedelta

from sqlalchemy import ColumnElement, TextClause, func, select, text

from gql_app.changes.models import ChangeLogState, ChangeOutbox, ChangeRecord, TrackedSince
from gql_app.reconcile.findings import Finding
from gql_app.reconcile.snapshot import OVERDUE, Snapshot

CLOCK = timedelta(minutes=1)
"""How far the clocks of machines may be apart."""


def look(snapshot: Snapshot) -> Iterator[Finding]:
    last = snapshot.scalar(select(func.max(ChangeRecord.position))) or 0
    below = _count(snapshot, ChangeRecord.position <= snapshot.floor)
    if below:
        yield Finding("below the floor", None, f"{below} events are at or below {snapshot.floor}")
    states = snapshot.scalar(select(func.count()).select_from(ChangeLogState)) or 0
    if states > 1:
        yield Finding("doubled state", None, f"change_log_state has {states} rows")
    late = ChangeOutbox.occurred_at < snapshot.now - OVERDUE
    if waiting := _count(snapshot, late):
        yield Finding("stuck in the outbox", None, f"{waiting} entries wait for their positions")
    yield from _ahead_of_time(snapshot, max(last, snapshot.floor))
    yield from _positions_ahead(snapshot, "change_events", "position", max(last, snapshot.floor))
    waiting = snapshot.scalar(select(func.max(ChangeOutbox.id)))
    if waiting is not None:
        yield from _positions_ahead(snapshot, "change_outbox", "id", waiting)


def _count(snapshot: Snapshot, where: ColumnElement[bool]) -> int:
    return snapshot.scalar(select(func.count()).where(where)) or 0


def _ahead_of_time(snapshot: Snapshot, head: int) -> Iterator[Finding]:
    before = snapshot.pruned_before
    if before is not None and before > snapshot.now + CLOCK:
        yield Finding("ahead of time", None, f"messages count as pruned before {before}")
    if early := _count(snapshot, TrackedSince.since_position > head):
        yield Finding("ahead of time", None, f"{early} attributes are tracked from beyond the end of the log")


def _positions_ahead(snapshot: Snapshot, table: str, column: str, used: int) -> Iterator[Finding]:
    """What is in use must not be given out again."""
    if snapshot.is_sqlite:
        if table != "change_events":
            return  # nothing counts there
        query = text("SELECT seq AS last FROM sqlite_sequence WHERE name = :name").bindparams(name=table)
    else:
        query = _postgres_sequence(table, column)
    given = snapshot.scalar(query) or 0
    if used > given:
        yield Finding("positions ahead", None, f"{table}.{column} is at {used}, the last that was given out is {given}")


def _postgres_sequence(table: str, column: str) -> TextClause:
    """The last value that was given out; NULL where none was."""
    sequence = "CAST(pg_get_serial_sequence(:table, :column) AS regclass)"
    return text(f"SELECT pg_sequence_last_value({sequence})").bindparams(table=table, column=column)
