"""`gql-app check`: holds the rows, the change log and the messages against each other.

It reads one snapshot, changes nothing, and finds what must never be. Everything is read in streams that are sorted
alike and walked through side by side: few statements, and memory that does not grow with the database.

findings   what can be found, and what it means
snapshot   what is known before anything is compared, and how rows are streamed
rows       the rows of tracked models, also of subclasses
chains     the log: each old value is the value before it, and the last one is the row's
decisions  what rules have owed: each message is there, once
messages   states and attempts explain each other, and nothing is overdue
log        positions, the outbox, what was pruned
"""

from collections.abc import Iterable

from sqlalchemy import text
from sqlalchemy.orm import Session

from gql_app.changes.tracking import Tracked
from gql_app.db import ANNOUNCED
from gql_app.deliveries.models import BUILT_IN, Channel
from gql_app.reconcile import chains, decisions, log, messages
from gql_app.reconcile.findings import Finding, summary
from gql_app.reconcile.snapshot import OVERDUE, Snapshot

__all__ = ["OVERDUE", "Finding", "reconcile", "summary"]


def reconcile(
    session: Session, models: Iterable[type[Tracked]] | None = None, channels: Iterable[Channel] = BUILT_IN
) -> list[Finding]:
    """All findings; an empty list is what one wants to see.

    ``models`` are the tracked models to look at, by default all whose tables are there; ``channels`` are those by which
    messages go.
    """
    if session.get_bind().dialect.name == "postgresql":  # elsewhere a transaction is one snapshot anyway
        # By a statement: the connection may be in its transaction already, and an option of it would be ignored.
        level = text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        session.connection().execute(level, execution_options=ANNOUNCED)
    return look(session, models, channels)


def look(
    session: Session, models: Iterable[type[Tracked]] | None = None, channels: Iterable[Channel] = BUILT_IN
) -> list[Finding]:
    """The same in a transaction that was begun already, and sees one snapshot."""
    snapshot = Snapshot(session, models, channels)
    return [
        *chains.look(snapshot),
        *decisions.look(snapshot),
        *messages.look(snapshot),
        *log.look(snapshot),  # the last: a sequence is not part of the snapshot, and only grows
    ]
