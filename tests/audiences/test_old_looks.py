"""What was loaded in parts, flagged or given in another type: the log says what the row holds."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Boolean, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, configure_mappers, mapped_column
from sqlalchemy.orm.attributes import flag_modified
from sqlalchemy.util import await_only

from gql_app.accounts import sessions
from gql_app.accounts.models import User
from gql_app.accounts.roles import Role
from gql_app.api.authentication import Credentials
from gql_app.app import App
from gql_app.audiences import Audience, owner, registry
from gql_app.audiences.conditions import visible
from gql_app.changes import log, pages
from gql_app.changes.models import AUDIENCE
from gql_app.changes.scope import Interest, Scope
from gql_app.changes.topics import Topic
from gql_app.changes.tracking import Tracked, tracked
from gql_app.db import BigId, Database
from gql_app.errors import Unauthenticated
from gql_app.viewer import with_keys
from tests.audiences.acting import act
from tests.audiences.doing import RENTAL, boats, do, join
from tests.audiences.listening import context, itself, viewer_of
from tests.audiences.models import Rental
from tests.audiences.world import Change, Create, primary_key
from tests.things import caught_up, logged


class OldBase(DeclarativeBase):
    """Of its own: this table is in no migration."""


class Note(Tracked, OldBase):
    """Hidden by a column that is given as a number."""

    __tablename__ = "aud_old_notes"
    __entity__ = "AudOldNote"
    __audience__ = Audience(owner("user_id"), unless="gone")

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    user_id: Mapped[int] = mapped_column(BigId)
    gone: Mapped[bool] = mapped_column(Boolean, default=0)
    status: Mapped[str] = tracked()


configure_mappers()
registry.discard(Note)


@pytest.fixture
def note() -> Iterator[None]:
    registry.add(Note)
    yield
    registry.discard(Note)


def rented(by: User, of: User) -> Create:
    return Create("Rental", RENTAL, {"status": "a", "renter_id": by.id, "landlord_id": of.id})


def the_rental(session: Session) -> Any:
    return session.get_one(Rental, primary_key("Rental", RENTAL))


@pytest.mark.only_on("postgres", reason="SQLite has one writer at a time")
async def test_an_owner_that_is_older_than_the_version_is_loaded_anew(site: App, users: list[User]) -> None:
    ada, bea, cleo = users[:3]
    await do(site, rented(ada, cleo))
    start, loaded, changed = site.feed.position, asyncio.Event(), asyncio.Event()

    def overtaken(session: Session) -> None:
        rental = the_rental(session)
        loaded.set()
        await_only(changed.wait())
        session.refresh(rental, ["version", "status"], with_for_update=True)
        rental.status = "secret"

    task = asyncio.create_task(site.db.write(overtaken))
    await loaded.wait()
    await site.db.write(act, [Change("Rental", RENTAL, {"renter_id": bea.id})])
    changed.set()
    await task
    moved, told = await logged(site.db, "AudRental", start)
    assert (moved.attribute, moved.owner_id) == (AUDIENCE, bea.id)
    assert (told.new_value, told.owner_id) == ("secret", bea.id)


async def test_an_owner_that_is_only_flagged_as_changed_is_looked_up(site: App, users: list[User]) -> None:
    ada, bea, cleo = users[:3]
    await do(site, rented(ada, cleo))
    start = site.feed.position

    def hand_over(session: Session) -> None:
        rental = the_rental(session)
        flag_modified(rental, "renter_id")
        rental.renter_id = bea.id

    await site.db.write(hand_over)
    (moved,) = await logged(site.db, "AudRental", start)
    assert moved.owner_id == bea.id
    assert moved.lost == {f"user:{ada.id}"}


@pytest.mark.only_on("sqlite", reason="PostgreSQL's driver refuses it")
@pytest.mark.unwitnessed("the triggers do not know this table")
@pytest.mark.usefixtures("note")
async def test_a_number_in_place_of_a_truth_value_hides_nothing(tables: Database, users: list[User]) -> None:
    ada = users[0]
    async with tables.writing() as connection:
        await connection.run_sync(OldBase.metadata.create_all)
    await tables.write(lambda session: session.add(Note(id=1, user_id=ada.id, status="a")))
    (told,) = await logged(tables, "AudOldNote")
    assert told.owner_id == ada.id
    viewer = viewer_of(ada, 0)
    assert await tables.read(lambda session: session.scalars(select(Note.id).where(visible(Note, viewer))).all()) == [1]


async def test_a_sign_out_behind_many_memberships_ends_a_stream_that_is_opened_late(
    site: App, users: list[User]
) -> None:
    ada, bea = users[:2]
    begin = lambda session: sessions.begin(session, session.get_one(User, ada.id), timedelta(days=1))  # noqa: E731
    token = (await site.db.write(begin)).token
    viewer = await sessions.authenticate(Credentials(token, "", site.db, await caught_up(site)))
    assert viewer is not None
    for number in (1_000, 2_000):
        await do(site, *[join(bea, number + each) for each in range(300)])
    await site.db.write(lambda session: sessions.revoke(sessions.sessions_of(session, ada.id)))
    await caught_up(site)
    stream = context(site, viewer).stream([Topic("AudRental")], None, itself)
    with pytest.raises(Unauthenticated):
        await stream.watch.fetch()
    await stream.aclose()


@pytest.mark.only_on("postgres", reason="a read is one snapshot on SQLite")
async def test_a_page_of_the_audit_log_jumps_over_nothing(
    site: App, users: list[User], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is committed while it is read is in it as a whole, or not at all."""
    ada, bea = users[:2]
    start = await do(site, join(ada))
    viewer = await with_keys(site.db, viewer_of(ada, start))
    interest = Interest.of([Topic()], viewer.scope)
    head = log.head

    async def more() -> None:
        await site.db.write(act, [rented(ada, bea)])
        await site.db.write(act, boats(1))
        await caught_up(site)

    def head_in_between(session: Session) -> int:
        found = head(session)
        await_only(more())
        return found

    def page(session: Session, after: int) -> list[int]:
        window = pages.window(session, interest, after=after, before=None, limit=10, backward=False)
        return [each.position for each in window]

    monkeypatch.setattr(log, "head", head_in_between)
    first = await site.db.read(page, start)
    monkeypatch.setattr(log, "head", head)
    second = await site.db.read(page, first[-1] if first else start)
    mine = [each.position for each in await logged(site.db, None, start) if viewer.scope.sees(each)]
    assert first + second == mine


async def test_a_shared_scope_says_what_it_does_not_decide(site: App, users: list[User]) -> None:
    """Approvers have the guides in common, and not their memberships."""
    member = Scope(7, frozenset({"AudGuide"}), keys=frozenset({"organisation:1"}))
    shared = member.about([Topic("AudGuide")])
    assert shared == replace(member, owner_id=8, keys=frozenset()).about([Topic("AudGuide")])
    assert shared.decides("AudGuide")
    assert not shared.decides("AudBoat")
    assert not shared.decides("AudRental")
    viewer = replace(viewer_of(users[0], 0, Role.APPROVER), granted=frozenset())
    answer = context(site, viewer).fresh(viewer, shared)
    assert [*answer.who_may_see("AudGuide")] == [shared]
    seen = [(holder, answer.private) for holder in answer.who_may_see("AudBoat")]
    assert seen == [(shared, False), (viewer, True)]  # what is found with what they have in common is for all of them
    of_one = Scope(7).about([Topic("AudRental")])
    assert of_one.decides("AudRental")
    assert of_one.decides("AudDiary")
    assert not of_one.decides("AudGuide")
