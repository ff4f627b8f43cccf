"""The queue in the database: who may work on what, and what is written down."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import event, insert, update
from sqlalchemy.orm import Session

from gql_app.changes.models import ChangeRecord
from gql_app.changes.sequencer import move
from gql_app.db import ANNOUNCED, Database
from gql_app.db import now as database_now
from gql_app.deliveries import due, queue
from gql_app.deliveries.claims import Claim, Result
from gql_app.deliveries.models import AttemptOutcome, Channel, Delivery, DeliveryState
from gql_app.deliveries.queue import LEASE
from gql_app.deliveries.retry import Next, after_attempt
from tests.deliveries.room import LONG_AGO, Room
from tests.ruling import service_database
from tests.things import rows_of

PENDING, SENDING, SENT = DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.SENT
UNKNOWN, DEAD = DeliveryState.UNKNOWN, DeliveryState.DEAD
SECOND = timedelta(seconds=1)


def now() -> datetime:
    return datetime.now(UTC)


def ids(claims: Iterable[Claim]) -> list[int]:
    return [claim.id for claim in claims]


async def claim(
    room: Room, limit: int = 100, channel: Channel = Channel.SMS, at: datetime | None = None
) -> list[Claim]:
    return await room.db.write(queue.claim, channel, at or now(), limit)


def result(claim: Claim, outcome: AttemptOutcome = AttemptOutcome.SENT, **values: Any) -> Result:
    moment = now()
    then = after_attempt(outcome, claim.failures + 1, moment, resend_is_safe=False)
    provider_id = "SM1" if outcome is AttemptOutcome.SENT else None
    fields: dict[str, Any] = {"claim": claim, "outcome": outcome, "then": then, "finished_at": moment}
    return Result(**(fields | {"provider_id": provider_id} | values))


async def finish(room: Room, *results: Result) -> int:
    return await room.db.write(queue.finish, results)


@pytest.fixture
async def another(database_url: str) -> AsyncIterator[Database]:
    """The same database, as another process has it."""
    db = service_database(database_url)
    yield db
    await db.close()


# --- Claiming ----------------------------------------------------------------------------------------------


async def test_at_most_the_limit_is_claimed_and_the_oldest_due_first(room: Room) -> None:
    moments = [now() - SECOND * age for age in (10, 40, 20, 50, 30)]
    owed = [await room.owe(due_at=moment) for moment in moments]
    oldest = sorted(owed, key=lambda each: moments[owed.index(each)])
    assert set(ids(await claim(room, limit=2))) == set(oldest[:2])
    assert set(ids(await claim(room, limit=2))) == set(oldest[2:4])
    assert ids(await claim(room, limit=2)) == oldest[4:]


async def test_only_the_channels_messages_are_claimed(room: Room) -> None:
    sms, mail = await room.owe(Channel.SMS), await room.owe(Channel.EMAIL)
    assert ids(await claim(room, channel=Channel.EMAIL)) == [mail]
    assert ids(await claim(room, channel=Channel.SMS)) == [sms]


async def test_what_is_not_due_yet_is_left_alone(room: Room) -> None:
    delivery_id = await room.owe(due_at=now() + LONG_AGO)
    assert await claim(room) == []
    assert ids(await claim(room, at=now() + LONG_AGO + SECOND)) == [delivery_id]


@pytest.mark.parametrize("state", [SENT, DeliveryState.DELIVERED, DeliveryState.UNDELIVERED, DEAD])
@pytest.mark.check_finds("unexplained", reason="begins with a state that no attempt led to")
async def test_what_is_finished_is_never_claimed(room: Room, state: DeliveryState) -> None:
    await room.owe(state=state, due_at=None)
    assert await claim(room, at=now() + timedelta(days=1000)) == []


async def test_a_claim_carries_the_message_as_it_is_owed(room: Room) -> None:
    delivery_id = await room.owe(Channel.EMAIL)
    (held,) = await claim(room, channel=Channel.EMAIL)
    row = await room.delivery(delivery_id)
    assert (held.message.id, held.message.recipient) == (row.public_id, row.recipient)
    assert (held.row.subject, held.row.body, held.row.html) == (row.subject, row.body, row.html)
    assert (held.attempt, held.failures, held.unclear_since, held.recipient_id) == (1, 0, None, row.recipient_id)


async def test_the_attempt_is_recorded_with_the_claim(room: Room) -> None:
    delivery_id = await room.owe()
    moment = now()
    (held,) = await claim(room, at=moment)
    (attempt,) = await room.attempts(delivery_id)
    assert (attempt.number, attempt.started_at, attempt.finished_at, attempt.outcome) == (1, moment, None, None)
    assert attempt.public_id == held.message.attempt_id
    row = await room.delivery(delivery_id)
    assert (row.shown_state, row.lease, row.due_at, row.attempt_count) == (SENDING, held.lease, moment + LEASE, 1)


async def test_a_claim_that_is_rolled_back_was_never_made(room: Room) -> None:
    delivery_id = await room.owe()

    def claim_and_fail(session: Session) -> None:
        assert queue.claim(session, Channel.SMS, now(), 10)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await room.db.write(claim_and_fail)
    assert await room.attempts(delivery_id) == []
    assert ids(await claim(room)) == [delivery_id]


async def test_what_is_claimed_is_not_claimed_again_while_its_lease_runs(room: Room) -> None:
    delivery_id = await room.owe()
    moment = now()
    assert ids(await claim(room, at=moment)) == [delivery_id]
    assert await claim(room, at=moment) == []
    assert await claim(room, at=moment + LEASE - SECOND) == []
    assert ids(await claim(room, at=moment + LEASE + SECOND)) == [delivery_id]


async def test_workers_of_several_processes_claim_disjoint_sets(room: Room, another: Database) -> None:
    owed = await room.owe_many(60)
    rounds = [db.write(queue.claim, Channel.SMS, now(), 7) for db in (room.db, another) * 6]
    claimed = [each for claims in await asyncio.gather(*rounds) for each in ids(claims)]
    while rest := await claim(room, limit=7):
        claimed += ids(rest)
    assert sorted(claimed) == sorted(owed)
    assert len(await room.all_attempts()) == len(owed)


@pytest.mark.check_finds("unexplained", "overdue", reason="states and times without a history")
async def test_the_next_due_moment_is_that_of_the_channel(room: Room) -> None:
    assert await due.next_due(room.db, Channel.SMS) is None
    later, sooner = now() + LONG_AGO, now() + SECOND
    await room.owe(due_at=later)
    await room.owe(due_at=sooner)
    await room.owe(Channel.EMAIL, due_at=now() - LONG_AGO)
    await room.owe(state=SENT, due_at=None)
    asked = await room.db.read(database_now)
    found = await due.next_due(room.db, Channel.SMS)
    assert found is not None
    moment, clock = found
    assert moment == sooner
    assert asked <= clock.moment <= clock.now() < asked + LONG_AGO


@pytest.mark.unwitnessed("fills the table with rows that no log tells of")
async def test_claiming_reads_an_index_of_what_is_due_not_of_all_that_ever_was(room: Room) -> None:
    """Even if the database knows the queue only from a time when it was empty, and has 2,000 messages in it now."""
    await room.db.write(finished_rows, 10_000)
    await room.db.write(lambda session: session.connection().exec_driver_sql("ANALYZE"))
    await room.owe_many(2_000)
    plans = []
    for work, args in ((queue.claim, (now(), 16)), (look_for_the_next, ())):
        for statement, parameters in await statements_of(room.db, work, Channel.SMS, *args):
            if statement.lstrip().upper().startswith("SELECT") and "ORDER BY" in statement:
                plans.append(await plan_of(room.db, statement, parameters))
    assert len(ids_of_open(await room.all_attempts())) == 16
    assert len(plans) == 2
    for plan in plans:
        assert "ix_deliveries_due" in plan
        assert "ix_deliveries_unfinished" in plan
        if room.db.is_sqlite:
            assert "(channel=? AND recipient=? AND rowid<?)" in plan or "(channel=? AND recipient=? AND id<?)" in plan
            unwanted = {"SCAN", "TEMP B-TREE"}
        else:
            assert "(recipient)::text = (deliveries.recipient)::text) AND (id < deliveries.id)" in plan
            unwanted = {"Seq Scan", "Join", "Sort", "Bitmap"}
        assert not [each for each in unwanted if each in plan], plan


def look_for_the_next(session: Session, channel: Channel) -> None:
    session.connection().execute(due.NEXT_DUE, {"channel": channel})


def ids_of_open(attempts: Sequence[Any]) -> list[int]:
    return [attempt.delivery_id for attempt in attempts if attempt.finished_at is None]


def finished_rows(session: Session, count: int) -> None:
    moment = now()
    row = {
        "version": 1,
        "channel": Channel.SMS,
        "state": SENT,
        "recipient": "+15005550010",
        "body": "done",
        "rule": "test",
        "change_set": uuid4(),
        "attempt_count": 1,
        "failure_count": 0,
        "created_at": moment,
        "updated_at": moment,
    }
    table: Any = Delivery.__table__
    rows = [{**row, "public_id": uuid4()} for _ in range(count)]
    session.connection().execute(insert(table), rows, execution_options=ANNOUNCED)


async def statements_of(db: Database, work: Any, *args: Any) -> list[tuple[str, Any]]:
    """What a unit of work sends to the database."""
    seen: list[tuple[str, Any]] = []

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        seen.append((statement, parameters))

    for engine in db.sync_engines:
        event.listen(engine, "before_cursor_execute", note)
    try:
        await db.write(work, *args)
    finally:
        for engine in db.sync_engines:
            event.remove(engine, "before_cursor_execute", note)
    return seen


async def plan_of(db: Database, statement: str, parameters: Any) -> str:
    def explain(session: Session) -> str:
        explain = "EXPLAIN QUERY PLAN " if db.is_sqlite else "EXPLAIN "
        rows = session.connection().exec_driver_sql(explain + statement, parameters)
        return "\n".join(str(row[-1]) for row in rows)

    return await db.read(explain)


# --- A worker that died ------------------------------------------------------------------------------------


async def test_an_ended_lease_is_taken_over_and_the_interrupted_attempt_is_unknown(room: Room) -> None:
    delivery_id = await room.owe()
    begun = now()
    await claim(room, at=begun)
    taken_over = begun + LEASE + SECOND
    (held,) = await claim(room, at=taken_over)
    assert (held.attempt, held.unclear_since) == (2, begun)
    first, second = await room.attempts(delivery_id)
    assert (first.outcome, first.finished_at) == (AttemptOutcome.UNKNOWN, taken_over)
    assert (second.outcome, second.finished_at) == (None, None)


async def test_what_was_unclear_is_unclear_since_its_first_unclear_attempt(room: Room) -> None:
    await room.owe()
    begun = now()
    (held,) = await claim(room, at=begun)
    await finish(room, result(held, AttemptOutcome.UNKNOWN))
    for number in (2, 3):
        (held,) = await claim(room, at=begun + LONG_AGO * number)
        assert (held.attempt, held.unclear_since) == (number, begun)
        await finish(room, result(held, AttemptOutcome.UNKNOWN))


async def test_a_plain_failure_leaves_nothing_unclear(room: Room) -> None:
    await room.owe()
    (held,) = await claim(room)
    await finish(room, result(held, AttemptOutcome.TRANSIENT))
    (held,) = await claim(room, at=now() + LONG_AGO)
    assert (held.attempt, held.failures, held.unclear_since) == (2, 1, None)


async def test_refused_credentials_do_not_make_an_unclear_message_clear(room: Room) -> None:
    """Its look-up met wrong credentials: whether it had been accepted is as open as before."""
    await room.owe()
    begun = now()
    await claim(room, at=begun)
    (held,) = await claim(room, at=begun + LEASE + SECOND)
    then = Next(UNKNOWN if held.unclear_since else PENDING, now())
    await finish(room, result(held, AttemptOutcome.REFUSED, then=then))
    (held,) = await claim(room, at=begun + LONG_AGO)
    assert held.unclear_since == begun


# --- Writing down ------------------------------------------------------------------------------------------


async def test_a_result_ends_the_attempt_and_moves_the_message(room: Room) -> None:
    delivery_id = await room.owe()
    (held,) = await claim(room)
    done = result(held, provider_id="SM42")
    assert await finish(room, done) == 1
    (attempt,) = await room.attempts(delivery_id)
    assert (attempt.outcome, attempt.finished_at, attempt.provider_id) == (
        AttemptOutcome.SENT,
        done.finished_at,
        "SM42",
    )
    row = await room.delivery(delivery_id)
    assert (row.state, row.due_at, row.lease, row.provider_id, row.failure_count) == (SENT, None, None, "SM42", 0)


async def test_many_results_are_each_their_own(room: Room) -> None:
    outcomes = list(AttemptOutcome)
    owed = await room.owe_many(len(outcomes))
    held = {each.id: each for each in await claim(room)}
    results = [
        result(held[each], outcome, error_code=outcome.name, error=f"it was {outcome.name}")
        for each, outcome in zip(owed, outcomes, strict=True)
    ]
    assert await finish(room, *results) == len(outcomes)
    for each, done in zip(owed, results, strict=True):
        (attempt,) = await room.attempts(each)
        row = await room.delivery(each)
        assert (attempt.outcome, attempt.error_code, attempt.error) == (
            done.outcome,
            done.outcome.name,
            f"it was {done.outcome.name}",
        )
        assert (row.state, row.due_at) == (done.then.state, done.then.due_at)
        counted = done.outcome in (AttemptOutcome.TRANSIENT, AttemptOutcome.PERMANENT, AttemptOutcome.UNKNOWN)
        assert row.failure_count == int(counted)


async def test_a_result_without_its_lease_changes_nothing(room: Room) -> None:
    delivery_id = await room.owe()
    begun = now()
    (lost,) = await claim(room, at=begun)
    (held,) = await claim(room, at=begun + LEASE + SECOND)
    before, log = await room.delivery(delivery_id), await room.states_in_log(delivery_id)
    assert await finish(room, result(lost)) == 0
    row = await room.delivery(delivery_id)
    assert (row.shown_state, row.lease, row.version, row.provider_id) == (SENDING, held.lease, before.version, None)
    assert await room.states_in_log(delivery_id) == log
    assert await room.outcomes(delivery_id) == ["UNKNOWN", None]
    assert await finish(room, result(held)) == 1


async def test_a_result_counts_once(room: Room) -> None:
    delivery_id = await room.owe()
    (held,) = await claim(room)
    assert await finish(room, result(held, AttemptOutcome.TRANSIENT)) == 1
    assert await finish(room, result(held, AttemptOutcome.SENT)) == 0
    assert (await room.delivery(delivery_id)).state is PENDING


async def test_one_lost_lease_does_not_keep_the_others_from_being_written_down(room: Room) -> None:
    lost_id = await room.owe()
    begun = now()
    (lost,) = await claim(room, at=begun)
    await claim(room, at=begun + LEASE + SECOND)
    kept_id = await room.owe()
    (kept,) = await claim(room)
    assert await finish(room, result(lost), result(kept)) == 1
    assert [(await room.delivery(each)).shown_state for each in (lost_id, kept_id)] == [SENDING, SENT]


# --- The change log ----------------------------------------------------------------------------------------


async def test_a_state_is_in_the_log_as_soon_as_it_is_in_the_row(room: Room) -> None:
    delivery_id = await room.owe()
    (held,) = await claim(room)
    assert await room.states_in_log(delivery_id) == [(None, "PENDING")], "a lease is the workers' own affair"
    await finish(room, result(held))
    assert await room.states_in_log(delivery_id) == [(None, "PENDING"), ("PENDING", "SENT")]
    row = await room.delivery(delivery_id)
    await move(room.db)
    last = max(await rows_of(room.db, ChangeRecord), key=lambda each: each.position)
    assert (last.entity_type, last.entity_id, last.owner_id) == ("Delivery", row.public_id, row.recipient_id)


async def test_a_result_that_is_rolled_back_is_silent(room: Room) -> None:
    delivery_id = await room.owe()
    (held,) = await claim(room)
    before = await room.states_in_log(delivery_id)

    def finish_and_fail(session: Session) -> None:
        assert queue.finish(session, [result(held)]) == 1
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await room.db.write(finish_and_fail)
    assert await room.states_in_log(delivery_id) == before
    row = await room.delivery(delivery_id)
    assert (row.shown_state, row.lease) == (SENDING, held.lease)
    assert await room.outcomes(delivery_id) == [None]


async def test_an_attempt_that_changes_no_state_says_nothing(room: Room) -> None:
    delivery_id = await room.owe()
    (held,) = await claim(room)
    await finish(room, result(held, AttemptOutcome.TRANSIENT))
    assert await room.states_in_log(delivery_id) == [(None, "PENDING")]


@pytest.mark.parametrize("outcome", AttemptOutcome)
async def test_the_log_has_no_gap_when_a_worker_died_with_an_unclear_message(
    room: Room, outcome: AttemptOutcome
) -> None:
    """UNKNOWN, claimed for the look-up, and then the worker dies: the log goes on from UNKNOWN."""
    delivery_id = await room.owe()
    begun = now()
    (held,) = await claim(room, at=begun)
    await finish(room, result(held, AttemptOutcome.UNKNOWN))
    await claim(room, at=begun + LONG_AGO)
    (held,) = await claim(room, at=begun + LONG_AGO + LEASE + SECOND)
    await finish(room, result(held, outcome))
    states = await room.states_in_log(delivery_id)
    assert states[:2] == [(None, "PENDING"), ("PENDING", "UNKNOWN")]
    assert [old for old, _ in states[1:]] == [new for _, new in states[:-1]]
    assert all(old != new for old, new in states)
    assert states[-1][1] == (await room.delivery(delivery_id)).state.name


async def test_an_admins_retry_makes_no_gap_in_the_log(room: Room) -> None:
    delivery_id = await room.owe()
    (held,) = await claim(room)
    await finish(room, result(held, AttemptOutcome.PERMANENT))

    def queue_again(session: Session) -> None:
        row = session.get_one(Delivery, delivery_id)
        row.state, row.due_at = PENDING, now()

    await room.db.write(queue_again)
    (held,) = await claim(room)
    await finish(room, result(held))
    assert await room.states_in_log(delivery_id) == [
        (None, "PENDING"),
        ("PENDING", "DEAD"),
        ("DEAD", "PENDING"),
        ("PENDING", "SENT"),
    ]


async def test_a_stale_copy_of_a_delivery_cannot_overwrite_what_a_worker_wrote(room: Room) -> None:
    """A worker's statements count the version, too: who read before it is run again with what is true now."""
    delivery_id = await room.owe()
    versions = [(await room.delivery(delivery_id)).version]
    (held,) = await claim(room)
    versions.append((await room.delivery(delivery_id)).version)
    await finish(room, result(held))
    versions.append((await room.delivery(delivery_id)).version)
    assert versions == [1, 2, 3]


