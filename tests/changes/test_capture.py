"""Promises 1 and 3: what is rolled back is silent, what is committed is captured, as a net change."""

import asyncio
import itertools
from datetime import UTC, datetime

import pytest
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

from gql_app.accounts.models import PremiumUser, User
from gql_app.changes.capture import act_as
from gql_app.changes.sequencer import move
from gql_app.changes.tracking import tracked_attributes
from gql_app.db import Database, WriteSession
from gql_app.deliveries.models import Delivery
from gql_app.demo.fuel_requests.models import FuelRequest, FuelRequestStatus
from tests.things import HASH, add_request, add_user, logged, new_premium_user, new_request, new_user, rows_of, said

WRITERS = 12
"""Of one row: each gives way at most as often as there are others in flight, which are eight."""
APPROVED, REJECTED, PENDING = FuelRequestStatus.APPROVED, FuelRequestStatus.REJECTED, FuelRequestStatus.PENDING


class Oops(Exception):
    """What a unit of work raises in these tests."""


async def test_a_new_entity_is_recorded_with_its_initial_values(db: Database) -> None:
    await add_user(db, phone_number=None)
    assert await said(db, "User") == [
        ("CREATED", "username", None, "ada"),
        ("CREATED", "email", None, "ada@example.test"),
        ("CREATED", "role", None, "USER"),
        ("CREATED", "password_hash", None, None),
    ]


async def test_of_a_secret_only_the_change_is_recorded(db: Database) -> None:
    user = await add_user(db)
    before = (await logged(db))[-1].position

    def change(session: Session) -> None:
        session.get_one(User, user.id).password_hash = "$2b$04$" + "b" * 53

    await db.write(change)
    assert await said(db, "User", before) == [("UPDATED", "password_hash", None, None)]
    for table in ("change_events", "deliveries"):
        query = text(f"SELECT * FROM {table}")
        rows = await db.read(lambda session: session.execute(query).all())  # noqa: B023
        assert HASH not in repr(rows)
        assert "bbbbbb" not in repr(rows)


async def test_an_update_records_old_and_new_value_owner_and_actor(db: Database) -> None:
    ada = await add_user(db)
    grace = await add_user(db, "grace")
    request = await add_request(db, ada)
    before = (await logged(db))[-1].position

    def decide(session: Session) -> None:
        act_as(session, grace.id)
        session.get_one(FuelRequest, request.id).status = APPROVED

    await db.write(decide)
    (event,) = await logged(db, "FuelRequest", before)
    assert (event.attribute, event.old_value, event.new_value) == ("status", "PENDING", "APPROVED")
    assert (event.owner_id, event.actor_id, event.entity_id) == (ada.id, grace.id, request.public_id)
    assert abs((event.occurred_at - datetime.now(UTC)).total_seconds()) < 10


async def test_what_is_rolled_back_is_silent(db: Database) -> None:
    request = await add_request(db, await add_user(db))
    before, owed = await logged(db), len(await rows_of(db, Delivery))

    def change_and_fail(session: Session) -> None:
        session.get_one(FuelRequest, request.id).status = APPROVED
        session.flush()
        session.add(new_user("linus"))
        session.flush()
        raise Oops

    with pytest.raises(Oops):
        await db.write(change_and_fail)
    assert await logged(db) == before
    assert len(await rows_of(db, Delivery)) == owed


async def test_a_rolled_back_savepoint_in_a_committed_transaction_is_silent(db: Database) -> None:
    ada = await add_user(db)
    request = await add_request(db, ada)
    before, owed = (await logged(db))[-1].position, len(await rows_of(db, Delivery))

    def work(session: Session) -> None:
        found = session.get_one(FuelRequest, request.id)
        with pytest.raises(Oops), session.begin_nested():
            found.status = APPROVED
            session.add(new_request(ada, note="never"))
            session.flush()
            raise Oops
        found.note = "kept"

    await db.write(work)
    assert await said(db, "FuelRequest", before) == [("UPDATED", "note", None, "kept")]
    assert len(await rows_of(db, Delivery)) == owed


async def test_a_unit_of_work_that_rolls_back_and_goes_on_records_only_what_came_after(db: Database) -> None:
    request = await add_request(db, await add_user(db))
    before = (await logged(db))[-1].position

    def work(session: Session) -> None:
        session.get_one(FuelRequest, request.id).status = APPROVED
        session.flush()
        session.rollback()
        session.get_one(FuelRequest, request.id).note = "after"

    await db.write(work)
    assert await said(db, "FuelRequest", before) == [("UPDATED", "note", None, "after")]


async def test_a_released_savepoint_counts_and_one_within_a_rolled_back_one_does_not(db: Database) -> None:
    request = await add_request(db, await add_user(db))
    before = (await logged(db))[-1].position

    def work(session: Session) -> None:
        found = session.get_one(FuelRequest, request.id)
        with session.begin_nested():
            found.note = "released"
            with session.begin_nested():
                found.litres = found.litres + 1
        with pytest.raises(Oops), session.begin_nested():
            with session.begin_nested():
                found.status = APPROVED
            raise Oops
        session.begin_nested()
        found.status = REJECTED
        session.flush()
        # left open: the commit of the transaction releases it

    await db.write(work)
    assert await said(db, "FuelRequest", before) == [
        ("UPDATED", "note", None, "released"),
        ("UPDATED", "litres", "10.00", "11.00"),
        ("UPDATED", "status", "PENDING", "REJECTED"),
    ]


