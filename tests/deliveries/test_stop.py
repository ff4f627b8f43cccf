"""Stopping: what is in the air is finished or left to its lease; nothing is lost, and nobody waits for long."""

import asyncio
import time

import pytest

from gql_app.deliveries.models import BUILT_IN, Channel, DeliveryState
from gql_app.deliveries.sms import CONCURRENCY
from gql_app.deliveries.worker import DRAIN_SECONDS
from gql_app.settings import Settings
from tests.deliveries.conftest import delivering
from tests.deliveries.room import Room
from tests.standins.smtp import SmtpFault, SmtpStandIn
from tests.standins.twilio import TwilioFault, TwilioStandIn

SENDING, SENT = DeliveryState.SENDING, DeliveryState.SENT
GRACE = 3.0
"""Seconds that a stop may take for itself."""


async def tried(stand_in: TwilioStandIn | SmtpStandIn, count: int = 1) -> None:
    async with asyncio.timeout(10):
        await stand_in.wait_for_attempts(count)


@pytest.mark.parametrize("channel", BUILT_IN)
async def test_a_message_in_the_air_is_finished_and_written_down(
    channel: Channel, outside: Settings, twilio: TwilioStandIn, smtp: SmtpStandIn
) -> None:
    stand_in: TwilioStandIn | SmtpStandIn = twilio if channel is Channel.SMS else smtp
    stand_in.delay = 0.5
    async with delivering(outside, deliver=False) as (app, room):
        async with app.workers.running():
            delivery_id = await room.owe(channel)
            await tried(stand_in)
            assert (await room.delivery(delivery_id)).shown_state is SENDING
        row = await room.delivery(delivery_id)
        assert (row.state, row.lease, row.due_at) == (SENT, None, None)
        assert len(stand_in.messages) == 1
        assert await room.outcomes(delivery_id) == ["SENT"]


async def test_a_full_load_in_the_air_is_finished_and_the_rest_is_not_begun(
    outside: Settings, twilio: TwilioStandIn
) -> None:
    twilio.delay = 0.5
    async with delivering(outside, deliver=False) as (app, room):
        await room.owe_many(CONCURRENCY * 3)
        async with app.workers.running():
            await room.until(lambda: sent(room))
            twilio.delay = 1.0
            before = len(twilio.attempts)
        attempts = await room.all_attempts()
        assert all(attempt.finished_at is not None for attempt in attempts)
        assert len(twilio.messages) == len(attempts) <= before + CONCURRENCY
        assert {row.state for row in await room.deliveries()} <= {SENT, DeliveryState.PENDING}
        async with app.workers.running():
            await room.all_reached(SENT)
        assert sorted(m.body for m in twilio.messages) == sorted(f"text {n + 1}" for n in range(CONCURRENCY * 3))


async def sent(room: Room) -> bool | None:
    return True if any(row.state is SENT for row in await room.deliveries()) else None


@pytest.mark.parametrize(("fault", "arrived_before"), [(TwilioFault.HANG_BEFORE, 0), (TwilioFault.HANG_AFTER, 1)])
async def test_a_message_that_hangs_is_left_to_its_lease_and_arrives_once(
    fault: TwilioFault, arrived_before: int, outside: Settings, twilio: TwilioStandIn
) -> None:
    twilio.faults.append(fault)
    async with delivering(outside, deliver=False) as (app, room):
        async with app.workers.running():
            delivery_id = await room.owe()
            await tried(twilio)
            begun = time.monotonic()
        assert DRAIN_SECONDS - GRACE < time.monotonic() - begun < DRAIN_SECONDS + GRACE
        row = await room.delivery(delivery_id)
        assert (row.shown_state, row.lease is not None, row.due_at is not None) == (SENDING, True, True)
        assert await room.outcomes(delivery_id) == [None]
        assert len(twilio.messages) == arrived_before

        await room.make_due(delivery_id, even_if_leased=True)
        async with app.workers.running():
            row = await room.attempted(delivery_id, 2)
        assert (row.state, row.provider_id) == (SENT, twilio.messages[0].sid)
        assert await room.outcomes(delivery_id) == ["UNKNOWN", "SENT"]
        assert len(twilio.messages) == 1


async def test_a_hanging_channel_does_not_keep_the_other_from_finishing(
    outside: Settings, twilio: TwilioStandIn, smtp: SmtpStandIn
) -> None:
    twilio.delay = 0.5
    smtp.faults.append(SmtpFault.HANG_BEFORE_ACCEPT)
    async with delivering(outside, deliver=False) as (app, room):
        async with app.workers.running():
            mail, sms = await room.owe(Channel.EMAIL), await room.owe(Channel.SMS)
            await tried(smtp)
            await tried(twilio)
        assert [(await room.delivery(each)).shown_state for each in (mail, sms)] == [SENDING, SENT]


async def test_an_idle_worker_stops_at_once(outside: Settings) -> None:
    async with delivering(outside, deliver=False) as (app, room):
        async with app.workers.running():
            await room.reached(await room.owe(), SENT)
            begun = time.monotonic()
        assert time.monotonic() - begun < GRACE
        assert app.workers.channels == []


async def test_a_message_claimed_at_the_moment_of_the_stop_is_sent_not_left_to_its_lease(
    outside: Settings, twilio: TwilioStandIn
) -> None:
    async with delivering(outside, deliver=False) as (app, room):
        async with app.workers.running():
            delivery_id = await room.owe()
            await room.until(lambda: claimed(room, delivery_id))
        row = await room.delivery(delivery_id)
        assert (row.state, await room.outcomes(delivery_id), len(twilio.messages)) == (SENT, ["SENT"], 1)


async def claimed(room: Room, delivery_id: int) -> bool | None:
    return True if (await room.delivery(delivery_id)).attempt_count else None


async def test_a_stop_while_the_claim_is_being_written_loses_no_minute(
    outside: Settings, twilio: TwilioStandIn
) -> None:
    """The stop comes with the very commit that claims: there is an attempt in the rows, and it must be made."""
    async with delivering(outside, deliver=False) as (app, room):
        delivery_id = await room.owe()
        async with app.workers.running():
            await room.next_commit()
        rows = await room.delivery(delivery_id), await room.outcomes(delivery_id), len(twilio.messages)
        assert (rows[0].state, *rows[1:]) in [(SENT, ["SENT"], 1), (DeliveryState.PENDING, [], 0)]


async def test_workers_can_run_again_after_a_stop(outside: Settings, twilio: TwilioStandIn) -> None:
    async with delivering(outside, deliver=False) as (app, room):
        for count in (1, 2):
            async with app.workers.running():
                await room.reached(await room.owe(body=f"round {count}"), SENT)
        assert [message.body for message in twilio.messages] == ["round 1", "round 2"]
