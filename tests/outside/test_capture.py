"""What is written from outside reaches the log once, in order, with the right audience, and by nobody."""

import asyncio
import enum
import random
import sqlite3
import threading
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from gql_app import migrations
from gql_app.accounts.models import User
from gql_app.changes.capture import act_as
from gql_app.db import Database
from gql_app.deliveries.models import Delivery
from gql_app.demo.fuel_requests.models import FuelRequest, FuelRequestStatus
from gql_app.errors import ConfigurationError
from gql_app.outside import images, switch
from gql_app.outside.models import ChangeImage
from tests.migrating import SERVICE, migrate
from tests.outside.conftest import Log, Outsider
from tests.outside.samples import COLUMNS, samples
from tests.things import HASH, add_request, add_user, rows_of
from tests.witness import harbour, triggers
from tests.witness.witnessed import models_of_the_service

pytestmark = pytest.mark.unwitnessed("the witness takes every write for the service's own")
APPROVED, REJECTED = FuelRequestStatus.APPROVED, FuelRequestStatus.REJECTED


async def waiting(db: Database) -> int:
    return len(await rows_of(db, ChangeImage))


async def messages(db: Database) -> int:
    return len(await rows_of(db, Delivery))


# --- Once, and right ---------------------------------------------------------------------------------------


async def test_an_update_from_outside_is_told_once_by_nobody_and_to_its_owner(
    captured: Database, outsider: Outsider, log: Log
) -> None:
    ada = await add_user(captured)
    request = await add_request(captured, ada)
    before, owed = len(await log.entries()), await messages(captured)
    where = f"WHERE public_id = {outsider.id(request.public_id)}"
    await outsider.run(f"UPDATE fuel_requests SET status = 'APPROVED' {where}")
    assert await waiting(captured) == 1
    assert await log.told(before) == [("UPDATED", "FuelRequest", "status", "PENDING", "APPROVED")]
    (entry,) = (await log.entries())[before:]
    assert (entry.entity_id, entry.owner_id, entry.actor_id) == (request.public_id, ada.id, None)
    assert (entry.decisions, entry.audience_before) == (None, None)
    assert (await waiting(captured), await messages(captured)) == (0, owed)
    await log.is_right()


async def test_what_the_service_writes_is_recorded_once(captured: Database, log: Log) -> None:
    def work(session: Session) -> None:
        act_as(session, ada.id)
        row = session.get_one(FuelRequest, request.id)
        row.litres = Decimal(20)
        session.flush()
        session.execute(update(FuelRequest).where(FuelRequest.id == request.id).values(status=APPROVED))
        session.get_one(User, ada.id).email = "new@example.test"

    ada = await add_user(captured)
    request = await add_request(captured, ada)
    gone = await add_request(captured, ada)
    before = len(await log.entries())
    await captured.write(work)
    await captured.write(lambda session: session.delete(session.get_one(FuelRequest, gone.id)))
    assert await waiting(captured) == 0
    entries = (await log.entries())[before:]
    assert {each.actor_id for each in entries if each.entity_id == request.public_id} == {ada.id}
    kinds_of = sorted(each.entity_type for each in entries if each.entity_type != "Delivery")
    assert kinds_of == ["FuelRequest", "FuelRequest", "FuelRequest", "User"]
    await log.is_right()


async def test_inserts_and_deletes_from_outside(captured: Database, outsider: Outsider, log: Log) -> None:
    ada = await add_user(captured)
    request = await add_request(captured, ada)
    before, public_id = len(await log.entries()), uuid4()
    columns = "public_id, version, requester_id, litres, status, note, created_at, updated_at"
    held = f"{outsider.id(public_id)}, 1, {ada.id}, 7.5, 'PENDING', 'from outside', created_at, updated_at"
    await outsider.run(
        f"INSERT INTO fuel_requests ({columns}) SELECT {held} FROM fuel_requests",
        f"DELETE FROM fuel_requests WHERE public_id = {outsider.id(request.public_id)}",
    )
    told = await log.told(before)
    assert ("DELETED", "FuelRequest", None, None, None) in told
    assert ("CREATED", "FuelRequest", "status", None, "PENDING") in told
    assert {each.change_set for each in (await log.entries())[before:]} == {(await log.entries())[before].change_set}
    await log.is_right()


