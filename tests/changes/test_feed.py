"""Promises 5, 6 and 10: every later event once and in order, however slow, late or often a subscriber comes."""

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event as sa_event
from sqlalchemy.orm import Session
from sqlalchemy.util import await_only

from gql_app.accounts.models import AuthSession, User
from gql_app.app import App
from gql_app.changes import log
from gql_app.changes.cursors import Cursor, parse_cursor
from gql_app.changes.feed import Feed
from gql_app.changes.models import ChangeEvent, ChangeLogState
from gql_app.changes.scope import Interest, Scope
from gql_app.changes.sequencer import move
from gql_app.changes.topics import Topic
from gql_app.changes.watch import BUFFER, Lifetime, Watch
from gql_app.demo.fuel_requests.models import FuelRequest
from gql_app.errors import CursorExpired, Forbidden, Invalid, Unauthenticated
from tests.ruling import service_database
from tests.things import add_request, add_user, caught_up, head_of, logged, right_before

EVERYTHING = Scope(everything=True)
STATUS = Topic("FuelRequest", "status")
PATIENCE = 10


@pytest.fixture
async def ada(app: App) -> User:
    return await add_user(app.db)


@pytest.fixture
async def feed(app: App, ada: User) -> Feed:
    await caught_up(app)
    return app.feed


async def take(watch: Watch, count: int) -> list[ChangeEvent]:
    async with asyncio.timeout(PATIENCE):
        return [await watch.__anext__() for _ in range(count)]


async def add_requests(app: App, owner: User, count: int) -> None:
    def add(session: Session) -> None:
        session.add_all([FuelRequest(requester_id=owner.id, litres=n + 1) for n in range(count)])

    await app.db.write(add)


async def test_what_is_committed_after_the_watch_was_opened_arrives_in_order(app: App, feed: Feed, ada: User) -> None:
    watch = feed.watch([STATUS], EVERYTHING, after=feed.cursor)
    for _ in range(5):
        await add_request(app.db, ada)
    events = await take(watch, 5)
    assert [e.position for e in events] == sorted({e.position for e in events})
    assert {e.attribute for e in events} == {"status"}


async def test_what_was_committed_while_the_watch_was_being_opened_arrives(app: App, feed: Feed, ada: User) -> None:
    before = feed.position
    await add_request(app.db, ada)
    await caught_up(app)
    watch = feed.watch([STATUS], EVERYTHING, after=Cursor(before))
    await add_request(app.db, ada)
    assert len(await take(watch, 2)) == 2


async def test_a_cursor_gets_every_later_event_once_and_in_order_into_the_live_ones(
    app: App, feed: Feed, ada: User
) -> None:
    await add_requests(app, ada, 300)
    await caught_up(app)
    statuses = [e.position for e in await logged(app.db, "FuelRequest") if e.attribute == "status"]
    watch = feed.watch([STATUS], EVERYTHING, after=Cursor(statuses[99]))

    async def go_on_writing() -> None:
        for _ in range(30):
            await add_request(app.db, ada)

    writing = asyncio.create_task(go_on_writing())
    events = await take(watch, 200 + 30)
    await writing
    expected = [e.position for e in await logged(app.db, "FuelRequest") if e.attribute == "status"][100:]
    assert [e.position for e in events] == expected


async def test_a_slow_reader_holds_a_bounded_buffer_and_misses_nothing(app: App, feed: Feed, ada: User) -> None:
    slow = feed.watch([STATUS], EVERYTHING, after=feed.cursor)
    quick = feed.watch([STATUS], EVERYTHING, after=feed.cursor)
    await add_requests(app, ada, BUFFER * 3)
    await caught_up(app)
    assert len(slow._buffer) <= BUFFER
    first = [e.position for e in await take(quick, BUFFER * 3)]
    assert [e.position for e in await take(slow, BUFFER * 3)] == first
    await add_request(app.db, ada)
    assert (await take(slow, 1))[0].position == (await take(quick, 1))[0].position