async def test_a_savepoint_that_restores_an_older_value_leaves_the_net_change(db: Database) -> None:
    request = await add_request(db, await add_user(db))
    before = (await logged(db))[-1].position

    def work(session: Session) -> None:
        found = session.get_one(FuelRequest, request.id)
        found.status = APPROVED
        session.flush()
        with pytest.raises(Oops), session.begin_nested():
            found.status = REJECTED
            session.flush()
            raise Oops

    await db.write(work)
    assert await said(db, "FuelRequest", before) == [("UPDATED", "status", "PENDING", "APPROVED")]


@pytest.mark.parametrize("flush", [False, True])
async def test_there_and_back_in_one_transaction_says_nothing(db: Database, flush: bool) -> None:
    request = await add_request(db, await add_user(db))
    before = (await logged(db))[-1].position

    def there_and_back(session: Session) -> None:
        found = session.get_one(FuelRequest, request.id)
        for status in (APPROVED, REJECTED, PENDING):
            found.status = status
            if flush:
                session.flush()

    await db.write(there_and_back)
    assert await logged(db, after=before) == []


async def test_several_flushes_are_one_change_from_the_first_to_the_last_value(db: Database) -> None:
    ada = await add_user(db)
    before = (await logged(db))[-1].position

    def work(session: Session) -> None:
        request = new_request(ada)
        session.add(request)
        session.flush()
        request.status = APPROVED
        session.flush()
        request.status = REJECTED

    await db.write(work)
    kinds = [(kind, attribute, new) for kind, attribute, _, new in await said(db, "FuelRequest", before)]
    assert kinds == [("CREATED", "status", "REJECTED"), ("CREATED", "litres", "10.00")]


async def test_assigning_the_same_value_says_nothing_and_touches_no_timestamp(db: Database) -> None:
    request = await add_request(db, await add_user(db))
    before = (await logged(db))[-1].position

    def assign(session: Session) -> tuple[datetime, int]:
        found = session.get_one(FuelRequest, request.id)
        found.status = PENDING
        found.note = None
        session.flush()
        return found.updated_at, found.version

    assert await db.write(assign) == (request.updated_at, request.version)
    assert await logged(db, after=before) == []


async def test_a_net_change_moves_updated_at_but_never_created_at(db: Database) -> None:
    request = await add_request(db, await add_user(db))

    def change(session: Session) -> FuelRequest:
        found = session.get_one(FuelRequest, request.id)
        found.note = "new"
        return found

    changed = await db.write(change)
    assert changed.created_at == request.created_at
    assert changed.updated_at > request.updated_at
    assert changed.updated_at.tzinfo is not None


async def test_an_expired_attribute_is_recorded_with_the_value_that_was_replaced(db: Database) -> None:
    request = await add_request(db, await add_user(db))
    before = (await logged(db))[-1].position

    def change(session: Session) -> None:
        found = session.get_one(FuelRequest, request.id)
        session.expire(found)
        found.status = APPROVED

    await db.write(change)
    assert await said(db, "FuelRequest", before) == [("UPDATED", "status", "PENDING", "APPROVED")]


async def test_a_deleted_entity_is_recorded_once(db: Database) -> None:
    request = await add_request(db, await add_user(db))
    before = (await logged(db))[-1].position

    def delete(session: Session) -> None:
        found = session.get_one(FuelRequest, request.id)
        found.status = APPROVED
        session.flush()
        session.delete(found)

    await db.write(delete)
    assert await said(db, "FuelRequest", before) == [("DELETED", None, None, None)]


async def test_an_entity_created_and_deleted_in_one_transaction_was_never_there(db: Database) -> None:
    ada = await add_user(db)
    before = (await logged(db))[-1].position

    def come_and_go(session: Session) -> None:
        request = new_request(ada)
        session.add(request)
        session.flush()
        session.delete(request)

    await db.write(come_and_go)
    assert await logged(db, after=before) == []


async def test_subclasses_by_inheritance_are_the_same_kind_of_entity(db: Database) -> None:
    def add(session: Session) -> PremiumUser:
        user = new_premium_user()
        session.add(user)
        return user

    user = await db.write(add)
    before = (await logged(db))[-1].position
    assert {event.entity_type for event in await logged(db)} == {"User", "Delivery"}

    def change(session: Session) -> None:
        session.get_one(User, user.id).email = "new@example.test"

    await db.write(change)
    assert await said(db, "User", before) == [("UPDATED", "email", "ada@example.test", "new@example.test")]
    assert tracked_attributes(PremiumUser) == tracked_attributes(User)


async def test_all_that_is_committed_together_has_one_change_set(db: Database) -> None:
    def work(session: Session) -> None:
        ada, linus = new_user("ada"), new_user("linus")
        session.add_all([ada, linus])
        session.flush()
        session.add(new_request(linus))

    await db.write(work)
    await add_user(db, "grace")
    sets = [event.change_set for event in await logged(db)]
    assert len(set(sets)) == 2
    assert sorted(sets, key=sets.index) == sets