async def test_what_was_committed_there_and_back_is_told(captured: Database, outsider: Outsider, log: Log) -> None:
    """Nobody had a look in between: both are taken in together."""
    request = await add_request(captured, await add_user(captured))
    before = len(await log.entries())
    where = f"WHERE public_id = {outsider.id(request.public_id)}"
    await outsider.run(f"UPDATE fuel_requests SET status = 'APPROVED' {where}")
    await outsider.run(f"UPDATE fuel_requests SET status = 'PENDING' {where}")
    assert [each[3:] for each in await log.told(before)] == [("PENDING", "APPROVED"), ("APPROVED", "PENDING")]
    await log.is_right()


@pytest.mark.only_on("postgres", reason="SQLite names no transaction: both changes are told")
async def test_a_round_trip_in_one_transaction_says_nothing(captured: Database, outsider: Outsider, log: Log) -> None:
    request = await add_request(captured, await add_user(captured))
    before = len(await log.entries())
    where = f"WHERE public_id = {outsider.id(request.public_id)}"
    set_ = "UPDATE fuel_requests SET status ="
    await outsider.run(f"{set_} 'APPROVED' {where}", f"{set_} 'PENDING' {where}")
    assert await log.told(before) == []


async def test_a_secret_is_told_as_changed_and_never_by_its_value(
    captured: Database, outsider: Outsider, log: Log
) -> None:
    ada = await add_user(captured)
    before = len(await log.entries())
    await outsider.run(f"UPDATE users SET password_hash = '{HASH[:-1]}b' WHERE id = {ada.id}")
    assert not [image for image in await rows_of(captured, ChangeImage) if "$2b$" in f"{image.old}{image.new}"]
    assert await log.told(before) == [("UPDATED", "User", "password_hash", None, None)]
    await log.is_right()


# --- Order -------------------------------------------------------------------------------------------------


async def test_what_was_committed_outside_comes_before_what_the_service_does_next(
    captured: Database, outsider: Outsider, log: Log
) -> None:
    request = await add_request(captured, await add_user(captured))
    before = len(await log.entries())
    where = f"WHERE public_id = {outsider.id(request.public_id)}"
    await outsider.run(f"UPDATE fuel_requests SET status = 'APPROVED' {where}")

    def reject(session: Session) -> None:
        session.get_one(FuelRequest, request.id).status = REJECTED

    await captured.write(reject)
    told = [each for each in await log.told(before) if each[1] == "FuelRequest"]
    assert told == [
        ("UPDATED", "FuelRequest", "status", "PENDING", "APPROVED"),
        ("UPDATED", "FuelRequest", "status", "APPROVED", "REJECTED"),
    ]
    await log.is_right()


@pytest.mark.only_on("postgres", reason="on SQLite nobody else can write meanwhile")
async def test_a_unit_of_work_that_was_overtaken_from_outside_is_run_again(
    captured: Database, outsider: Outsider, log: Log
) -> None:
    """Otherwise its entry would say another old value than the one that it has replaced."""
    request = await add_request(captured, await add_user(captured))
    before, runs = len(await log.entries()), 0

    def reject(session: Session) -> None:
        nonlocal runs
        runs += 1
        row = session.get_one(FuelRequest, request.id)
        if runs == 1:
            session.connection()  # in its transaction
            approve_from_outside()
        row.status = REJECTED

    def approve_from_outside() -> None:
        statement = f"UPDATE fuel_requests SET status = 'APPROVED' WHERE public_id = {outsider.id(request.public_id)}"
        thread = threading.Thread(target=lambda: asyncio.run(outsider.run(statement)))
        thread.start()
        thread.join()

    await captured.write(reject)
    assert runs == 2
    told = [each[3:] for each in await log.told(before) if each[1] == "FuelRequest"]
    assert told == [("PENDING", "APPROVED"), ("APPROVED", "REJECTED")]
    await log.is_right()