# --- One recipient's messages in their order ---------------------------------------------------------------


@pytest.mark.check_finds("one result for two", reason="the same provider's id for all")
async def test_messages_to_one_recipient_go_out_one_after_the_other(room: Room) -> None:
    first, second = await room.owe_many(2, recipient="+15005550001")
    other = await room.owe()
    held = await claim(room)
    assert sorted(ids(held)) == [first, other]
    assert await claim(room) == []
    await finish(room, *(result(each) for each in held))
    assert ids(await claim(room)) == [second]


async def test_a_message_that_was_given_up_holds_nobody_back(room: Room) -> None:
    _, second = await room.owe_many(2, recipient="+15005550001")
    (held,) = await claim(room)
    await finish(room, result(held, AttemptOutcome.PERMANENT))
    assert ids(await claim(room)) == [second]


async def test_a_message_that_waits_holds_back_those_behind_it(room: Room) -> None:
    first, _ = await room.owe_many(2, recipient="+15005550001")
    (held,) = await claim(room)
    await finish(room, result(held, AttemptOutcome.TRANSIENT))
    assert await claim(room) == []
    assert ids(await claim(room, at=now() + LONG_AGO)) == [first]


@pytest.mark.unwitnessed("changes a delivery with a bare connection, to hold its row")
async def test_what_is_queued_again_while_it_is_pruned_stays(postgres_url: str) -> None:
    """Its row is held by somebody who has not committed yet."""
    db = service_database(postgres_url)
    with Room(db).listening() as room:
        delivery_id = await room.owe(state=SENT, due_at=None)
        again = (
            update(Delivery)
            .execution_options(**ANNOUNCED)
            .where(Delivery.id == delivery_id)
            .values(state=PENDING, due_at=now())
        )
        async with db.engine.begin() as other:
            await other.execute(again)
            async with asyncio.timeout(20):
                assert await db.write(queue.prune, now() + LONG_AGO) == 0
        assert (await room.delivery(delivery_id)).state is PENDING
    await db.close()
