"""Reading the change log: where it begins and ends, a page of it, and cursors."""

import itertools
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, bindparam, case, delete, func, select, update
from sqlalchemy.orm import Session

from gql_app.changes.models import SELECT_EVENTS, ChangeEvent, ChangeLogState, ChangeRecord
from gql_app.db import Database
from gql_app.errors import CursorExpired, Invalid

PAGE = 500
"""Events read in one statement."""


def parse_cursor(cursor: str) -> int:
    """The position that a cursor stands for.

    Raises:
        Invalid: this was never a cursor.
    """
    if not (cursor.isascii() and cursor.isdecimal() and len(cursor) <= 18):
        raise Invalid("That is not a cursor of the change log; send one that an event carried.", field="after")
    return int(cursor)


def head(session: Session) -> int:
    """The position of the last event (or of the last pruned one; 0 for a log that never had any)."""
    last = session.scalar(select(func.max(ChangeRecord.position)))
    return max(last or 0, floor(session))


def floor(session: Session) -> int:
    """Through which position the log was pruned; the oldest cursor that can be resumed."""
    return session.scalar(select(ChangeLogState.pruned_through)) or 0


def page(
    session: Session,
    after: int,
    upto: int | None,
    where: ColumnElement[bool] | None = None,
    limit: int = PAGE,
) -> Sequence[ChangeEvent]:
    """The first events with ``after < position <= upto``, in order.

    Raises:
        CursorExpired: events after this position have been pruned.
    """
    query = SELECT_EVENTS.where(ChangeRecord.position > after).order_by(ChangeRecord.position).limit(limit)
    if upto is not None:
        query = query.where(ChangeRecord.position <= upto)
    if where is not None:
        query = query.where(where)
    events = [ChangeEvent.of(row) for row in session.execute(query)]
    # Only now: on PostgreSQL each statement has its own snapshot, and what is pruned between two must not be missed.
    if after < (oldest := floor(session)):
        raise CursorExpired(str(oldest))
    return events


_NEWS = SELECT_EVENTS.where(ChangeRecord.__table__.c.position > bindparam("after")).order_by("position").limit(PAGE)
_FLOOR = select(ChangeLogState.__table__.c.pruned_through)


async def news(db: Database, after: int) -> Sequence[ChangeEvent]:
    """The same as `page` for all events, as a look-up: what the feed asks for after every commit.

    The log's beginning is read after the events: what was pruned in between is noticed, too.
    """
    rows = await db.rows(_NEWS, {"after": after})
    if not rows or rows[0].position != after + 1:
        floors = await db.rows(_FLOOR, {})
        if floors and after < floors[0].pruned_through:
            raise CursorExpired(str(floors[0].pruned_through))
    return [ChangeEvent.of(row) for row in rows]


def prune(session: Session, before: datetime, limit: int = 10_000) -> int:
    """Forget up to ``limit`` events that occurred before this moment, the oldest first; returns how many."""
    oldest = select(ChangeRecord.position, ChangeRecord.occurred_at).order_by(ChangeRecord.position).limit(limit)
    found = session.execute(oldest).all()
    # Moments may be out of order by a little; what stays in front of a later one stays.
    positions = [position for position, _ in itertools.takewhile(lambda row: row[1] < before, found)]
    if not positions:
        return 0
    session.execute(delete(ChangeRecord).where(ChangeRecord.position <= positions[-1]))
    # Another one may have pruned further since we looked: the floor never goes back.
    floor = ChangeLogState.pruned_through
    raised = case((floor > positions[-1], floor), else_=positions[-1])
    if not session.execute(update(ChangeLogState).values(pruned_through=raised)).rowcount:  # type: ignore[attr-defined]
        session.add(ChangeLogState(id=1, pruned_through=positions[-1]))
    return len(positions)


def window(
    session: Session,
    where: ColumnElement[bool],
    *,
    after: int | None,
    before: int | None,
    limit: int,
    backward: bool,
) -> Sequence[ChangeEvent]:
    """The first events between two positions (both excluded), or with ``backward`` the last ones, latest first."""
    position = ChangeRecord.position
    query = SELECT_EVENTS.where(where).order_by(position.desc() if backward else position).limit(limit)
    if after is not None:
        query = query.where(position > after)
    if before is not None:
        query = query.where(position < before)
    return [ChangeEvent.of(row) for row in session.execute(query)]