# --- Forms -------------------------------------------------------------------------------------------------


@pytest.mark.only_on("postgres", reason="SQLite has no TRUNCATE")
async def test_truncate(captured: Database, outsider: Outsider, log: Log) -> None:
    ada = await add_user(captured)
    for _ in range(3):
        await add_request(captured, ada)
    before = len(await log.entries())
    await outsider.run("TRUNCATE fuel_requests")
    assert await log.told(before) == [("DELETED", "FuelRequest", None, None, None)] * 3
    await log.is_right()


def upsert(outsider: Outsider, ada: User, public_id: Any, how: str) -> str:
    columns = "id, public_id, version, requester_id, litres, status, created_at, updated_at"
    held = f"1, {outsider.id(public_id)}, 1, {ada.id}, 7, 'REJECTED', created_at, updated_at"
    return how.format(f"INTO fuel_requests ({columns}) SELECT {held} FROM fuel_requests WHERE id = 1")


@pytest.mark.only_on("sqlite", reason="PostgreSQL has no INSERT OR …")
@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("INSERT OR REPLACE {}", {("DELETED", None), ("CREATED", "status"), ("CREATED", "litres")}),
        ("INSERT OR IGNORE {}", set()),
        ("INSERT {} ON CONFLICT (id) DO UPDATE SET status = 'REJECTED'", {("UPDATED", "status")}),
    ],
)
async def test_forms_of_an_insert_over_a_row_that_is_there(
    captured: Database, outsider: Outsider, log: Log, how: str, expected: set[tuple[str, str | None]]
) -> None:
    ada = await add_user(captured)
    await add_request(captured, ada)
    before = len(await log.entries())
    await outsider.run(upsert(outsider, ada, uuid4(), how))
    assert {(kind, attribute) for kind, _, attribute, _, _ in await log.told(before)} >= expected
    assert bool(await log.told(before)) == bool(expected)
    await log.is_right()


async def test_what_the_database_does_because_of_the_service_is_told_too(vessels: Log, outsider: Outsider) -> None:
    """A foreign key deletes the row of the subclass; the service has deleted the base's by a statement from outside."""
    db = vessels.db
    vessel = harbour.Tanker(captain=None, title="Nautilus", full=True)
    await db.write(lambda session: session.add(vessel))
    before = len(await vessels.entries())
    await outsider.run(f'UPDATE tankers SET "full" = {"0" if db.is_sqlite else "false"}')
    assert await vessels.told(before) == [("UPDATED", "Vessel", "full", "true", "false")]
    await outsider.run("DELETE FROM vessels")
    assert (await vessels.told(before))[1:] == [("DELETED", "Vessel", None, None, None)]
    await vessels.is_right()


