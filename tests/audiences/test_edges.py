"""Where keys change while somebody looks: two processes, catching up, a look that is out of date at once."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from gql_app.accounts import sessions
from gql_app.accounts.models import User
from gql_app.accounts.roles import Role
from gql_app.app import App
from gql_app.changes.models import ChangeEvent
from gql_app.changes.topics import Topic
from gql_app.db import Database
from gql_app.settings import Settings
from gql_app.viewer import Viewer
from tests.audiences.acting import act
from tests.audiences.doing import FIRST_BOAT, MEMBERSHIP, OTHER, RENTAL, boats, do, join, positions, shown
from tests.audiences.listening import context, heard, itself, of_kinds, of_one, of_sights, seen, viewer_of
from tests.audiences.models import WITH_THEIRS
from tests.audiences.world import (
    BulkChange,
    Change,
    Create,
    Delete,
    Promote,
    Step,
    Where,
    primary_key,
    public_id,
)
from tests.things import caught_up, logged

PATIENCE = 10


async def test_another_process_hears_of_a_membership_and_of_what_it_opens(
    site: App, tables: Database, settings: Settings, users: list[User]
) -> None:
    ada = users[0]
    start = site.feed.position
    other = App(settings, WITH_THEIRS)
    async with other.running(deliver=False), asyncio.timeout(PATIENCE):
        viewer = viewer_of(ada, other.feed.position)
        live, sights = of_one(other, viewer, "Boat"), of_sights(other, viewer)
        await live.watch.fetch()
        await sights.watch.fetch()
        await site.db.write(act, boats(1))
        await site.db.write(act, [join(ada)])
        reload = await sights.__anext__()  # nothing but the other process's own look wakes it
        assert reload.kind.name == "RELOAD"
        assert await shown(other, "Boat", viewer) == {FIRST_BOAT}
        await site.db.write(act, [Change("Boat", FIRST_BOAT, {"status": "b"})])
        event = await live.__anext__()
        assert (event.attribute, event.new_value) == ("status", "b")
        await site.db.write(act, [Delete("Membership", MEMBERSHIP)])
        assert (await sights.__anext__()).kind.name == "RELOAD"
        await site.db.write(act, [Change("Boat", FIRST_BOAT, {"status": "c"})])
        await caught_up(other)
        assert await heard(live) == []
        assert await shown(other, "Boat", viewer) == set()
        late = of_one(other, viewer, "Boat", start)
        assert await heard(late) == [], "she holds the key no more"
        for each in (live, sights, late):
            await each.aclose()


@pytest.mark.parametrize("reads_meanwhile", [True, False])
@pytest.mark.parametrize("steps", [[Delete("Membership", MEMBERSHIP)], [Change("Membership", MEMBERSHIP, {"gone": 0})]])
async def test_a_member_is_removed_while_she_catches_up(
    site: App, users: list[User], steps: list[Step], reads_meanwhile: bool
) -> None:
    """What she comes past without the key is not told later; what she has still before her is."""
    ada = users[0]
    start = site.feed.position
    await do(site, join(ada))
    await do(site, *boats())
    stream = of_one(site, viewer_of(ada, site.feed.position), "Boat", start)
    first = [await stream.__anext__() for _ in range(10)]
    assert [each.position for each in first] == (await positions(site, "AudBoat"))[:10]
    await do(site, *steps)
    await do(site, BulkChange("Boat", Where("status", ("a",)), {"status": "b"}))
    if reads_meanwhile:
        assert await heard(stream) == []
    await do(site, join(ada, OTHER))
    rest = [each for each in await positions(site, "AudBoat") if each > first[-1].position]
    assert await heard(stream) == ([] if reads_meanwhile else rest)
    end = await do(site, Change("Boat", FIRST_BOAT, {"status": "c"}))
    assert await heard(stream) == [end]
    await stream.aclose()


async def test_an_authors_look_need_not_bring_the_keys(site: App, users: list[User]) -> None:
    """What memberships give is looked up in any case, in the models of the application."""
    ada = users[0]
    start = site.feed.position
    await do(site, join(ada), *boats())

    async def look(db: Database, viewer: Viewer) -> Viewer:
        return Viewer(viewer.id, viewer.roles, as_of=viewer.as_of)

    there = context(site, viewer_of(ada, site.feed.position))
    there.look_again = look
    stream = there.stream([Topic("AudBoat")], str(start), itself)
    assert await heard(stream)
    assert stream.viewer.catalog is site.application.catalog
    await stream.aclose()


async def test_a_look_at_ones_keys_that_is_out_of_date_at_once(site: App, users: list[User]) -> None:
    """She is removed after her keys were looked up, and before what they open is read."""
    ada = users[0]
    start = site.feed.position
    await do(site, join(ada), *boats())
    looks = 0

    async def look(db: Database, viewer: Viewer) -> Viewer:
        nonlocal looks
        looks += 1
        found = await sessions.look_again(db, viewer)
        if looks == 1:
            await do(site, Delete("Membership", MEMBERSHIP))
        return found

    there = context(site, viewer_of(ada, site.feed.position))
    there.look_again = look
    stream = there.stream([Topic("AudBoat")], str(start), itself)
    assert await heard(stream) == []
    assert looks == 2
    await stream.aclose()


async def test_a_page_that_is_out_of_date_when_it_was_read(
    site: App, users: list[User], monkeypatch: pytest.MonkeyPatch
) -> None:
    """She is removed, or joins anew, while a page is on its way."""
    ada = users[0]
    start = site.feed.position
    await do(site, join(ada), *boats())
    stream = of_one(site, viewer_of(ada, site.feed.position), "Boat", start)
    read = site.feed.history.page
    meanwhile: list[list[Step]] = [[Delete("Membership", MEMBERSHIP)], [join(ada, OTHER)]]

    async def page(*args: Any) -> Sequence[ChangeEvent]:
        found = await read(*args)
        if meanwhile:
            await do(site, *meanwhile.pop(0))
        return found

    monkeypatch.setattr(site.feed.history, "page", page)
    assert await heard(stream) == await positions(site, "AudBoat"), "she is in again before anything was handed out"
    await stream.aclose()
    meanwhile.append([Delete("Membership", OTHER)])
    stream = of_one(site, viewer_of(ada, site.feed.position), "Boat", start)
    assert await heard(stream) == []
    await stream.aclose()


@pytest.mark.parametrize(("then", "now", "count"), [("ADMIN", "USER", 0), ("USER", "ADMIN", 1)])
async def test_a_role_that_has_changed_since_she_was_looked_up(
    site: App, users: list[User], then: str, now: str, count: int
) -> None:
    ada, bea = users[:2]
    await do(site, Promote(ada.id, then))
    viewer = viewer_of(ada, site.feed.position, Role[then])
    start = await do(site, Promote(ada.id, now))
    await do(site, Create("Rental", RENTAL, {"status": "a", "renter_id": None, "landlord_id": bea.id}))
    stream = of_one(site, viewer, "Rental", start)
    assert len(await heard(stream)) == count
    await stream.aclose()


async def test_a_look_that_fails_is_made_again(site: App, users: list[User]) -> None:
    ada = users[0]
    await do(site, join(ada))
    fails = True

    async def look(db: Database, viewer: Viewer) -> Viewer:
        if fails:
            raise ConnectionError("the database is away")
        return await sessions.look_again(db, viewer)

    there = context(site, viewer_of(ada, site.feed.position))
    there.look_again = look
    stream = there.stream([Topic("AudBoat", "status")], None, itself)
    await do(site, *boats(3))
    with pytest.raises(ConnectionError, match="away"):
        await stream.watch.fetch()
    fails = False
    assert await heard(stream) == await positions(site, "AudBoat")
    await stream.aclose()


async def test_a_buffer_that_is_full_when_the_keys_change_loses_and_repeats_nothing(
    site: App, users: list[User]
) -> None:
    ada = users[0]
    await do(site, join(ada))
    stream = of_one(site, viewer_of(ada, site.feed.position), "Boat")
    assert await heard(stream) == []
    await do(site, *boats())
    first = [await stream.__anext__() for _ in range(5)]
    await do(site, join(ada, OTHER), Promote(ada.id, "APPROVER"))
    await do(site, Delete("Membership", MEMBERSHIP), Change("Boat", FIRST_BOAT, {"status": "b"}))
    assert [each.position for each in first] + await heard(stream) == await positions(site, "AudBoat")
    await stream.aclose()


async def test_an_old_owner_comes_back_when_her_rental_is_somebody_elses(site: App, users: list[User]) -> None:
    ada, bea, cleo = users[:3]
    start = site.feed.position
    values = {"status": "a", "renter_id": ada.id, "landlord_id": cleo.id}
    came = await do(site, Create("Rental", RENTAL, values)) - 1
    mine = await do(site, Change("Rental", RENTAL, {"status": "b"}))
    left = await do(site, Change("Rental", RENTAL, {"renter_id": bea.id}))
    await do(site, Change("Rental", RENTAL, {"status": "c"}))
    old, new = (viewer_of(user, site.feed.position) for user in (ada, bea))
    assert await shown(site, "Rental", old) == set()
    assert await shown(site, "Rental", new) == {RENTAL}
    stream, sights = of_kinds(site, old, start), of_sights(site, old, start)
    assert await heard(stream) == [came, came + 1, mine]
    assert [each[:2] for each in await seen(sights)] == [(came, "CAME"), (left, "LEFT")]
    gone = await do(site, Delete("Rental", RENTAL))
    assert await heard(stream) == []
    hers = of_sights(site, new, start)
    assert [each[:2] for each in await seen(hers)] == [(left, "CAME"), (gone, "LEFT")]
    for each in (stream, sights, hers):
        await each.aclose()


async def test_what_belongs_to_a_talk_follows_it_at_once_and_untold(site: App, users: list[User]) -> None:
    ada, bea = users[:2]
    talk, message, participant, other = 10, 11, 12, 13
    key = primary_key("Talk", talk)
    await do(
        site,
        Create("Talk", talk, {"status": "a"}),
        Create("Message", message, {"status": "a", "talk_id": key}),
        Create("Participant", participant, {"status": "a", "talk_id": key, "user_id": ada.id}),
    )
    start = site.feed.position
    viewer = viewer_of(bea, start)
    stream = of_one(site, viewer, "Message")
    assert await shown(site, "Message", viewer) == set()
    await do(site, Create("Participant", other, {"status": "a", "talk_id": key, "user_id": bea.id}))
    told = {each.entity_id for each in await logged(site.db, after=start)}
    assert told == {public_id(talk), public_id(other)}
    assert await shown(site, "Message", viewer) == {message}
    position = await do(site, Change("Message", message, {"status": "b"}))
    assert await heard(stream) == [position]
    await do(site, Delete("Participant", other))
    await do(site, Change("Message", message, {"status": "c"}))
    assert await heard(stream) == []
    assert await shown(site, "Message", viewer) == set()
    await stream.aclose()


async def test_the_writer_of_a_diary_hears_that_it_is_gone_with_its_pages(site: App, users: list[User]) -> None:
    """Found by the random programs: the end of a page named its reader by a key that no stream of pages asked for."""
    ada, root = users[:2]
    await do(site, Promote(root.id, "ADMIN"))
    hers, admins = viewer_of(ada, site.feed.position), viewer_of(root, site.feed.position, Role.ADMIN)
    await do(
        site,
        Create("Diary", 1, {"status": "a", "writer_id": ada.id}),
        Create("Page", 2, {"status": "a", "diary_id": 1}),
    )
    streams: list[Any] = []
    for viewer in (hers, replace(admins, as_of=site.feed.position)):
        there = context(site, viewer)
        streams.append(there.stream([Topic("AudPage")], None, itself))
    position = await do(site, Delete("Page", 2), Delete("Diary", 1))
    found: list[list[ChangeEvent]] = []
    for each in streams:
        event = await each.watch.fetch()
        found.append([] if event is None else [event])
        await each.aclose()
    assert [[(event.position, event.kind.name) for event in each] for each in found] == [
        [(position - 1, "DELETED")],
        [],
    ]
