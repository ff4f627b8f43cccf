"""Promise 3: statements that go past the unit of work are recorded or refused, never missed."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.orm import Session
from sqlalchemy.util import await_only

from gql_app.accounts.models import PremiumUser, User
from gql_app.db import Database, UntrackedWrite
from gql_app.deliveries.models import Delivery
from gql_app.demo.fuel_requests.models import FuelRequest, FuelRequestStatus
from gql_app.reconcile import reconcile
from tests.ruling import service_database
from tests.things import HASH, add_request, add_user, logged, new_premium_user, right_before, rows_of, said

APPROVED = FuelRequestStatus.APPROVED


async def test_an_update_by_criteria_is_recorded_row_by_row_and_owes_its_messages(db: Database) -> None:
    ada = await add_user(db)
    requests = [await add_request(db, ada, note=note) for note in ("a", "b", "c")]
    before, owed = (await logged(db))[-1].position, len(await rows_of(db, Delivery))

    def approve(session: Session) -> None:
        session.execute(update(FuelRequest).where(FuelRequest.note != "b").values(status=APPROVED))

    await db.write(approve)
    events = await logged(db, "FuelRequest", before)
    assert [(e.entity_id, e.old_value, e.new_value) for e in events] == [
        (requests[0].public_id, "PENDING", "APPROVED"),
        (requests[2].public_id, "PENDING", "APPROVED"),
    ]
    assert len(await rows_of(db, Delivery)) == owed + 4
    changed = {row.id: row for row in await rows_of(db, FuelRequest)}
    assert changed[requests[0].id].updated_at > requests[0].updated_at
    assert changed[requests[0].id].version == requests[0].version + 1
    assert changed[requests[1].id].updated_at == requests[1].updated_at


async def test_an_update_that_changes_its_own_criterion_is_recorded(db: Database) -> None:
    request = await add_request(db, await add_user(db))
    before = (await logged(db))[-1].position

    def approve(session: Session) -> None:
        pending = FuelRequest.status == FuelRequestStatus.PENDING
        session.execute(update(FuelRequest).where(pending).values(status=APPROVED, note=FuelRequest.note))

    await db.write(approve)
    assert await said(db, "FuelRequest", before) == [("UPDATED", "status", "PENDING", "APPROVED")]
    assert request.status is FuelRequestStatus.PENDING  # what the test holds is detached


async def test_an_update_and_the_unit_of_work_make_one_net_change(db: Database) -> None:
    request = await add_request(db, await add_user(db))
    before = (await logged(db))[-1].position

    def work(session: Session) -> None:
        found = session.get_one(FuelRequest, request.id)
        found.note = "first"
        session.execute(update(FuelRequest).values(note="second", status=APPROVED))
        assert found.note == "second"
        found.status = FuelRequestStatus.PENDING

    await db.write(work)
    assert await said(db, "FuelRequest", before) == [("UPDATED", "note", None, "second")]


async def test_a_rolled_back_update_is_silent(db: Database) -> None:
    request = await add_request(db, await add_user(db))
    before = await logged(db)

    def work(session: Session) -> None:
        with session.begin_nested() as savepoint:
            session.execute(update(FuelRequest).where(FuelRequest.id == request.id).values(status=APPROVED))
            savepoint.rollback()

    await db.write(work)
    assert await logged(db) == before


async def test_a_delete_by_criteria_is_recorded(db: Database) -> None:
    ada = await add_user(db)
    kept, gone = await add_request(db, ada, note="kept"), await add_request(db, ada, note="gone")
    before = (await logged(db))[-1].position
    await db.write(lambda session: session.execute(delete(FuelRequest).where(FuelRequest.note == "gone")) and None)
    assert [(e.kind.name, e.entity_id) for e in await logged(db, "FuelRequest", before)] == [
        ("DELETED", gone.public_id)
    ]
    assert [row.id for row in await rows_of(db, FuelRequest)] == [kept.id]


async def test_an_update_of_a_base_class_records_its_subclasses_too(db: Database) -> None:
    await add_user(db, "linus")
    await db.write(lambda session: session.add(new_premium_user("ada")))
    before = (await logged(db))[-1].position
    await db.write(lambda session: session.execute(update(User).values(phone_number="+15005550199")) and None)
    assert {(e.attribute, e.new_value) for e in await logged(db, "User", before)} == {("phone_number", "+15005550199")}
    assert len(await logged(db, "User", before)) == 2


USER_ROW = {"username": "eve", "email": "eve@example.test", "password_hash": HASH}
table: Any = FuelRequest.__table__
premium_table: Any = PremiumUser.__table__

REFUSED: dict[str, Callable[[Session], object]] = {
    "insert by the ORM": lambda s: s.execute(insert(User).values(**USER_ROW)),
    "insert of many": lambda s: s.execute(insert(User), [USER_ROW]),
    "update of many by key": lambda s: s.execute(update(FuelRequest), [{"id": 1, "note": "x"}]),
    "Core update": lambda s: s.execute(update(table).values(note="x")),
    "Core delete": lambda s: s.execute(delete(table)),
    "Core insert": lambda s: s.execute(insert(table).values(note="x")),
    "Core update of a subclass's table": lambda s: s.execute(update(premium_table).values(id=1)),
    "SQL text": lambda s: s.execute(text("UPDATE fuel_requests SET note = 'x'")),
    "SQL text, quoted and in capitals": lambda s: s.execute(text('DELETE FROM "FUEL_REQUESTS"')),
    "SQL text behind WITH": lambda s: s.execute(text("WITH x AS (SELECT 1) UPDATE fuel_requests SET note = 'x'")),
    "bulk_insert_mappings": lambda s: s.bulk_insert_mappings(User, [USER_ROW]),
    "bulk_update_mappings": lambda s: s.bulk_update_mappings(FuelRequest, [{"id": 1, "note": "x"}]),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_cannot_be_recorded_is_refused_and_says_what_to_do(db: Database, name: str) -> None:
    await add_request(db, await add_user(db))
    before, users, requests = await logged(db), await rows_of(db, User), await rows_of(db, FuelRequest)
    with pytest.raises(TypeError, match=r"use ") as caught:
        await db.write(lambda session: REFUSED[name](session) and None)
    assert isinstance(caught.value, UntrackedWrite) or "bulk" in name
    assert await logged(db) == before
    assert len(await rows_of(db, User)) == len(users)
    assert [r.note for r in await rows_of(db, FuelRequest)] == [r.note for r in requests]


async def test_tables_that_are_not_tracked_and_plain_queries_are_left_alone(db: Database) -> None:
    def work(session: Session) -> int:
        session.execute(text("CREATE TABLE update_log (id INTEGER)"))
        session.execute(text("INSERT INTO update_log VALUES (1)"))
        return int(session.execute(text("SELECT count(*) FROM fuel_requests -- update fuel")).scalar_one())

    assert await db.write(work) == 0


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


async def test_what_comes_to_match_meanwhile_is_not_changed_unsaid(postgres_url: str) -> None:
    db = service_database(postgres_url)
    ada = await add_user(db)
    await add_request(db, ada, note="a")
    other = await add_request(db, ada, note="b")

    def match_too(session: Session) -> None:
        session.get_one(FuelRequest, other.id).note = "a"

    def reject_all(session: Session) -> None:
        session.execute(update(FuelRequest).where(FuelRequest.note == "a").values(status=FuelRequestStatus.REJECTED))

    meanwhile = right_before(db, "UPDATE fuel_requests SET status", lambda: await_only(db.write(match_too)))
    with meanwhile:
        await db.write(reject_all)
    rows = await rows_of(db, FuelRequest)
    assert sorted(row.status.name for row in rows) == ["PENDING", "REJECTED"]
    assert await db.read(reconcile) == []
    await db.close()