async def test_a_cascade_of_the_services_own_statement(vessels: Log) -> None:
    """Somebody has made a foreign key by which vessels go with their captains."""
    db = vessels.db
    async with db.writing() as connection:
        await connection.execute(text("CREATE TABLE captains (id INTEGER PRIMARY KEY)"))
        await connection.execute(text("INSERT INTO captains VALUES (7)"))
        if db.is_sqlite:
            await connection.execute(text("DROP TABLE tankers"))
            made = (await connection.execute(text("SELECT sql FROM sqlite_master WHERE name = 'vessels'"))).scalar_one()
            await connection.execute(text("DROP TABLE vessels"))
            reference = "captain INTEGER REFERENCES captains (id) ON DELETE CASCADE"
            await connection.execute(text(made.replace("captain INTEGER", reference)))
        else:
            await connection.execute(
                text("ALTER TABLE vessels ADD FOREIGN KEY (captain) REFERENCES captains (id) ON DELETE CASCADE")
            )
        await connection.run_sync(harbour.Base.metadata.create_all)
    await switch.install(db, vessels.models, pause=0)
    await db.write(lambda session: session.add(harbour.Tug(captain=7, title="Tugboat")))
    before = len(await vessels.entries())
    await db.write(lambda session: session.execute(text("DELETE FROM captains")) and None)
    assert await vessels.told(before) == [("DELETED", "Vessel", None, None, None)]
    (entry,) = (await vessels.entries())[before:]
    assert entry.owner_id == 7
    await vessels.is_right()
    async with db.writing() as connection:
        await connection.execute(text("DROP TABLE captains" if db.is_sqlite else "DROP TABLE captains CASCADE"))


# --- Values ------------------------------------------------------------------------------------------------


async def test_a_value_of_each_type_is_told_as_the_service_would_tell_it(vessels: Log, outsider: Outsider) -> None:
    """Rows that the service has written are copied from outside: both are told in the same words."""
    db = vessels.db
    made = samples()
    await db.write(lambda session: session.add_all(made))
    before = len(await vessels.entries())
    for number, each in enumerate(made, 1000):
        columns = ", ".join(COLUMNS)
        await outsider.run(
            f"INSERT INTO samples (number, public_id, version, {columns}) "
            f"SELECT {number}, {outsider.id(uuid4())}, 1, {columns} FROM samples WHERE number = {each.number}"
        )
    entries = await vessels.entries()

    def told(some: Any) -> list[Any]:
        return sorted((each.attribute or "", each.new_value or "") for each in some if each.entity_type == "Sample")

    assert told(entries[before:]) == told(entries[:before])
    await vessels.is_right()
    await outsider.run("DELETE FROM samples WHERE number >= 1000")
    await vessels.is_right()


async def test_a_value_that_cannot_be_read_holds_up_nobody(captured: Database, outsider: Outsider, log: Log) -> None:
    ada = await add_user(captured)
    broken, fine = await add_request(captured, ada), await add_request(captured, ada)
    before = len(await log.entries())
    set_ = "UPDATE fuel_requests SET status ="
    await outsider.run(f"{set_} 'NONSENSE' WHERE id = {broken.id}", f"{set_} 'APPROVED' WHERE id = {fine.id}")
    assert [each[3:] for each in await log.told(before)] == [("PENDING", "NONSENSE"), ("PENDING", "APPROVED")]
    await outsider.run(f"{set_} 'PENDING' WHERE id = {broken.id}")
    assert (await log.told(before))[-1][3:] == ("NONSENSE", "PENDING")


@pytest.mark.parametrize(
    "value", [None, 0, -1, 2**62, 1.5, -1e300, "", "it's", "'", "NULL", "x'00'", b"", b"\x00'\xff"]
)
def test_a_literal_of_sqlite_is_read_back(value: Any) -> None:
    with sqlite3.connect(":memory:") as connection:
        (quoted,) = connection.execute("SELECT quote(?)", (value,)).fetchone()
    connection.close()
    found = images.literal(quoted)
    assert found == value
    assert type(found) is type(value)


# --- At random ---------------------------------------------------------------------------------------------


class Step(enum.Enum):
    ADD = enum.auto()
    DECIDE = enum.auto()
    REMOVE = enum.auto()
    OWNER = enum.auto()