async def test_positions_follow_the_order_of_commits_of_concurrent_writers(db: Database) -> None:
    """Whatever was committed before something else began has the lower position."""
    ada = await add_user(db)
    spans: dict[object, tuple[int, int]] = {}
    clock = itertools.count()

    async def write(number: int) -> None:
        for _ in range(number % 3 + 1):
            begun = next(clock)
            request = await add_request(db, ada)
            spans[request.public_id] = (begun, next(clock))
            if number % 4 == 0:
                await move(db)

    await asyncio.gather(*(write(number) for number in range(20)))
    order = [spans[e.entity_id] for e in await logged(db, "FuelRequest") if e.attribute == "status"]
    assert len(order) == len(spans)
    for index, (_, ended) in enumerate(order):
        assert all(ended > begun for begun, _ in order[:index])


async def test_concurrent_changes_of_one_row_each_record_what_they_replaced(db: Database) -> None:
    request = await add_request(db, await add_user(db), note="0")

    def count(session: Session) -> None:
        found = session.get_one(FuelRequest, request.id)
        found.note = str(int(found.note or 0) + 1)

    await asyncio.gather(*(db.write(count) for _ in range(WRITERS)))
    notes = [e for e in await logged(db, "FuelRequest") if e.attribute == "note" and e.kind.name == "UPDATED"]
    assert [(e.old_value, e.new_value) for e in notes] == [(str(n), str(n + 1)) for n in range(WRITERS)]


async def test_what_comes_from_outside_is_saved_also_when_it_is_run_again(db: Database) -> None:
    ada, runs = new_user(), itertools.count()

    def save(session: Session) -> None:
        session.add(ada)
        session.flush()
        if next(runs) == 0:
            raise StaleDataError("another one was first")

    await db.write(save)
    assert [user.username for user in await rows_of(db, User)] == ["ada"]


async def test_a_tracked_model_cannot_be_changed_past_the_capture(db: Database) -> None:
    async with AsyncSession(db.engine) as session:
        session.add(new_user())
        with pytest.raises(TypeError, match=r"Database\.write"):
            await session.commit()


async def test_a_reading_unit_of_work_cannot_change_anything(db: Database) -> None:
    def add(session: Session) -> None:
        session.add(new_user())
        session.flush()

    with pytest.raises(RuntimeError, match=r"Database\.write"):
        await db.read(add)
    assert await rows_of(db, User) == []


async def test_an_sql_expression_cannot_be_assigned_to_a_tracked_attribute(db: Database) -> None:
    request = await add_request(db, await add_user(db))

    def assign(session: Session) -> None:
        found = session.get_one(FuelRequest, request.id)
        found.note = select(User.username).scalar_subquery()

    with pytest.raises(TypeError, match="assign a value"):
        await db.write(assign)


async def test_a_plaintext_password_is_never_stored(db: Database) -> None:
    for make in (new_user, new_premium_user):

        def add(session: Session, make: object = make) -> None:
            session.add(make(password_hash="correct-horse-battery"))  # type: ignore[operator]

        with pytest.raises(ValueError, match=r"passwords\.hash") as caught:
            await db.write(add)
        assert "correct-horse" not in str(caught.value)

    user = await add_user(db)

    def change(session: Session) -> None:
        session.get_one(User, user.id).password_hash = "correct-horse-battery"

    with pytest.raises(ValueError, match=r"passwords\.hash"):
        await db.write(change)


async def test_the_doorbell_rings_after_the_commit_only_and_once(db: Database) -> None:
    rings: list[int] = []
    db.on_commit(lambda: rings.append(1))
    ada = await add_user(db)
    assert len(rings) == 1

    def nothing(session: Session) -> None:
        with session.begin_nested():
            session.get_one(User, ada.id).username = "ada"

    await db.write(nothing)
    assert len(rings) == 1

    def rolled_back(session: Session) -> None:
        with session.begin_nested():
            session.get_one(User, ada.id).username = "lovelace"
        assert len(rings) == 1
        raise Oops

    with pytest.raises(Oops):
        await db.write(rolled_back)
    assert len(rings) == 1


@pytest.mark.parametrize("times", [1, 2])
async def test_a_cancelled_caller_does_not_leave_a_commit_in_doubt(db: Database, times: int) -> None:
    ada = await add_user(db)
    started = asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(session: Session) -> None:
        session.add(new_request(ada))
        session.flush()
        loop.call_soon_threadsafe(started.set)
        for _ in range(50):
            session.scalar(select(User.id))

    task = asyncio.create_task(db.write(slow))
    await started.wait()
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(await rows_of(db, FuelRequest)) == 1
    assert len([e for e in await logged(db, "FuelRequest") if e.attribute == "status"]) == 1


def test_write_sessions_refuse_the_old_bulk_methods() -> None:
    with WriteSession() as session, pytest.raises(TypeError, match="add_all"):
        session.bulk_save_objects([])
