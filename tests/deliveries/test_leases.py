"""A message belongs to its worker for as long as that lives, however long its provider takes."""

from datetime import UTC, datetime, timedelta

import pytest

from gql_app.db import now
from gql_app.deliveries import queue
from gql_app.deliveries.claims import Result
from gql_app.deliveries.models import AttemptOutcome, Channel, Delivery, DeliveryState
from gql_app.deliveries.queue import LEASE, RENEWAL
from gql_app.deliveries.retry import Next
from gql_app.deliveries.senders import SEND_TIMEOUT
from gql_app.deliveries.workers import Workers
from gql_app.settings import Settings
from tests.conftest import POLL
from tests.deliveries.conftest import delivering, impatient
from tests.deliveries.room import Room
from tests.deliveries.test_stop import tried
from tests.standins.twilio import TwilioStandIn

BRIEFLY = timedelta(seconds=2)


async def test_a_lease_is_renewed_while_the_provider_is_silent(
    outside: Settings, twilio: TwilioStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease of two seconds is over before the answer, and another worker looks all the time."""
    monkeypatch.setattr(queue, "LEASE", BRIEFLY)
    monkeypatch.setattr(queue, "RENEWAL", 0.05)
    twilio.delay = 3.0
    async with delivering(outside) as (app, room):
        delivery_id = await room.owe()
        await tried(twilio)
        first = (await room.delivery(delivery_id)).due_at
        assert first is not None
        another = Workers(app.db, app.doorbell, impatient(outside, SEND_TIMEOUT), poll_seconds=POLL)
        async with another.running():
            assert (await room.until(lambda: held_until(room, delivery_id, first + BRIEFLY))).lease is not None
            await room.reached(delivery_id, DeliveryState.SENT)
        assert await room.outcomes(delivery_id) == ["SENT"]
    assert len(twilio.messages) == len(twilio.attempts) == 1


async def held_until(room: Room, delivery_id: int, moment: datetime) -> Delivery | None:
    row = await room.delivery(delivery_id)
    return row if row.due_at is not None and row.due_at > moment else None


async def test_what_could_not_be_written_down_yet_stays_with_the_worker_that_knows_it(
    outside: Settings, twilio: TwilioStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the next one would have to ask the provider what became of it."""
    monkeypatch.setattr(queue, "RENEWAL", 0.05)
    finish = queue.finish
    broken = True

    def sometimes(session: object, results: object) -> int:
        if broken:
            raise OSError("the disk is full")
        return finish(session, results)  # type: ignore[arg-type]

    monkeypatch.setattr(queue, "finish", sometimes)
    async with delivering(outside) as (_, room):
        delivery_id = await room.owe()
        await twilio.wait_for_attempts(1)
        first = (await room.delivery(delivery_id)).due_at
        assert first is not None
        await room.until(lambda: held_until(room, delivery_id, first))
        broken = False
        await room.reached(delivery_id, DeliveryState.SENT)
    assert len(twilio.messages) == 1


async def test_only_what_is_still_held_is_renewed(room: Room) -> None:
    lost_id, kept_id = await room.owe_many(2)
    begun = datetime.now(UTC)
    lost, kept = await room.db.write(queue.claim, Channel.SMS, begun, 10)
    assert (lost.id, kept.id) == (lost_id, kept_id)
    await room.make_due(lost_id, even_if_leased=True)
    (stolen,) = await room.db.write(queue.claim, Channel.SMS, datetime.now(UTC), 10)
    theirs = (await room.delivery(lost_id)).due_at
    asked = await room.db.read(now)
    assert await room.db.write(queue.renew, [lost, kept]) == 1
    assert (await room.delivery(lost_id)).due_at == theirs
    until = (await room.delivery(kept_id)).due_at
    assert until is not None
    assert asked + LEASE <= until <= await room.db.read(now) + LEASE
    assert stolen.lease != lost.lease


async def test_an_ended_claim_is_not_brought_back(room: Room) -> None:
    delivery_id = await room.owe()
    moment = datetime.now(UTC)
    (claim,) = await room.db.write(queue.claim, Channel.SMS, moment, 10)
    done = Result(claim, AttemptOutcome.SENT, Next(DeliveryState.SENT, None), moment, provider_id="SM1")
    assert await room.db.write(queue.finish, [done]) == 1
    assert await room.db.write(queue.renew, [claim]) == 0
    assert (await room.delivery(delivery_id)).due_at is None


def test_one_renewal_may_fail_and_an_attempt_ends_within_a_lease() -> None:
    assert LEASE.total_seconds() > 2 * RENEWAL
    assert LEASE.total_seconds() > SEND_TIMEOUT + 1