@pytest.mark.parametrize("seed", range(6))
async def test_writers_inside_and_outside_in_any_order(
    captured: Database, outsider: Outsider, log: Log, seed: int
) -> None:
    """What `check` finds: a chain that does not fit, a row that the log knows otherwise, an entry too many."""
    rng = random.Random(seed)
    people = [await add_user(captured, name) for name in ("ada", "linus", "grace")]
    known: list[Any] = []
    for _ in range(60):
        step, person = rng.choice(list(Step)), rng.choice(people)
        one = rng.choice(known) if known else None
        if step is Step.ADD or one is None:
            known.append((await add_request(captured, person)).public_id)
        elif rng.random() < 0.5:
            await outsider.run(*(_outside(rng, outsider, step, rng.choice(known), person) for _ in range(2)))
        else:
            await captured.write(_inside, step, one, person.id, rng.choice([APPROVED, REJECTED]))
        if rng.random() < 0.2:
            await switch.drain(captured, SERVICE.models)
    await log.is_right()


def _outside(rng: random.Random, outsider: Outsider, step: Step, public_id: Any, person: User) -> str:
    where = f"WHERE public_id = {outsider.id(public_id)}"
    if step is Step.REMOVE:
        return f"DELETE FROM fuel_requests {where}"
    if step is Step.OWNER:
        return f"UPDATE fuel_requests SET requester_id = {person.id} {where}"
    return f"UPDATE fuel_requests SET status = '{rng.choice(['PENDING', 'APPROVED', 'REJECTED'])}' {where}"


def _inside(session: Session, step: Step, public_id: Any, person_id: int, status: FuelRequestStatus) -> None:
    row = session.scalar(select(FuelRequest).where(FuelRequest.public_id == public_id))
    if row is None:
        return
    if step is Step.REMOVE:
        session.delete(row)
    elif step is Step.OWNER:
        row.requester_id = person_id
    else:
        row.status = status


# --- On and off --------------------------------------------------------------------------------------------


async def test_without_triggers_nothing_is_noted(captured: Database, outsider: Outsider, log: Log) -> None:
    request = await add_request(captured, await add_user(captured))
    where = f"WHERE public_id = {outsider.id(request.public_id)}"
    await outsider.run(f"UPDATE fuel_requests SET status = 'APPROVED' {where}")
    await switch.remove(captured, SERVICE.models)
    assert not captured.says_inside
    assert (await log.told())[-1][3:] == ("PENDING", "APPROVED")
    await outsider.run(f"UPDATE fuel_requests SET status = 'REJECTED' {where}")
    assert await waiting(captured) == 0
    await outsider.run(f"UPDATE fuel_requests SET status = 'APPROVED' {where}")
    await log.is_right()


async def test_a_migration_goes_on_and_so_do_the_triggers(captured: Database, outsider: Outsider, log: Log) -> None:
    """SQLite drops no column that a trigger names, and a table that it makes anew has no triggers."""
    request = await add_request(captured, await add_user(captured))
    await migrations.take_back(captured, SERVICE.branches[-1], "base")
    await migrations.take_back(captured, SERVICE.branches[0], "0003")
    await migrate(captured)
    await switch.renew(captured, SERVICE.models)
    before = len(await log.entries())
    where = f"WHERE public_id = {outsider.id(request.public_id)}"
    await outsider.run(f"UPDATE fuel_requests SET status = 'APPROVED' {where}")
    assert await log.told(before) == [("UPDATED", "FuelRequest", "status", "PENDING", "APPROVED")]
    await asyncio.to_thread(triggers.install, outsider.url, models_of_the_service())  # the witness' own are gone


async def test_to_go_back_loses_no_write_and_leaves_no_trigger(
    captured: Database, outsider: Outsider, log: Log
) -> None:
    request = await add_request(captured, await add_user(captured))
    change = f"UPDATE fuel_requests SET status = 'APPROVED' WHERE public_id = {outsider.id(request.public_id)}"
    await outsider.run(change)
    with pytest.raises(ConfigurationError, match=r"1 rows .* are not in the log yet"):
        await migrations.take_back(captured, migrations.ENGINE, "0002")
    await log.entries()
    await migrations.take_back(captured, migrations.ENGINE, "0002")
    await outsider.run(change.replace("APPROVED", "REJECTED"))
    await migrate(captured)
