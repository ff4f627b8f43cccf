"""Changes that are easy to miss: what the session does not show, and what others do in between."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import ForeignKey, String, delete, event, select, text, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship
from sqlalchemy.util import await_only

from gql_app.accounts.models import PremiumUser, User
from gql_app.changes import log
from gql_app.changes.models import ChangeLogState
from gql_app.changes.tracking import Tracked, tracked
from gql_app.db import BigId, Database
from gql_app.deliveries.rules import on_change, registrations
from gql_app.errors import CursorExpired
from gql_app.fuel_requests.models import FuelRequest, FuelRequestStatus
from gql_app.reconcile import reconcile
from tests.things import add_request, add_user, head_of, logged, new_premium_user, new_request, rows_of, said


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
async def harbours(db: Database) -> AsyncIterator[Database]:
    async with db.writing() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield db
    async with db.writing() as connection:
        await connection.run_sync(Base.metadata.drop_all)


@contextmanager
def before(db: Database, beginning: str, work: Any, *, once: bool = True) -> Iterator[None]:
    """Right before a statement that begins like this."""
    done = False

    def look(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        nonlocal done
        if statement.startswith(beginning) and not (done and once):
            done = True
            work()

    event.listen(db.engine.sync_engine, "before_cursor_execute", look)
    try:
        yield
    finally:
        event.remove(db.engine.sync_engine, "before_cursor_execute", look)


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

    @on_change(FuelRequest.status, propagate=True, sometimes=True)
    def meddle(change: Any) -> tuple[()]:
        change.subject.note = "by a rule"
        change.session.scalar(select(User.id))  # flushes it
        return ()

    def approve(session: Session) -> None:
        session.get_one(FuelRequest, request.id).status = FuelRequestStatus.APPROVED

    try:
        with pytest.raises(RuntimeError, match="rule changed"):
            await db.write(approve)
    finally:
        registrations[:] = [each for each in registrations if each.rule is not meddle]


@pytest.mark.parametrize(
    "statement",
    [
        select(FuelRequest).from_statement(update(FuelRequest).values(note="x").returning(FuelRequest)),
        select(FuelRequest).from_statement(text("UPDATE fuel_requests SET note = 'x' RETURNING *")),
        text("UPDATE fuel_requests SET note = 'x' RETURNING id").columns(FuelRequest.id),
        text("INSERT OR IGNORE INTO fuel_requests (id) VALUES (1)"),
    ],
)
async def test_statements_that_hide_a_change_are_refused(db: Database, statement: Any) -> None:
    with pytest.raises(TypeError, match="change log"):
        await db.write(lambda session: session.execute(statement).all())


@pytest.mark.parametrize("statement", [delete(PremiumUser), update(PremiumUser).values(premium_since=None)])
async def test_one_of_two_tables_is_not_changed_alone(db: Database, statement: Any) -> None:
    await db.write(lambda session: session.add(new_premium_user()))
    with pytest.raises(TypeError, match="PremiumUser"):
        await db.write(lambda session: session.execute(statement))
    assert len(await rows_of(db, PremiumUser)) == 1


async def test_an_object_that_was_changed_outside_is_refused(db: Database) -> None:
    """If it had to be run again, nothing of the change would be left, and success would be told."""
    request = await add_request(db, await add_user(db))
    request.note = "changed outside"
    with pytest.raises(TypeError, match="outside"):
        await db.write(lambda session: session.add(request))


async def test_what_comes_to_match_meanwhile_is_not_changed_unsaid(postgres_url: str) -> None:
    db = Database(postgres_url)
    ada = await add_user(db)
    await add_request(db, ada, note="a")
    other = await add_request(db, ada, note="b")

    def match_too(session: Session) -> None:
        session.get_one(FuelRequest, other.id).note = "a"

    def reject_all(session: Session) -> None:
        session.execute(update(FuelRequest).where(FuelRequest.note == "a").values(status=FuelRequestStatus.REJECTED))

    meanwhile = before(db, "UPDATE fuel_requests SET status", lambda: await_only(db.write(match_too)))
    with meanwhile:
        await db.write(reject_all)
    rows = await rows_of(db, FuelRequest)
    assert sorted(row.status.name for row in rows) == ["PENDING", "REJECTED"]
    assert await db.read(reconcile) == []
    await db.close()


async def test_the_floor_of_the_log_never_goes_back(postgres_url: str) -> None:
    """Two machines prune at the same time, with a moment between what they take for old."""
    db = Database(postgres_url)
    ada = await add_user(db)
    for _ in range(3):
        await add_request(db, ada)
    events = await logged(db)
    early = events[3].occurred_at + timedelta(microseconds=1)
    late = datetime.now(UTC) + timedelta(seconds=1)
    await db.write(lambda session: session.add(ChangeLogState(id=1, pruned_through=0)))
    with before(db, "DELETE FROM change_events", lambda: await_only(db.write(log.prune, late))):
        await db.write(log.prune, early)
    assert await db.read(log.floor) == await head_of(db) == events[-1].position
    with pytest.raises(CursorExpired):
        await db.read(log.page, events[5].position, None)
    await db.close()


async def test_a_check_looks_at_one_moment(postgres_url: str) -> None:
    """While others write: a row and its log belong together."""
    db = Database(postgres_url)
    request = await add_request(db, await add_user(db), note="a")

    def change(session: Session) -> None:
        found = session.get_one(FuelRequest, request.id)
        found.note = f"{found.note}b"

    def change_and_move() -> None:
        await_only(db.write(change))
        await_only(head_of(db))

    async with asyncio.timeout(20):
        with before(db, "SELECT change_events.entity_id, change_events.attribute", change_and_move, once=False):
            assert await db.read(reconcile) == []
    await db.close()
