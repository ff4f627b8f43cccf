"""What is forgotten of the log, also where the times of its events are wrong."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from gql_app.changes import log
from gql_app.changes.models import ChangeRecord
from gql_app.db import Database
from tests.things import add_user, head_of

pytestmark = pytest.mark.unwitnessed("dates the log's events as wrong clocks would")

BEFORE = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
AGES = {"o": -DAY, "r": DAY, "x": -20_000 * DAY}
"""Old, recent, and with a clock that was never set."""


@pytest.mark.parametrize(
    ("events", "forgotten"),
    [
        ("", 0),
        ("r", 0),
        ("rrr", 0),
        ("o", 1),
        ("ooo", 3),
        ("ooorrr", 3),
        ("rooo", 4),  # one that is not so old as it says does not stop it
        ("orooorr", 5),
        ("ooorooo", 7),
        ("rrrx", 0),  # one that was never set drags no recent ones along
        ("oorrxr", 2),
        ("xrrr", 1),
        ("ro", 0),  # in doubt nothing is forgotten
        ("roro", 0),
        ("oror", 1),
        ("rrooo", 5),
        ("rrrooo", 0),
    ],
)
def test_the_cut_is_where_the_fewest_are_on_the_wrong_side(events: str, forgotten: int) -> None:
    assert log.cut([BEFORE + AGES[each] for each in events], BEFORE) == forgotten


def test_what_occurred_at_the_very_moment_is_recent() -> None:
    assert log.cut([BEFORE], BEFORE) == 0


async def dated(db: Database, *ages: timedelta) -> Sequence[int]:
    """The positions of as many events, which are so old."""
    now = datetime.now(UTC)
    while len(positions := await db.read(left)) < len(ages):
        await add_user(db, f"user{len(positions)}")
        await head_of(db)

    def date(session: Session) -> None:
        for position, age in zip(positions, ages, strict=False):
            row = update(ChangeRecord).where(ChangeRecord.position == position).values(occurred_at=now - age)
            session.connection().execute(row)

    await db.write(date)
    return positions


def left(session: Session) -> Sequence[int]:
    return session.scalars(select(ChangeRecord.position).order_by(ChangeRecord.position)).all()


async def pruned(db: Database, limit: int = 10_000) -> int:
    """How many are forgotten of those that are older than a day, in bites as the command takes them."""
    total = 0
    while count := await db.write(log.prune, datetime.now(UTC) - DAY, limit):
        total += count
    assert await db.read(log.floor) + 1 == (await db.read(left))[0]
    return total


@pytest.mark.parametrize("ahead", [timedelta(minutes=2), DAY, 30_000 * DAY])
async def test_an_event_from_the_future_stops_nothing(db: Database, ahead: timedelta) -> None:
    positions = await dated(db, -ahead, 2 * DAY, -ahead, 2 * DAY, timedelta(), -ahead)
    assert await pruned(db) == 4
    assert await db.read(left) == positions[4:]


async def test_more_events_from_the_future_than_are_looked_at_at_once_stop_nothing(db: Database) -> None:
    positions = await dated(db, *[-DAY] * 4, *[2 * DAY] * 3, timedelta())
    assert await pruned(db, limit=2) == 7
    assert await db.read(left) == positions[7:]


async def test_events_from_the_future_alone_are_kept(db: Database) -> None:
    await dated(db, -DAY, -DAY)
    assert await db.write(log.prune, datetime.now(UTC) - DAY) == 0


async def test_an_event_that_is_a_little_ahead_counts_as_recent(db: Database) -> None:
    """Clocks differ by some seconds: it is no witness for what is behind it being old."""
    positions = await dated(db, 2 * DAY, -timedelta(seconds=30), -timedelta(seconds=30), 2 * DAY)
    assert await pruned(db) == 1
    assert (await db.read(left))[: len(positions) - 1] == positions[1:]


async def test_an_event_of_an_unset_clock_drags_no_recent_ones_along(db: Database) -> None:
    positions = await dated(db, 2 * DAY, timedelta(), timedelta(), 20_000 * DAY)
    assert await pruned(db) == 1
    assert (await db.read(left))[: len(positions) - 1] == positions[1:]
