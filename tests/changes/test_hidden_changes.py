"""Changes that are easy to miss: what the session does not show, and what others do in between."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from sqlalchemy import ForeignKey, String, event, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, load_only, mapped_column, relationship
from sqlalchemy.util import await_only

from gql_app.accounts.models import User
from gql_app.changes.tracking import Tracked, tracked
from gql_app.db import BigId, Database
from gql_app.deliveries.rules import on_change
from gql_app.demo.fuel_requests.models import FuelRequest, FuelRequestStatus
from tests.ruling import besides, service_database
from tests.things import add_request, add_user, head_of, logged, new_request, said
from tests.witness import triggers
from tests.witness.witnessed import Witnessed


class Base(DeclarativeBase):
    """Of its own: these tables are in no migration."""


class Harbour(Tracked, Base):
    __tablename__ = "harbours"
    __entity__ = "Harbour"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    boats: Mapped[list["Boat"]] = relationship(back_populates="harbour", cascade="all, delete-orphan")


class Boat(Tracked, Base):
    __tablename__ = "boats"
    __entity__ = "Boat"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    berth: Mapped[str | None] = tracked(String(40))
    harbour_id: Mapped[int] = mapped_column(BigId, ForeignKey("harbours.id"))
    harbour: Mapped[Harbour] = relationship(back_populates="boats")


@pytest.fixture
async def harbours(db: Database, witnessed: Witnessed) -> AsyncIterator[Database]:
    witnessed.models += [Harbour, Boat]
    async with db.writing() as connection:
        await connection.run_sync(Base.metadata.create_all)
        await connection.run_sync(triggers.install, witnessed.models)
    yield db
    async with db.writing() as connection:
        await connection.run_sync(Base.metadata.drop_all)


async def test_what_was_never_set_and_is_set_after_a_flush_is_told(db: Database) -> None:
    ada = await add_user(db)

    def in_two_steps(session: Session) -> FuelRequest:
        request = new_request(ada)
        session.add(request)
        session.flush()
        request.note = "first"
        return request

    request = await db.write(in_two_steps)
    assert ("CREATED", "note", None, "first") in await said(db, "FuelRequest")
    start = await head_of(db)

    def later(session: Session) -> None:
        session.add(request)
        request.decision_note = "second"

    await db.write(later)
    assert await said(db, "FuelRequest", start) == [("UPDATED", "decision_note", None, "second")]


async def test_who_takes_over_a_deleted_ones_key_is_told_as_new(db: Database) -> None:
    """SQLite gives the highest id out again."""
    ada = await add_user(db)
    old = await add_request(db, ada)
    start = await head_of(db)

    def replace(session: Session) -> FuelRequest:
        session.delete(session.get_one(FuelRequest, old.id))
        session.flush()
        new = FuelRequest(id=old.id, requester_id=ada.id, litres=5)
        session.add(new)
        return new

    new = await db.write(replace)
    told = [(e.kind.name, e.attribute, e.entity_id) for e in await logged(db, "FuelRequest", start)]
    assert told == [
        ("DELETED", None, old.public_id),
        ("CREATED", "status", new.public_id),
        ("CREATED", "litres", new.public_id),
    ]
    assert await said(db, "Delivery", start) == []


async def test_who_takes_over_a_row_in_the_same_flush_is_told_as_new(harbours: Database) -> None:
    def build(session: Session) -> None:
        session.add(Harbour(boats=[Boat(name="Ada", berth="1")]))

    await harbours.write(build)
    start = await head_of(harbours)

    def switch(session: Session) -> None:
        boat = session.get_one(Boat, "Ada")
        session.delete(boat)
        session.add(Boat(name="Ada", berth="2", harbour_id=boat.harbour_id))

    await harbours.write(switch)
    events = await logged(harbours, "Boat", start)
    assert [(e.kind.name, e.attribute, e.new_value) for e in events] == [
        ("DELETED", None, None),
        ("CREATED", "berth", "2"),
    ]
    assert events[0].entity_id != events[1].entity_id


async def test_orphans_that_the_flush_deletes_are_told(harbours: Database) -> None:
    def build(session: Session) -> None:
        session.add(Harbour(boats=[Boat(name="Ada", berth="1"), Boat(name="Bob")]))

    await harbours.write(build)
    start = await head_of(harbours)

    def empty(session: Session) -> None:
        harbour = session.scalars(select(Harbour)).one()
        harbour.boats.clear()
        session.flush()

    await harbours.write(empty)
    assert [entry[:2] for entry in await said(harbours, "Boat", start)] == [("DELETED", None)] * 2


@pytest.mark.filterwarnings("ignore:The `objects` parameter")
async def test_what_was_not_flushed_and_is_discarded_was_never_said(db: Database) -> None:
    ada = await add_user(db)
    await add_request(db, ada, note="a")
    await add_request(db, ada, note="b")
    start = await head_of(db)

    def only_the_first(session: Session) -> None:
        first, second = session.scalars(select(FuelRequest).order_by(FuelRequest.id)).all()
        first.note, second.note = "a2", "b2"
        session.flush([first])
        session.refresh(second)

    await db.write(only_the_first)
    assert await said(db, "FuelRequest", start) == [("UPDATED", "note", "a", "a2")]


async def test_a_rule_that_changes_something_and_reads_is_refused(db: Database) -> None:
    request = await add_request(db, await add_user(db))

    @besides(db)
    @on_change(FuelRequest.status, propagate=True)
    def meddle(change: Any) -> tuple[()]:
        change.subject.note = "by a rule"
        change.session.scalar(select(User.id))  # flushes it
        return ()

    def approve(session: Session) -> None:
        session.get_one(FuelRequest, request.id).status = FuelRequestStatus.APPROVED

    with pytest.raises(RuntimeError, match="rule changed"):
        await db.write(approve)


async def test_an_object_that_was_changed_outside_is_refused(db: Database) -> None:
    """If it had to be run again, nothing of the change would be left, and success would be told."""
    request = await add_request(db, await add_user(db))
    request.note = "changed outside"
    with pytest.raises(TypeError, match="outside"):
        await db.write(lambda session: session.add(request))


def refreshed(session: Session, request: FuelRequest) -> None:
    session.refresh(request, ["version"])


def expired(session: Session, request: FuelRequest) -> None:
    session.expire(request, ["version"])
    assert request.version


ANEW = [refreshed, expired]


def write_note(session: Session, request_id: int, note: str) -> None:
    session.get_one(FuelRequest, request_id).note = note


@pytest.mark.parametrize("load_anew", ANEW)
async def test_an_old_value_is_not_older_than_the_version_that_is_compared(
    postgres_url: str, load_anew: Callable[[Session, FuelRequest], None]
) -> None:
    """The version was loaded anew alone, after another transaction; SQLite has one writer at a time."""
    db = service_database(postgres_url)
    request = await add_request(db, await add_user(db), note="a")
    start = await head_of(db)

    def overtaken(session: Session) -> None:
        mine = session.get_one(FuelRequest, request.id)
        await_only(db.write(write_note, request.id, "b"))
        load_anew(session, mine)
        assert mine.requester_id == request.requester_id
        assert mine.litres == request.litres
        mine.note = "c"

    await db.write(overtaken)
    assert [(e.old_value, e.new_value) for e in await logged(db, "FuelRequest", start)] == [("a", "b"), ("b", "c")]
    await db.close()


@pytest.mark.parametrize("load_anew", ANEW)
async def test_what_was_changed_before_the_version_was_loaded_anew_replaces_what_is_in_the_row(
    postgres_url: str, load_anew: Callable[[Session, FuelRequest], None]
) -> None:
    db = service_database(postgres_url)
    request = await add_request(db, await add_user(db), note="a")
    start = await head_of(db)

    def overtaken(session: Session) -> None:
        with session.no_autoflush:
            mine = session.get_one(FuelRequest, request.id)
            mine.note = "c"
            await_only(db.write(write_note, request.id, "b"))
            load_anew(session, mine)

    await db.write(overtaken)
    assert [(e.old_value, e.new_value) for e in await logged(db, "FuelRequest", start)] == [("a", "b"), ("b", "c")]
    await db.close()


async def test_what_was_loaded_without_its_version_can_be_changed(db: Database) -> None:
    request = await add_request(db, await add_user(db), note="a")
    start = await head_of(db)

    def change(session: Session) -> None:
        query = select(FuelRequest).options(load_only(FuelRequest.note)).where(FuelRequest.id == request.id)
        session.scalars(query).one().note = "b"

    await db.write(change)
    assert [(e.old_value, e.new_value) for e in await logged(db, "FuelRequest", start)] == [("a", "b")]


async def test_a_deleted_entity_was_its_owners_in_the_row(db: Database) -> None:
    ada, linus = await add_user(db), await add_user(db, "linus")
    request = await add_request(db, ada)
    start = await head_of(db)

    def give_away_and_delete(session: Session) -> None:
        mine = session.get_one(FuelRequest, request.id)
        session.expire(mine)
        mine.requester_id = linus.id
        session.delete(mine)

    await db.write(give_away_and_delete)
    assert [(e.kind.name, e.owner_id) for e in await logged(db, "FuelRequest", start)] == [("DELETED", ada.id)]


async def test_an_owner_is_assigned_as_a_value(db: Database) -> None:
    request = await add_request(db, await add_user(db))

    def by_an_expression(session: Session) -> None:
        session.get_one(FuelRequest, request.id).requester_id = select(User.id).limit(1).scalar_subquery()

    with pytest.raises(TypeError, match="decides who may see it: assign a value"):
        await db.write(by_an_expression)


async def test_a_commit_flushes_until_nothing_is_left(db: Database) -> None:
    """An author's listener adds an object after the flush of the commit."""
    ada = await add_user(db)
    start = await head_of(db)

    def add(session: Session) -> None:
        def one_more(session: Session, context: object) -> None:
            if not session.info.setdefault("added", False):
                session.info["added"] = True
                session.add(new_request(ada, note="second"))

        event.listen(session, "after_flush", one_more)
        session.add(new_request(ada, note="first"))

    await db.write(add)
    found = [e.new_value for e in await logged(db, "FuelRequest", start) if e.attribute == "note"]
    assert found == ["first", "second"]


async def test_what_a_listener_adds_before_a_flush_has_its_timestamps(db: Database) -> None:
    ada = await add_user(db)

    def add(session: Session) -> None:
        def one_more(session: Session, context: object, instances: object) -> None:
            session.add(new_request(ada, note="second"))

        event.listen(session, "before_flush", one_more)
        session.add(new_request(ada, note="first"))

    await db.write(add)
    rows = await db.read(lambda session: session.scalars(select(FuelRequest)).all())
    assert sorted(str(row.note) for row in rows) == ["first", "second"]
    assert all(row.created_at == row.updated_at for row in rows)
