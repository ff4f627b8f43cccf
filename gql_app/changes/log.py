"""Reading the change log: where it begins and ends, a page of it, and cursors."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, bindparam, case, delete, func, or_, select, update
from sqlalchemy.orm import Session

from gql_app.changes.cursors import Cursor, mark_of
from gql_app.changes.models import (
    SELECT_EVENTS,
    ChangeAudience,
    ChangeEvent,
    ChangeLogState,
    ChangeRecord,
    read_keys,
)
from gql_app.db import Database, moment
from gql_app.errors import CursorExpired

PAGE = 500
"""Events read in one statement."""
CLOCK_SKEW = timedelta(minutes=1)
"""How far ahead of the database's clock the time of an event may be; one that is further ahead is wrong."""


def head(session: Session) -> int:
    """The position of the last event (or of the last pruned one; 0 for a log that never had any)."""
    last = session.scalar(select(func.max(ChangeRecord.position)))
    return max(last or 0, floor(session))


def end(session: Session) -> Cursor:
    """The cursor of the last event. Without a mark if the log is empty, or that event is pruned."""
    position = head(session)
    change_set = session.scalar(_CHANGE_SET, {"position": position})
    return Cursor(position, "" if change_set is None else mark_of(change_set))


def verify(session: Session, cursor: Cursor) -> None:
    """Whether the log still has the event that the cursor names.

    A cursor without a mark is taken as it is, if the log reaches that far. Of the last event that was pruned nothing is
    known any more but its position.

    Raises:
        CursorExpired: that event is gone: pruned, or not in the backup that the database was restored from.
    """
    change_set = session.scalar(_CHANGE_SET, {"position": cursor.position})
    is_here = change_set is not None and cursor.mark in ("", mark_of(change_set))
    if not is_here and (change_set is not None or cursor.position != floor(session)):
        raise CursorExpired(str(floor(session)))


async def still_has(db: Database, cursor: Cursor) -> None:
    """The same as a look-up, for those who come back: many at once after a deploy."""
    rows = await db.look_up(_CHANGE_SET, {"position": cursor.position})
    if not rows or cursor.mark not in ("", mark_of(rows[0].change_set)):
        await db.look_up(verify, cursor)


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


_POSITION = ChangeRecord.__table__.c.position
_NEWS = SELECT_EVENTS.where(bindparam("after") <= _POSITION).order_by("position").limit(PAGE + 1)
_FLOOR = select(ChangeLogState.__table__.c.pruned_through)
_CHANGE_SET = select(ChangeRecord.__table__.c.change_set).where(
    ChangeRecord.__table__.c.position == bindparam("position")
)


async def news(db: Database, after: Cursor) -> Sequence[ChangeEvent]:
    """The same as `page` for all events, as a look-up: what the feed asks for after every commit.

    The event of the cursor is read, too: if it is another one, or is not there, the log was put back to an earlier
    state (a failover that took the last commits, a restored backup). The log's beginning is read after the events: what
    was pruned in between is noticed.

    Raises:
        CursorExpired: events after the cursor have been pruned, or its own is gone.
    """
    rows = await db.look_up(_NEWS, {"after": after.position})
    events = [ChangeEvent.of(row) for row in rows]
    if events and events[0].position == after.position:
        if after.mark in ("", mark_of(events[0].change_set)):
            return events[1:]
        is_gone = True
    else:
        is_gone = bool(after.mark)
    floors = await db.look_up(_FLOOR)
    pruned = floors[0].pruned_through if floors else 0
    if after.position < pruned or (is_gone and after.position != pruned):
        raise CursorExpired(str(pruned))
    return events


def cut(moments: Iterable[datetime], before: datetime) -> int:
    """How many of these events to forget, from the first one on; ``moments`` are their times, in the log's order.

    Events carry the time of the machine that recorded them, so their times may be out of order. The cut is where the
    fewest events are on the wrong side of it: recent ones that are forgotten, and old ones that are kept. So a few
    events with a wrong time decide nothing. Of several such places the earliest is taken.
    """
    best = wrong = place = 0  # ``wrong``: how many more there are than with nothing forgotten
    for number, occurred_at in enumerate(moments, 1):
        wrong += -1 if occurred_at < before else 1
        if wrong < best:
            best, place = wrong, number
    return place


def prune(session: Session, before: datetime, limit: int = 10_000) -> int:
    """Forget the events that occurred before this moment; returns how many.

    It decides about the oldest ``limit`` events. Those from the future do not count among them: their time says
    nothing about when they occurred, so they go with what is behind them.
    """
    oldest = (
        select(ChangeRecord.position, ChangeRecord.occurred_at)
        .where(ChangeRecord.occurred_at <= moment(session, CLOCK_SKEW))
        .order_by(ChangeRecord.position)
        .limit(limit)
    )
    found = session.execute(oldest).all()
    place = cut((occurred_at for _, occurred_at in found), before)
    if place == 0:
        return 0
    last = found[place - 1].position
    _forget_keys(session, last)
    forgotten: int = session.execute(delete(ChangeRecord).where(ChangeRecord.position <= last)).rowcount  # type: ignore[attr-defined]
    # Another one may have pruned further since we looked: the floor never goes back.
    floor = ChangeLogState.pruned_through
    raised = case((floor > last, floor), else_=last)
    if not session.execute(update(ChangeLogState).values(pruned_through=raised)).rowcount:  # type: ignore[attr-defined]
        session.add(ChangeLogState(id=1, pruned_through=last))
    return forgotten


def _forget_keys(session: Session, last: int) -> None:
    """By which keys the events up to this position were found."""
    named = or_(ChangeRecord.audience.is_not(None), ChangeRecord.audience_before.is_not(None))
    texts = select(ChangeRecord.audience, ChangeRecord.audience_before).where(named, ChangeRecord.position <= last)
    keys = {key for row in session.execute(texts.distinct()) for text in row if text for key in read_keys(text)}
    ordered = sorted(keys)
    for start in range(0, len(ordered), PAGE):
        some = ordered[start : start + PAGE]
        session.execute(delete(ChangeAudience).where(ChangeAudience.key.in_(some), ChangeAudience.position <= last))


def note_pruned(session: Session, before: datetime) -> None:
    """Note that messages which had ended before this moment may be gone. The moment never goes back."""
    noted = ChangeLogState.deliveries_pruned_before
    raised = case((noted > before, noted), else_=before)
    if not session.execute(update(ChangeLogState).values(deliveries_pruned_before=raised)).rowcount:  # type: ignore[attr-defined]
        session.add(ChangeLogState(id=1, pruned_through=0, deliveries_pruned_before=before))
