"""Each kind of disagreement, made with real SQL in a real database, is found; the right log is found right."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.orm import Session

from gql_app.accounts.models import User
from gql_app.changes import log
from gql_app.changes.sequencer import move
from gql_app.db import Database
from gql_app.deliveries import queue
from gql_app.deliveries.models import Delivery, DeliveryState
from gql_app.demo.fuel_requests.models import FuelRequest, FuelRequestStatus
from tests.things import HASH, add_request, add_user, new_premium_user, new_request, rows_of
from tests.witness.conftest import Place
from tests.witness.witnessed import disagreements

pytestmark = pytest.mark.unwitnessed("makes the disagreements that are to be found")

OTHER_HASH = "$2b$04$" + "b" * 53


async def found(db: Database) -> list[str]:
    await move(db)
    url = db.url.render_as_string(hide_password=False)
    return await asyncio.to_thread(disagreements, url)


def approve(place: Place) -> str:
    return f"UPDATE fuel_requests SET status = 'APPROVED' {place.where(place.request)}"


def reject(place: Place) -> str:
    return f"UPDATE fuel_requests SET status = 'REJECTED' {place.where(place.request)}"


def rehash(place: Place, value: str = OTHER_HASH) -> str:
    return f"UPDATE users SET password_hash = '{value}' {place.where(place.ada)}"


def rehashed(place: Place, **values: Any) -> str:
    about = {"entity_type": "User", "entity_id": place.ada.public_id, "attribute": "password_hash"}
    return place.entry(**(about | {"old_value": None, "new_value": None} | values))


def delete(place: Place) -> str:
    return f"DELETE FROM fuel_requests {place.where(place.request)}"


def deleted(place: Place, **values: Any) -> str:
    return place.entry(**({"kind": "DELETED", "attribute": None, "old_value": None, "new_value": None} | values))


def added(place: Place) -> str:
    return (
        "INSERT INTO fuel_requests (public_id, requester_id, status, litres, created_at, updated_at, version)"
        f" VALUES ('{UUID(int=7).hex}', {place.ada.id}, 'PENDING', 1050, '2026-01-02', '2026-01-02', 1)"
    )


def created(place: Place, **values: Any) -> str:
    right = {"kind": "CREATED", "entity_id": UUID(int=7), "old_value": None, "new_value": "PENDING"}
    return place.entry(**(right | values))


def give_away(place: Place) -> str:
    return f"UPDATE fuel_requests SET requester_id = {place.linus.id} {place.where(place.request)}"


Script = Callable[[Place], Sequence[str]]
"""Statements of one transaction."""

RIGHT: dict[str, Script] = {
    "nothing": lambda p: [],
    "an update": lambda p: [approve(p), p.entry()],
    "an update in two steps": lambda p: [reject(p), approve(p), p.entry()],
    "there and back": lambda p: [approve(p), f"UPDATE fuel_requests SET status = 'PENDING' {p.where(p.request)}"],
    "what is not tracked": lambda p: [f"UPDATE fuel_requests SET decided_by_id = requester_id {p.where(p.request)}"],
    "a delete": lambda p: [approve(p), delete(p), deleted(p)],
    "a creation": lambda p: [added(p), created(p), created(p, attribute="litres", new_value="10.50")],
    "another way to write a number": lambda p: [
        *(added(p), created(p)),
        created(p, attribute="litres", new_value="10.5"),
    ],
    "created and deleted": lambda p: [added(p), f"DELETE FROM fuel_requests WHERE public_id = '{UUID(int=7).hex}'"],
    "a secret": lambda p: [rehash(p), rehashed(p)],
    "a secret there and perhaps back": lambda p: [rehash(p), rehash(p, HASH)],
    "a rolled back savepoint": lambda p: [
        *(approve(p), p.entry(), "SAVEPOINT a", reject(p)),
        *(p.entry(old_value="APPROVED", new_value="REJECTED"), "ROLLBACK TO a", "RELEASE a"),
    ],
}


@pytest.mark.parametrize("name", RIGHT)
async def test_the_right_entries_are_found_right(place: Place, name: str) -> None:
    await place.run(*RIGHT[name](place))
    assert await found(place.db) == []


WRONG: dict[str, tuple[Script, str]] = {
    "an update past the log": (lambda p: [approve(p)], "no entry says so"),
    "an update of which one attribute is told": (
        lambda p: [f"UPDATE fuel_requests SET status = 'APPROVED', note = 'n' {p.where(p.request)}", p.entry()],
        "note changed from None to 'n', and no entry says so",
    ),
    "a creation past the log": (lambda p: [added(p)], "was CREATED: litres changed from None to Decimal('10.5')"),
    "a delete past the log": (lambda p: [delete(p)], "was DELETED, and no entry says so"),
    "an entry too many": (lambda p: [approve(p), p.entry(), p.entry()], "no row image explains"),
    "an entry of nothing": (lambda p: [p.entry()], "no row image explains"),
    "there and back, told": (
        lambda p: [approve(p), f"UPDATE fuel_requests SET status = 'PENDING' {p.where(p.request)}", p.entry()],
        "no row image explains",
    ),
    "each step told": (
        lambda p: [
            *(reject(p), approve(p), p.entry(new_value="REJECTED")),
            p.entry(old_value="REJECTED", new_value="APPROVED"),
        ],
        "no row image explains",
    ),
    "a wrong old value": (lambda p: [approve(p), p.entry(old_value="REJECTED")], "the old value 'REJECTED'"),
    "no old value": (lambda p: [approve(p), p.entry(old_value=None)], "the old value None"),
    "a wrong new value": (lambda p: [approve(p), p.entry(new_value="REJECTED")], "the new value 'REJECTED'"),
    "another form of a value": (lambda p: [approve(p), p.entry(new_value="Approved")], "the new value 'Approved'"),
    "a wrong owner": (lambda p: [approve(p), p.entry(owner_id=p.linus.id)], "has the owner"),
    "no owner": (lambda p: [approve(p), p.entry(owner_id=None)], "has the owner None"),
    "the owner of before": (lambda p: [approve(p), give_away(p), p.entry()], "has the owner"),
    "a wrong kind": (lambda p: [approve(p), p.entry(kind="CREATED")], "its entry says CREATED"),
    "a wrong type": (lambda p: [approve(p), p.entry(entity_type="Project")], "no row image explains"),
    "a wrong id": (lambda p: [approve(p), p.entry(entity_id=UUID(int=3))], "no row image explains"),
    "a wrong attribute": (lambda p: [approve(p), p.entry(attribute="note")], "no row image explains"),
    "a delete told as an update": (lambda p: [approve(p), delete(p), p.entry()], "was DELETED, and no entry says so"),
    "a delete with an attribute": (lambda p: [delete(p), deleted(p, attribute="status")], "was DELETED, and no entry"),
    "created and deleted, told": (
        lambda p: [added(p), f"DELETE FROM fuel_requests WHERE public_id = '{UUID(int=7).hex}'", created(p)],
        "no row image explains",
    ),
    "a secret past the log": (lambda p: [rehash(p)], "password_hash changed, and no entry says so"),
    "a secret in the log": (lambda p: [rehash(p), rehashed(p, new_value=OTHER_HASH)], "holds a value of this secret"),
    "a secret that was not changed": (lambda p: [rehash(p, HASH), rehashed(p)], "no row image explains"),
    "the entry of a rolled back row": (
        lambda p: ["SAVEPOINT a", approve(p), "ROLLBACK TO a", "RELEASE a", p.entry()],
        "no row image explains",
    ),
    "a subclass's row alone": (
        lambda p: [f"INSERT INTO premium_users (id, premium_since) VALUES ({p.ada.id}, '2026-01-02')", p.entry()],
        "no row image explains",
    ),
}


@pytest.mark.parametrize("name", WRONG)
async def test_each_disagreement_is_found(place: Place, name: str) -> None:
    script, sentence = WRONG[name]
    await place.run(*script(place))
    told = await found(place.db)
    assert any(sentence in each for each in told), told
    assert not any(OTHER_HASH in each for each in told)


async def test_two_change_sets_in_one_transaction_are_found(place: Place) -> None:
    note = f"UPDATE fuel_requests SET note = 'n' {place.where(place.request)}"
    noted = place.entry(attribute="note", old_value=None, new_value="n", change_set=UUID(int=2))
    await place.run(approve(place), note, place.entry(), noted)
    told = await found(place.db)
    expected = "no entry says so" if place.db.is_sqlite else "it has 2 change sets"  # there it looks like two
    assert any(expected in each for each in told), told


async def test_one_change_set_of_two_transactions_is_found(place: Place) -> None:
    await place.run(approve(place), place.entry())
    await place.run(reject(place), place.entry(old_value="APPROVED", new_value="REJECTED"))
    assert any("is that of transaction" in each for each in await found(place.db))


DAMAGES = {
    "an entry that was taken away": (
        "DELETE FROM change_events WHERE attribute = 'litres'",
        "is not in the log any more",
    ),
    "an entry that was altered": ("UPDATE change_events SET new_value = '99'", "was never written as such"),
    "an entry with another actor": ("UPDATE change_events SET actor_id = 99", "was never written as such"),
}


@pytest.mark.parametrize("name", DAMAGES)
async def test_what_was_done_to_the_log_is_found(place: Place, name: str) -> None:
    statement, sentence = DAMAGES[name]
    assert await found(place.db) == []
    await place.run(statement)
    assert any(sentence in each for each in await found(place.db))


async def test_entries_in_another_order_than_they_were_written_are_found(place: Place) -> None:
    await place.run("UPDATE change_events SET position = -position")
    assert any("in another order" in each for each in await found(place.db))


async def test_what_was_changed_while_nobody_looked_is_found(place: Place) -> None:
    """Here by hiding the image; a trigger that was switched off leaves the same."""
    await place.run(reject(place), place.entry(new_value="REJECTED", change_set=UUID(int=2)))
    await place.run(approve(place), place.entry(old_value="REJECTED"))
    assert await found(place.db) == []
    await place.run(
        "DELETE FROM witness WHERE op = 'UPDATE' AND id = (SELECT min(id) FROM witness WHERE op = 'UPDATE')"
    )
    assert any("had been changed unseen" in each for each in await found(place.db))


async def test_a_pruned_log_is_right_and_a_hole_in_it_is_not(place: Place) -> None:
    later = datetime.now(UTC) + timedelta(days=1)
    await place.db.write(log.prune, later, 2)
    await place.run(approve(place), place.entry())
    assert await found(place.db) == []
    await place.run("DELETE FROM change_events WHERE attribute = 'litres'")
    assert await found(place.db) != []


async def test_only_what_is_finished_may_be_forgotten_unsaid(place: Place) -> None:
    finished = "UPDATE deliveries SET due_at = NULL"
    await place.run(finished)
    assert await place.db.write(queue.prune, datetime.now(UTC) + timedelta(days=1)) == 2
    assert await found(place.db) == []
    await add_user(place.db, "grace")
    await place.run("DELETE FROM deliveries")
    (sentence,) = await found(place.db)
    assert "Delivery" in sentence
    assert "was DELETED, and no entry says so" in sentence


async def test_the_witness_knows_no_secret(place: Place) -> None:
    await place.run(rehash(place), rehashed(place))
    async with place.db.engine.connect() as connection:
        rows = (await connection.exec_driver_sql("SELECT * FROM witness")).all()
    assert "ada@example.test" in repr(rows)
    assert HASH not in repr(rows)
    assert OTHER_HASH not in repr(rows)


@pytest.mark.unwitnessed("is compared within the test")
async def test_what_the_product_does_is_found_right(db: Database) -> None:
    ada = await add_user(db)
    await db.write(lambda session: session.add(new_premium_user("linus")))
    request = await add_request(db, ada)

    def work(session: Session) -> None:
        mine = session.get_one(FuelRequest, request.id)
        mine.status = FuelRequestStatus.APPROVED
        session.add(gone := new_request(ada, note="gone"))
        session.flush()
        savepoint = session.begin_nested()
        mine.note = "never"
        session.flush()
        savepoint.rollback()
        session.delete(gone)
        for user in session.query(User):
            user.phone_number = None

    await db.write(work)
    await asyncio.gather(*(add_request(db, ada, note=str(number)) for number in range(20)))
    await db.write(lambda session: session.delete(session.get_one(FuelRequest, request.id)))
    assert await found(db) == []
    assert {row.state for row in await rows_of(db, Delivery)} == {DeliveryState.PENDING}
