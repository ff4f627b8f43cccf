"""Pages of the log for somebody's interest, each by an index.

What needs no key is one statement. What a key opens is found by `change_audience`, in stretches of positions that grow
while nothing is found: so a page costs as much as it holds, and neither the number of keys nor a long log with little
in it makes it slow.

Must hold: a page has every entry of the interest between two positions, in order, and each once.
"""

import json
from collections.abc import Iterator, Sequence

from sqlalchemy import ARRAY, ColumnElement, Select, Text, any_, column, func, select
from sqlalchemy import literal as bound
from sqlalchemy.orm import Session

from gql_app.changes import log
from gql_app.changes.models import SELECT_EVENTS, ChangeAudience, ChangeEvent, ChangeRecord
from gql_app.changes.scope import Interest
from gql_app.changes.topics import Topic
from gql_app.errors import CursorExpired

SHORTEST_STRETCH = 512
"""Positions that are looked through first for what keys open."""
GROWTH = 4

_position = ChangeRecord.__table__.c.position


def page(session: Session, interest: Interest, after: int, upto: int, limit: int) -> Sequence[ChangeEvent]:
    """The first events of this interest with ``after < position <= upto``, in order.

    Raises:
        CursorExpired: events after this position have been pruned.
    """
    events = _between(session, interest, after, upto, limit, backward=False)
    # Only now: on PostgreSQL each statement has its own snapshot, and what is pruned between two must not be missed.
    if after < (oldest := log.floor(session)):
        raise CursorExpired(str(oldest))
    return events


def window(
    session: Session, interest: Interest, *, after: int | None, before: int | None, limit: int, backward: bool
) -> Sequence[ChangeEvent]:
    """The first events between two positions (both excluded), or with ``backward`` the last ones, latest first."""
    upto = None if before is None else before - 1
    if upto is None and interest.by_key:
        upto = log.head(session)  # one end for all statements: what is committed between two of them is in none
    return _between(session, interest, after or 0, upto, limit, backward=backward)


def _between(
    session: Session, interest: Interest, after: int, upto: int | None, limit: int, *, backward: bool
) -> Sequence[ChangeEvent]:
    order = _position.desc() if backward else _position
    query = SELECT_EVENTS.order_by(order).limit(limit).where(_position > after)
    if upto is not None:
        query = query.where(_position <= upto)
    events = [ChangeEvent.of(row) for row in session.execute(query.where(interest.where()))]
    if not (by_key := interest.by_key):
        return events
    if upto is None:
        raise ValueError("what keys open is looked for up to a position")
    if len(events) == limit:  # what is further away has no room
        after, upto = (events[-1].position - 1, upto) if backward else (after, events[-1].position)
    found = {event.position: event for event in events}
    for (lost, topic), keys in by_key.items():
        for event in _opened(session, keys, topic, after, upto, limit, lost=lost, backward=backward):
            found[event.position] = event
    return [found[position] for position in sorted(found, reverse=backward)][:limit]


def _opened(
    session: Session, keys: list[str], topic: Topic, after: int, upto: int, limit: int, *, lost: bool, backward: bool
) -> Sequence[ChangeEvent]:
    """What these keys open, in stretches."""
    order = _position.desc() if backward else _position
    found: list[ChangeEvent] = []
    for low, high in _stretches(after, upto, limit, backward=backward):
        named = positions(session.get_bind().dialect.name, keys, low, high, lost=lost)
        query = SELECT_EVENTS.where(_position.in_(named), topic.where()).order_by(order).limit(limit - len(found))
        found += [ChangeEvent.of(row) for row in session.execute(query)]
        if len(found) >= limit:
            break
    return found


def positions(dialect: str, keys: list[str], low: int, high: int, *, lost: bool) -> Select[tuple[int]]:
    """The positions with ``low < position <= high`` of entries that one of these keys opens, or has lost."""
    index = ChangeAudience.__table__.c
    here = (index.lost == lost, index.position > low, index.position <= high)
    return select(index.position).where(_among(dialect, keys, index.key), *here)


def _stretches(after: int, upto: int, limit: int, *, backward: bool) -> Iterator[tuple[int, int]]:
    width = max(SHORTEST_STRETCH, limit)
    while after < upto:
        if backward:
            low, high = max(after, upto - width), upto
            upto = low
        else:
            low, high = after, min(upto, after + width)
            after = high
        yield low, high
        width *= GROWTH


def _among(dialect: str, keys: list[str], key: ColumnElement[str]) -> ColumnElement[bool]:
    """That the key is one of these, however many: they travel in one parameter."""
    if dialect == "postgresql":
        return key == any_(bound(sorted(keys), ARRAY(Text())))
    listed = func.json_each(json.dumps(sorted(keys))).table_valued(column("value", Text()))
    return key.in_(select(listed.c.value))