async def test_an_event_is_handed_only_to_the_watches_that_want_it(app: App, feed: Feed, ada: User) -> None:
    linus = await add_user(app.db, "linus")
    await caught_up(app)
    offered: list[Watch] = []

    class Counted(Watch):
        def offer(self, event: ChangeEvent) -> None:
            offered.append(self)
            super().offer(event)

    others = [
        Counted(feed, Interest((STATUS._replace(owner_id=1000 + n),), EVERYTHING), Lifetime(), feed.cursor)
        for n in range(500)
    ]
    mine = Counted(feed, Interest((STATUS._replace(owner_id=linus.id),), EVERYTHING), Lifetime(), feed.cursor)
    await add_request(app.db, linus)
    await take(mine, 1)
    assert offered == [mine]
    for watch in (*others, mine):
        watch.close()
    assert feed.watches == 0


async def test_a_watch_sees_only_what_its_scope_allows_live_and_from_the_log(app: App, feed: Feed, ada: User) -> None:
    linus = await add_user(app.db, "linus")
    begin = await caught_up(app)
    scope = Scope(linus.id)
    live = feed.watch([Topic()], scope, after=Cursor(begin))
    for owner in (ada, linus, ada, linus):
        await add_request(app.db, owner)
    await caught_up(app)
    late = feed.watch([Topic()], scope, after=Cursor(begin))
    for watch in (live, late):
        assert {e.owner_id for e in await take(watch, 4)} == {linus.id}


async def test_an_event_that_two_topics_match_arrives_once(app: App, feed: Feed, ada: User) -> None:
    watch = feed.watch([Topic(owner_id=ada.id), Topic("FuelRequest")], EVERYTHING, after=feed.cursor)
    await add_request(app.db, ada)
    await add_request(app.db, ada)
    positions = [e.position for e in await take(watch, 4)]
    assert positions == sorted(set(positions))


async def test_a_lost_doorbell_costs_only_the_time_until_the_next_poll(app: App, feed: Feed, ada: User) -> None:
    app.db._on_commit.clear()
    watch = feed.watch([STATUS], EVERYTHING, after=feed.cursor)
    await add_request(app.db, ada)
    assert len(await take(watch, 1)) == 1


async def test_repeated_rings_repeat_nothing(app: App, feed: Feed, ada: User) -> None:
    watch = feed.watch([STATUS], EVERYTHING, after=feed.cursor)
    for _ in range(3):
        await add_request(app.db, ada)
        for _ in range(5):
            app.doorbell.announce()
            await caught_up(app)
    assert len({e.position for e in await take(watch, 3)}) == 3
    assert not watch._buffer


async def test_a_pruned_cursor_is_told_so_with_the_oldest_one_that_works(app: App, feed: Feed, ada: User) -> None:
    await add_requests(app, ada, 3)
    await caught_up(app)
    pruned = await app.db.write(log.prune, datetime.now(UTC) + timedelta(days=1))
    assert pruned > 0
    with pytest.raises(CursorExpired) as expired:
        await take(feed.watch([STATUS], EVERYTHING, after=Cursor(1)), 1)
    oldest = parse_cursor(expired.value.oldest_cursor)
    assert oldest.position == feed.position
    watch = feed.watch([STATUS], EVERYTHING, after=oldest)
    await add_request(app.db, ada)
    assert (await take(watch, 1))[0].position > oldest.position


async def test_a_reader_that_was_overtaken_by_pruning_is_told_so(app: App, feed: Feed, ada: User) -> None:
    slow = feed.watch([STATUS], EVERYTHING, after=feed.cursor)
    await add_requests(app, ada, BUFFER * 2)
    await caught_up(app)
    await app.db.write(log.prune, datetime.now(UTC) + timedelta(days=1))
    await take(slow, BUFFER)
    with pytest.raises(CursorExpired):
        await take(slow, 1)


async def test_a_feed_that_was_overtaken_by_pruning_ends_its_watches_instead_of_skipping(
    app: App, feed: Feed, ada: User
) -> None:
    watch = feed.watch([STATUS], EVERYTHING, after=feed.cursor)
    async with feed._looking:  # the process sleeps
        await add_request(app.db, ada)
        await move(app.db)
        await app.db.write(log.prune, datetime.now(UTC) + timedelta(days=1))
    with pytest.raises(CursorExpired):
        await take(watch, 1)
    again = feed.watch([STATUS], EVERYTHING, after=feed.cursor)
    await add_request(app.db, ada)
    await take(again, 1)


async def test_positions_are_never_given_out_again_after_pruning(app: App, feed: Feed, ada: User) -> None:
    last = (await logged(app.db))[-1].position
    await app.db.write(log.prune, datetime.now(UTC) + timedelta(days=1))
    assert await app.db.read(log.head) == last
    await add_request(app.db, ada)
    assert (await logged(app.db))[0].position > last


