"""Writes from outside in bad weather: what cannot be read, what the database does itself, and who comes between."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from gql_app import migrations
from gql_app.accounts.models import User
from gql_app.db import Database
from gql_app.demo.fuel_requests.models import FuelRequest, FuelRequestStatus
from gql_app.errors import ConfigurationError
from gql_app.outside import switch
from gql_app.outside.models import ChangeImage
from tests.migrating import SERVICE
from tests.outside.conftest import Log, Outsider
from tests.things import HASH, add_request, add_user, rows_of
from tests.witness import harbour
from tests.witness.triggers import asyncpg_url, sqlite_path

pytestmark = pytest.mark.unwitnessed("the witness takes every write for the service's own")
APPROVED = FuelRequestStatus.APPROVED


def session_of(outsider: Outsider) -> str:
    return asyncpg_url(outsider.url.replace("+asyncpg", ""))


async def full(vessels: Log) -> tuple[harbour.Tanker, int]:
    """A tanker, and how many entries there are."""
    tanker = harbour.Tanker(captain=5, title="Nautilus", full=True)
    await vessels.db.write(lambda session: session.add(tanker))
    return tanker, len(await vessels.entries())


# --- What cannot be read -----------------------------------------------------------------------------------


@pytest.mark.only_on("postgres", reason="SQLite takes any value in any column: see below")
@pytest.mark.parametrize(
    "value",
    [
        "day = '20000-01-01'",
        "day = '0044-03-15 BC'",
        "moment = '20000-01-01'",
        "moment = 'infinity'",
        "hour = '24:00'",
        "price = 'NaN'",
        "ratio = 'Infinity'",
        "flag = 'NOPE'",
        """tree = '"\\u0000"'""",
        """tree = '"\\ud800"'""",
        "tree = '1e400'",
    ],
)
async def test_a_value_that_python_cannot_hold_holds_up_nobody(vessels: Log, outsider: Outsider, value: str) -> None:
    db = vessels.db
    await db.write(lambda session: session.add(harbour.Sample(text="a")))
    before = len(await vessels.entries())
    await outsider.run(f"UPDATE samples SET {value}")
    await db.write(lambda session: session.add(harbour.Sample(text="b")))
    assert (await vessels.told(before))[0][2] == value.partition(" ")[0]
    assert await rows_of(db, ChangeImage) == []


@pytest.mark.only_on("sqlite", reason="PostgreSQL refuses them")
@pytest.mark.parametrize(
    "value",
    ["note = CAST(x'fc41' AS TEXT)", "note = 'a' || char(0)", "litres = 'abc'", "status = 5"],
)
async def test_a_value_of_another_type_holds_up_nobody(
    captured: Database, outsider: Outsider, log: Log, value: str
) -> None:
    ada = await add_user(captured)
    await add_request(captured, ada)
    before = len(await log.entries())
    await outsider.run(f"UPDATE fuel_requests SET {value}")
    await add_request(captured, ada)
    assert len(await log.entries()) > before
    assert await rows_of(captured, ChangeImage) == []


async def test_of_a_secret_it_is_told_whatever_else_is_written(
    captured: Database, outsider: Outsider, log: Log
) -> None:
    ada = await add_user(captured)
    before = len(await log.entries())
    await outsider.run(
        f"UPDATE users SET password_hash = '{HASH[:-1]}b' WHERE id = {ada.id}",
        f"UPDATE users SET email = 'new@example.test' WHERE id = {ada.id}",
    )
    assert {each[2] for each in await log.told(before)} == {"email", "password_hash"}


@pytest.mark.only_on("postgres", reason="it is the writer's session that has such settings")
async def test_the_settings_of_the_writer_change_no_value(vessels: Log, outsider: Outsider) -> None:
    await vessels.db.write(lambda session: session.add(harbour.Sample(ratio=1.0)))
    await outsider.run("SET LOCAL extra_float_digits = 0", "UPDATE samples SET ratio = 0.1::float8 + 0.2::float8")
    await vessels.is_right()


# --- What the database does because of the service ----------------------------------------------------------


@asynccontextmanager
async def captains(vessels: Log, action: str) -> AsyncIterator[None]:
    """Somebody has made a foreign key: what becomes of vessels when their captains go."""
    db, reference = vessels.db, f"REFERENCES captains (id) ON DELETE {action}"
    async with db.writing() as connection:
        await connection.execute(text("CREATE TABLE captains (id BIGINT PRIMARY KEY)"))
        await connection.execute(text("INSERT INTO captains VALUES (7)"))
        if db.is_sqlite:
            await connection.execute(text("DROP TABLE tankers"))
            made = (await connection.execute(text("SELECT sql FROM sqlite_master WHERE name = 'vessels'"))).scalar_one()
            await connection.execute(text("DROP TABLE vessels"))
            await connection.execute(text(made.replace("captain INTEGER", f"captain INTEGER {reference}")))
            await connection.run_sync(harbour.Base.metadata.create_all)
        else:
            await connection.execute(text(f"ALTER TABLE vessels ADD FOREIGN KEY (captain) {reference}"))
    await switch.install(db, vessels.models, pause=0)
    yield
    async with db.writing() as connection:
        await connection.execute(text("DROP TABLE captains" if db.is_sqlite else "DROP TABLE captains CASCADE"))


@pytest.mark.parametrize(("action", "first"), [("CASCADE", True), ("SET NULL", True), ("SET NULL", False)])
async def test_it_comes_after_the_statement_and_in_the_same_story(vessels: Log, action: str, first: bool) -> None:
    tug = harbour.Tug(captain=7, title="a")

    def work(session: Session) -> None:
        row = session.get_one(harbour.Vessel, tug.number)
        if not first:
            session.execute(text("DELETE FROM captains"))
        row.title = "b"
        session.flush()
        if first:
            session.execute(text("DELETE FROM captains"))

    async with captains(vessels, action):
        await vessels.db.write(lambda session: session.add(tug))
        before = len(await vessels.entries())
        await vessels.db.write(work)
        told = await vessels.told(before)
        if action == "CASCADE":
            assert told == [("DELETED", "Vessel", None, None, None)]
        else:
            assert ("UPDATED", "Vessel", "title", "a", "b") in told
        await vessels.is_right()


@pytest.mark.only_on("sqlite", reason="PostgreSQL keeps references whole")
async def test_a_reference_to_nothing_doubles_no_change(vessels: Log, outsider: Outsider) -> None:
    tug = harbour.Tug(captain=7, title="a")

    def rename(session: Session) -> None:
        session.get_one(harbour.Vessel, tug.number).title = "b"

    async with captains(vessels, "CASCADE"):
        await vessels.db.write(lambda session: session.add(tug))
        with sqlite3.connect(sqlite_path(outsider.url), isolation_level=None) as connection:
            connection.execute("DELETE FROM captains")  # foreign keys are off unless somebody turns them on
        connection.close()
        before = len(await vessels.entries())
        await vessels.db.write(rename)
        assert len(await vessels.told(before)) == 1
        await vessels.is_right()


@pytest.mark.only_on("postgres", reason="a trigger of SQLite's is told only where a foreign key is")
async def test_what_somebodys_trigger_makes_of_a_change(vessels: Log, outsider: Outsider) -> None:
    await outsider.run(
        "CREATE FUNCTION loud() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN UPDATE vessels SET name = upper(name) WHERE number = NEW.number; RETURN NULL; END $$",
        "CREATE TRIGGER loud AFTER UPDATE ON vessels FOR EACH ROW WHEN (pg_trigger_depth() = 0) "
        "EXECUTE FUNCTION loud()",
    )
    tug = harbour.Tug(captain=7, title="a")

    def rename(session: Session) -> None:
        session.get_one(harbour.Vessel, tug.number).title = "b"

    await vessels.db.write(lambda session: session.add(tug))
    before = len(await vessels.entries())
    await vessels.db.write(rename)
    assert [each[3:] for each in await vessels.told(before)] == [("a", "B")]
    await vessels.is_right()
    await outsider.run("DROP FUNCTION loud CASCADE")


# --- Who is who --------------------------------------------------------------------------------------------


@pytest.mark.only_on("sqlite", reason="PostgreSQL has no INSERT OR …")
async def test_a_row_that_is_replaced_by_itself_is_changed(captured: Database, outsider: Outsider, log: Log) -> None:
    await add_request(captured, await add_user(captured))
    before = len(await log.entries())
    columns = "id, public_id, version, requester_id, litres, status, created_at, updated_at"
    await outsider.run(
        f"INSERT OR REPLACE INTO fuel_requests ({columns}) SELECT id, public_id, 2, requester_id, 700, 'REJECTED', "
        "created_at, updated_at FROM fuel_requests"
    )
    assert {each[0] for each in await log.told(before)} == {"UPDATED"}
    await log.is_right()


@pytest.mark.parametrize("together", [True, False])
async def test_a_key_that_is_used_again_is_another_entity(vessels: Log, outsider: Outsider, together: bool) -> None:
    tanker, before = await full(vessels)
    no, yes = ("0", "1") if vessels.db.is_sqlite else ("false", "true")
    change = f'UPDATE tankers SET "full" = {no}'
    others = (
        "DELETE FROM vessels",
        "INSERT INTO vessels (number, public_id, version, sort, captain, name) "
        f"VALUES ({tanker.number}, {outsider.id(uuid4())}, 1, 'tanker', 9, 'other')",
        f'INSERT INTO tankers (number, "full") VALUES ({tanker.number}, {yes})',
    )
    await (outsider.run(change, *others) if together else outsider.run(change))
    if not together:
        await outsider.run(*others)
    told = (await vessels.entries())[before:]
    assert {each.owner_id for each in told if each.entity_id == tanker.public_id} == {5}
    assert {each.owner_id for each in told if each.entity_id != tanker.public_id} == {9}
    assert {each.kind.name for each in told if each.entity_id != tanker.public_id} == {"CREATED"}
    await vessels.is_right()


async def test_a_process_that_knows_fewer_tables_leaves_them_to_others(
    captured: Database, outsider: Outsider, log: Log
) -> None:
    await add_request(captured, await add_user(captured))
    before = len(await log.entries())
    await outsider.run("UPDATE fuel_requests SET status = 'APPROVED'")
    other = Database(captured.url.render_as_string(hide_password=False))
    assert await switch.drain(other, [each for each in SERVICE.models if each is not FuelRequest]) == 0
    await other.close()
    assert [each[3:] for each in await log.told(before)] == [("PENDING", "APPROVED")]


# --- Who comes in between ----------------------------------------------------------------------------------


@pytest.mark.only_on("postgres", reason="on SQLite triggers are made while nobody writes")
async def test_a_transaction_that_began_before_the_triggers_is_recorded_once(
    db: Database, outsider: Outsider, log: Log
) -> None:
    ada = await add_user(db)
    request = await add_request(db, ada)
    before = len(await log.entries())

    async def install() -> None:
        other = Database(db.url.render_as_string(hide_password=False))
        await switch.install(other, SERVICE.models, pause=0)
        await other.close()

    def slow(session: Session) -> None:
        session.get_one(User, ada.id)  # it has begun
        thread = threading.Thread(target=lambda: asyncio.run(install()))
        thread.start()
        thread.join()
        session.get_one(FuelRequest, request.id).status = APPROVED

    await db.write(slow)
    await switch.notice(db, SERVICE.models)
    assert len([each for each in await log.told(before) if each[1] == "FuelRequest"]) == 1
    await log.is_right()
    await switch.remove(db, SERVICE.models)


@pytest.mark.only_on("postgres", reason="SQLite has no roles")
async def test_an_install_that_fails_leaves_it_off(db: Database, outsider: Outsider) -> None:
    role = f"r{uuid4().hex[:8]}"
    admin = await asyncpg.connect(session_of(outsider))
    await admin.execute(f"CREATE ROLE {role} LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")
    other = Database(db.url.set(username=role).render_as_string(hide_password=False))
    try:
        with pytest.raises(Exception, match="permission denied"):
            await switch.install(other, SERVICE.models, pause=0)
        assert not other.says_inside
        assert not await switch.is_installed(db)
    finally:
        await other.close()
        await admin.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
        await admin.close()


@pytest.mark.only_on("postgres", reason="SQLite has one writer at a time")
async def test_to_go_back_waits_for_who_is_writing(captured: Database, outsider: Outsider, log: Log) -> None:
    await add_request(captured, await add_user(captured))
    await log.entries()
    writer = await asyncpg.connect(session_of(outsider))
    transaction = writer.transaction()
    await transaction.start()
    await writer.execute("UPDATE fuel_requests SET status = 'APPROVED'")
    going_back = asyncio.create_task(migrations.take_back(captured, migrations.ENGINE, "0002"))
    blocked = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    async with asyncio.timeout(20):
        while not await writer.fetchval(blocked):  # noqa: ASYNC110  (it is told by nobody)
            await asyncio.sleep(0)
    await transaction.commit()
    await writer.close()
    with pytest.raises(ConfigurationError, match=r"1 rows .* are not in the log yet"):
        await going_back
    await log.is_right()


@pytest.mark.only_on("postgres", reason="SQLite has no TRUNCATE")
async def test_a_truncate_that_would_not_see_all_rows_is_refused(captured: Database, outsider: Outsider) -> None:
    await add_request(captured, await add_user(captured))
    with pytest.raises(asyncpg.RaiseError, match="READ COMMITTED"):
        await outsider.run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "TRUNCATE fuel_requests")
