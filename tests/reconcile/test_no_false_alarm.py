"""`gql-app check` does not cry wolf."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session
from sqlalchemy.util import await_only

from gql_app.accounts.models import User
from gql_app.changes import log
from gql_app.changes.baseline import names_of, note_what_is_tracked
from gql_app.changes.models import ChangeLogState, TrackedSince
from gql_app.changes.sequencer import move
from gql_app.changes.tracking import tracked_models
from gql_app.db import Database
from gql_app.deliveries import queue
from gql_app.deliveries.messages import Owed, sms
from gql_app.deliveries.models import Channel, Delivery
from gql_app.deliveries.rules import Change, on_change
from gql_app.demo.fuel_requests.models import FuelRequest, FuelRequestStatus
from gql_app.reconcile import reconcile
from gql_app.reconcile.snapshot import ROLLOUT
from tests.reconcile.filled import ADA, fill, run, send_all, stamp
from tests.ruling import besides, service_database
from tests.things import add_request, add_user, head_of, right_before, rows_of

pytestmark = pytest.mark.unwitnessed("writes as older versions and other programs would")

LONG_AGO = timedelta(hours=-2)


@pytest.fixture
async def filled(db: Database) -> Database:
    await fill(db)
    return db


async def found(db: Database) -> list[str]:
    return [str(finding) for finding in await db.read(reconcile)]


async def change_note(db: Database, request: FuelRequest, note: str | None) -> None:
    def change(session: Session) -> None:
        session.get_one(FuelRequest, request.id).note = note

    await db.write(change)


async def test_nothing_is_found_where_all_is_well(filled: Database) -> None:
    assert await found(filled) == []


async def test_nor_in_an_empty_database(db: Database) -> None:
    assert await found(db) == []


@pytest.fixture
def sometimes(db: Database) -> None:
    """A rule that owes a message for long notes only."""

    @besides(db)
    @on_change(FuelRequest.note, propagate=True)
    def tell_of_long_notes(change: Change[FuelRequest]) -> Iterator[Owed]:
        if len(change.new or "") > 5:
            yield sms(change.session.get_one(User, change.subject.requester_id), "A long note.")


@pytest.mark.usefixtures("sometimes")
async def test_a_rule_may_owe_a_message_only_sometimes(db: Database) -> None:
    request = await add_request(db, await add_user(db), note="a")
    await change_note(db, request, "b")
    await change_note(db, request, "long enough")
    await change_note(db, request, None)
    assert len([row for row in await rows_of(db, Delivery) if row.channel is Channel.SMS]) == 1
    assert await found(db) == []


async def test_nobody_misses_a_message_to_people_without_a_phone(db: Database) -> None:
    request = await add_request(db, await add_user(db, phone_number=None))

    def decide(session: Session) -> None:
        session.get_one(FuelRequest, request.id).status = FuelRequestStatus.APPROVED

    await db.write(decide)
    assert {row.channel for row in await rows_of(db, Delivery)} == {Channel.EMAIL}
    assert await found(db) == []


async def test_a_message_that_waits_behind_an_older_one_is_not_overdue(filled: Database) -> None:
    waiting = f"recipient = '{ADA}' AND due_at IS NOT NULL AND lease IS NULL"
    await run(
        filled,
        f"UPDATE delivery_attempts SET started_at = '{stamp(LONG_AGO)}'",
        "INSERT INTO deliveries (public_id, version, channel, state, recipient_id, recipient, body, rule, change_set,"
        " due_at, attempt_count, failure_count, created_at, updated_at) SELECT change_set, 1, channel, 'PENDING',"
        f" recipient_id, recipient, 'later', 'test', change_set, '{stamp(LONG_AGO)}', 0, 0, created_at, updated_at"
        " FROM deliveries WHERE lease IS NOT NULL",
        "INSERT INTO change_events (change_set, kind, entity_type, entity_id, attribute, new_value, owner_id,"
        " occurred_at) SELECT change_set, 'CREATED', 'Delivery', public_id, 'state', 'PENDING', recipient_id,"
        f" created_at FROM deliveries WHERE {waiting}",
    )
    assert await found(filled) == []


async def test_nothing_is_overdue_on_a_channel_on_which_somebody_works(filled: Database) -> None:
    """It is busy, or paused: then it tries a message every minute."""
    await run(filled, f"UPDATE deliveries SET due_at = '{stamp(LONG_AGO)}' WHERE due_at IS NOT NULL AND lease IS NULL")
    assert await found(filled) == []


async def test_after_pruning_there_is_nothing_to_find(filled: Database) -> None:
    later = datetime.now(UTC) + timedelta(days=1)
    assert await filled.write(queue.prune, later) > 0
    assert await found(filled) == []
    assert await filled.write(log.prune, later, 7) == 7
    while await filled.write(log.prune, later, 7):
        assert await found(filled) == []
    assert await found(filled) == []


async def test_what_happens_after_a_prune_is_followed(filled: Database) -> None:
    later = datetime.now(UTC) + timedelta(days=1)
    while await filled.write(log.prune, later):
        pass
    (request, *_) = [row for row in await rows_of(filled, FuelRequest) if row.note == "open"]
    await change_note(filled, request, "changed")
    await add_user(filled, "grace")
    await move(filled)
    assert await found(filled) == []
    await run(filled, "UPDATE fuel_requests SET note = 'past the log' WHERE note = 'changed'")
    assert [finding.split(":")[0] for finding in await found(filled)] == ["differs"]


async def test_a_message_that_is_missing_was_pruned_only_if_it_had_ended_by_then(filled: Database) -> None:
    await run(filled, "DELETE FROM deliveries WHERE rule = 'accounts.rules.welcome'")
    assert {finding.split(":")[0] for finding in await found(filled)} == {"missing row", "missing message"}
    state = "INSERT INTO change_log_state (id, pruned_through, deliveries_pruned_before) VALUES (1, 0, '{}')"
    await run(filled, state.format(stamp(timedelta(minutes=-5))))
    assert len(await found(filled)) == 2
    await run(filled, "DELETE FROM change_log_state", state.format(stamp()))
    assert await found(filled) == []


async def test_how_far_messages_were_pruned_never_goes_back(filled: Database) -> None:
    now = datetime.now(UTC)
    await filled.write(queue.prune, now, 1)
    await filled.write(log.note_pruned, now - timedelta(days=1))
    assert [row.deliveries_pruned_before for row in await rows_of(filled, ChangeLogState)] == [now]


async def test_rows_older_than_tracking_need_no_history(filled: Database) -> None:
    """Their tables are older than the models that are tracked."""
    await run(filled, "DELETE FROM tracked_since")
    await note_what_is_tracked(filled)
    await run(filled, "DELETE FROM change_events", "UPDATE deliveries SET cause_id = NULL")
    await add_user(filled, "grace")
    (request, *_) = [row for row in await rows_of(filled, FuelRequest) if row.note == "open"]
    await change_note(filled, request, "changed")
    await move(filled)
    assert await found(filled) == []
    await run(filled, "DELETE FROM tracked_since")
    assert {finding.split(":")[0] for finding in await found(filled)} == {"unrecorded", "no beginning"}


async def test_what_is_younger_than_its_tracking_needs_a_history(filled: Database) -> None:
    await run(filled, "DELETE FROM tracked_since")
    await note_what_is_tracked(filled)
    await run(
        filled,
        f"UPDATE tracked_since SET since = '{stamp(-2 * ROLLOUT)}', since_position = 1",
        "DELETE FROM change_events WHERE entity_type = 'FuelRequest' AND attribute = 'litres'",
        "DELETE FROM change_events WHERE entity_type = 'Project'",
    )
    assert {finding.split(":")[0] for finding in await found(filled)} >= {"unrecorded"}


async def test_two_processes_may_note_at_once_what_is_tracked(filled: Database) -> None:
    await run(filled, "DELETE FROM tracked_since")
    await asyncio.gather(*(note_what_is_tracked(filled) for _ in range(5)))
    noted = await rows_of(filled, TrackedSince)
    assert names_of(tracked_models()) == {(row.entity_type, row.attribute) for row in noted}
    assert {row.since_position for row in noted} == {await head_of(filled)}


TRACK = "INSERT INTO tracked_since (entity_type, attribute, since_position, since) VALUES"


async def track_litres_from(db: Database, position: int) -> None:
    await run(
        db,
        "DELETE FROM tracked_since WHERE attribute = 'litres'",
        f"{TRACK} ('FuelRequest', 'litres', {position}, '{stamp()}')",
    )


async def test_an_attribute_that_is_tracked_later_may_have_any_value_before(filled: Database) -> None:
    await run(filled, "DELETE FROM change_events WHERE attribute = 'litres'")
    assert {finding.split(":")[0] for finding in await found(filled)} == {"unrecorded"}
    await track_litres_from(filled, await head_of(filled))
    assert await found(filled) == []


async def test_what_a_later_version_does_not_have_any_more_is_passed_over(filled: Database) -> None:
    await run(
        filled,
        "UPDATE change_events SET attribute = 'colour' WHERE attribute = 'litres'",
        "INSERT INTO change_events (change_set, kind, entity_type, entity_id, attribute, new_value, occurred_at)"
        " SELECT change_set, kind, 'Zeppelin', change_set, 'berth', '7', occurred_at FROM change_events"
        " WHERE attribute = 'colour'",
    )
    await track_litres_from(filled, await head_of(filled))
    assert {finding.split(":")[0] for finding in await found(filled)} == {"unknown"}
    await run(filled, f"{TRACK} ('FuelRequest', 'colour', 0, '{stamp()}'), ('Zeppelin', '', 0, '{stamp()}')")
    assert await found(filled) == []


async def test_processes_of_the_version_before_write_no_decisions(filled: Database) -> None:
    await run(filled, "UPDATE change_events SET decisions = NULL")
    assert await found(filled) == []
    await send_all(filled, Channel.EMAIL)
    assert await found(filled) == []


async def test_a_value_that_an_older_version_wrote_in_another_way_is_the_same(filled: Database) -> None:
    await run(
        filled,
        "UPDATE change_events SET new_value = '10' WHERE new_value = '10.00'",
        "UPDATE change_events SET new_value = replace(new_value, '+00:00', 'Z') WHERE attribute = 'revoked_at'",
    )
    assert await found(filled) == []


@pytest.fixture
async def postgres_db(postgres_url: str) -> AsyncIterator[Database]:
    """As the command opens it."""
    db = service_database(postgres_url, patient=True)
    yield db
    await db.close()


STATEMENTS = (
    "SELECT projects.public_id",
    "SELECT change_events.entity_id",
    "SELECT change_outbox.entity_id",
    "SELECT fuel_requests.public_id AS about",
    "SELECT deliveries.public_id AS about",
    "SELECT $1::INTEGER AS what",
    "SELECT $1::INTEGER AS is_message",
    "SELECT pg_sequence_last_value",
)


@pytest.mark.parametrize("beginning", STATEMENTS)
async def test_a_check_looks_at_one_moment(postgres_db: Database, beginning: str) -> None:
    """While others write: a row and its log belong together."""
    db = postgres_db
    ada = await add_user(db)
    request = await add_request(db, ada, note="a")
    times = 0

    def change(session: Session) -> None:
        found = session.get_one(FuelRequest, request.id)
        found.note = f"{found.note}b"
        found.status = FuelRequestStatus.APPROVED if times % 2 else FuelRequestStatus.REJECTED

    def change_and_move() -> None:
        nonlocal times
        times += 1
        await_only(db.write(change))
        await_only(head_of(db))

    async with asyncio.timeout(20):
        with right_before(db, beginning, change_and_move, once=False):
            assert await found(db) == []
    assert times, "there is no such statement"


async def test_a_busy_database_is_checked_beside_its_writers(db: Database) -> None:
    ada = await add_user(db)
    request = await add_request(db, ada)
    done = asyncio.Event()

    def decide(session: Session, status: FuelRequestStatus) -> None:
        session.get_one(FuelRequest, request.id).status = status
        session.add(FuelRequest(requester_id=ada.id, litres=1))

    async def write() -> int:
        count = 0
        while not done.is_set():
            await db.write(decide, list(FuelRequestStatus)[count % 3])
            await send_all(db, Channel.EMAIL)
            await move(db)
            count += 1
        return count

    writing = asyncio.create_task(write())
    checked: list[Any] = [await found(db) for _ in range(10)]
    done.set()
    assert await writing > 1
    assert checked == [[]] * 10
    await move(db)
    assert await found(db) == []