async def test_a_cursor_from_elsewhere_is_refused(feed: Feed) -> None:
    with pytest.raises(CursorExpired):
        await take(feed.watch([STATUS], EVERYTHING, after=Cursor(10**12)), 1)
    for text in ("", "-1", "1.5", "abc", "٣", "9" * 19):
        with pytest.raises(Invalid):
            parse_cursor(text)


def lifetime_of(user: User, feed: Feed) -> Lifetime:
    return Lifetime({Topic("User", "role", user.public_id): Forbidden()}, feed.position)


async def test_a_watch_ends_at_the_event_that_revokes_it_and_drops_what_it_held(
    app: App, feed: Feed, ada: User
) -> None:
    from gql_app.accounts.roles import Role

    watch = feed.watch([STATUS], EVERYTHING, after=feed.cursor, lifetime=lifetime_of(ada, feed))

    def demote_and_add(session: Session) -> None:
        session.get_one(User, ada.id).role = Role.APPROVER
        session.add(FuelRequest(requester_id=ada.id, litres=1))

    await add_request(app.db, ada)
    await caught_up(app)
    await app.db.write(demote_and_add)
    await caught_up(app)
    with pytest.raises(Forbidden):
        await take(watch, 1)


async def test_a_revocation_between_the_look_up_of_the_viewer_and_the_opening_counts(
    app: App, feed: Feed, ada: User
) -> None:
    from gql_app.accounts.roles import Role

    lifetime = lifetime_of(ada, feed)

    def promote(session: Session) -> None:
        session.get_one(User, ada.id).role = Role.ADMIN

    await app.db.write(promote)
    await caught_up(app)
    watch = feed.watch([STATUS], EVERYTHING, after=feed.cursor, lifetime=lifetime)
    await add_request(app.db, ada)
    with pytest.raises(Forbidden):
        await take(watch, 1)


async def test_a_watch_ends_when_its_session_expires(feed: Feed) -> None:
    soon = datetime.now(UTC) + timedelta(milliseconds=20)
    watch = feed.watch([STATUS], EVERYTHING, after=feed.cursor, lifetime=Lifetime(expires_at=soon, as_of=10**6))
    with pytest.raises(Unauthenticated):
        await take(watch, 1)


async def test_the_feed_survives_a_database_that_fails_for_a_while(app: App, feed: Feed, ada: User) -> None:
    watch = feed.watch([STATUS], EVERYTHING, after=feed.cursor)

    def fail(*args: object) -> None:
        raise OSError("the disk is on holiday")

    for engine in app.db.sync_engines:
        sa_event.listen(engine, "before_cursor_execute", fail)
    try:
        with pytest.raises(OSError, match="holiday"):
            await caught_up(app)
    finally:
        for engine in app.db.sync_engines:
            sa_event.remove(engine, "before_cursor_execute", fail)
    await add_request(app.db, ada)
    assert len(await take(watch, 1)) == 1


async def test_the_floor_of_the_log_never_goes_back(postgres_url: str) -> None:
    """Two machines prune at the same time, with a moment between what they take for old."""
    db = service_database(postgres_url)
    ada = await add_user(db)
    for _ in range(3):
        await add_request(db, ada)
    events = await logged(db)
    early = events[3].occurred_at + timedelta(microseconds=1)
    late = datetime.now(UTC) + timedelta(seconds=1)
    await db.write(lambda session: session.add(ChangeLogState(id=1, pruned_through=0)))
    with right_before(db, "DELETE FROM change_events", lambda: await_only(db.write(log.prune, late))):
        await db.write(log.prune, early)
    assert await db.read(log.floor) == await head_of(db) == events[-1].position
    with pytest.raises(CursorExpired):
        await db.read(log.page, events[5].position, None)
    await db.close()


def test_a_session_is_an_entity_whose_end_is_tracked() -> None:
    """The names that streams listen to (`Viewer.lifetime`) are those of the models."""
    from gql_app.changes.tracking import tracked_attributes

    assert "revoked_at" in tracked_attributes(AuthSession)
    assert AuthSession.__entity__ == "Session"
    assert "role" in tracked_attributes(User)


async def everything(watch: Watch) -> list[int]:
    """The positions of all that the watch has to hand out."""
    found = []
    while (event := await watch.fetch()) is not None:
        found.append(event.position)
    watch.close()
    return found


async def test_many_who_catch_up_on_the_same_are_read_for_once(app: App, feed: Feed, ada: User) -> None:
    begin = feed.position
    await add_requests(app, ada, 10 * BUFFER)
    await caught_up(app)
    seen: list[str] = []

    def note(connection: object, cursor: object, statement: str, *rest: object) -> None:
        if (
            "FROM change_events" in statement and "change_events.entity_type =" in statement
        ):  # a page, not the feed's look
            seen.append(statement)

    for engine in app.db.sync_engines:
        sa_event.listen(engine, "before_cursor_execute", note)
    watches = [feed.watch([STATUS], EVERYTHING, after=Cursor(begin)) for _ in range(50)]
    found = await asyncio.gather(*(everything(watch) for watch in watches))
    assert len(found[0]) == 10 * BUFFER
    assert found[0] == sorted(set(found[0]))
    assert found == [found[0]] * 50
    assert len(seen) < 100  # 50 watches x 10 pages; the last page of each is not full, and read for each


async def test_who_catches_up_does_not_hold_up_who_keeps_up(app: App, feed: Feed, ada: User) -> None:
    begin = feed.position
    await add_requests(app, ada, 10 * BUFFER)
    await caught_up(app)
    live = feed.watch([STATUS], EVERYTHING, after=feed.cursor)
    rounds = 0

    async def go_round() -> None:
        nonlocal rounds
        while True:
            rounds += 1
            await asyncio.sleep(0)

    others = asyncio.create_task(go_round())
    watches = [feed.watch([STATUS], EVERYTHING, after=Cursor(begin)) for _ in range(40)]
    await asyncio.gather(*(everything(watch) for watch in watches))
    others.cancel()
    await add_request(app.db, ada)
    assert len(await take(live, 1)) == 1
    assert rounds > 40 * 10 / 4  # a few pages are given out per round, not all of them in one


async def test_pages_that_were_kept_do_not_hide_that_the_log_was_pruned(app: App, feed: Feed, ada: User) -> None:
    begin = feed.position
    await add_requests(app, ada, 2 * BUFFER)
    await caught_up(app)
    assert len(await everything(feed.watch([STATUS], EVERYTHING, after=Cursor(begin)))) == 2 * BUFFER
    await app.db.write(log.prune, datetime.now(UTC) + timedelta(days=1))
    with pytest.raises(CursorExpired):
        await everything(feed.watch([STATUS], EVERYTHING, after=Cursor(begin)))


async def test_who_comes_while_the_feed_jumps_over_what_was_pruned_is_told(
    app: App, feed: Feed, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, opened = app.db.read, list[Watch]()

    async def read_slowly(work: Any, *args: Any) -> Any:
        if work is log.end and not opened:
            opened.append(feed.watch([STATUS], EVERYTHING, after=feed.cursor))
        return await read(work, *args)

    async with feed._looking:
        await add_requests(app, ada, 3)
        await move(app.db)
        await app.db.write(log.prune, datetime.now(UTC) + timedelta(days=1))
        monkeypatch.setattr(app.db, "read", read_slowly)
    await feed.look()
    with pytest.raises(CursorExpired):
        await take(opened[0], 1)


async def test_what_is_pruned_while_a_page_is_read_is_not_missed(
    app: App, feed: Feed, ada: User, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On PostgreSQL each statement of a page sees the database anew."""
    await add_requests(app, ada, 3)
    await caught_up(app)
    floor, start, end = log.floor, await app.db.read(log.floor), feed.position

    async def prune() -> None:
        other = service_database(database_url)
        await other.write(log.prune, datetime.now(UTC) + timedelta(days=1), 4)
        await other.close()

    def floor_and_prune(session: Session) -> int:
        monkeypatch.setattr(log, "floor", floor)
        found = floor(session)
        thread = threading.Thread(target=asyncio.run, args=(prune(),))
        thread.start()
        thread.join()
        return found

    monkeypatch.setattr(log, "floor", floor_and_prune)
    try:
        found = [each.position for each in await app.db.read(log.page, start, None)]
    except CursorExpired:
        return
    assert found == list(range(start + 1, end + 1))
