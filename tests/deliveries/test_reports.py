"""Twilio's status reports: signed, repeated, out of order, forged."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from gql_app.deliveries.models import AttemptOutcome, Delivery, DeliveryAttempt, DeliveryState
from gql_app.deliveries.reports import PATH
from gql_app.settings import Secret, Settings, Twilio
from gql_app.testing.server import Running, serving
from tests.people import People, decide, submit
from tests.standins.twilio import ACCOUNT_SID, AUTH_TOKEN, TwilioFault, TwilioMessage, TwilioStandIn, send_status

PUBLIC = "https://fuel.example.test"
STATES = "subscription { deliveryUpdated { previousState state delivery { channel } } }"


@pytest.fixture
async def twilio() -> AsyncIterator[TwilioStandIn]:
    async with TwilioStandIn() as standin:
        yield standin


@pytest.fixture
async def server(settings: Settings, twilio: TwilioStandIn) -> AsyncIterator[Running]:
    """With Twilio, behind a proxy: the address that Twilio signs is the public one."""
    configured = Twilio(ACCOUNT_SID, Secret(AUTH_TOKEN), "+15005550006", twilio.url)
    async with serving(replace(settings, twilio=configured, public_url=PUBLIC)) as running:
        yield running


@pytest.fixture
async def message(people: People, twilio: TwilioStandIn) -> TwilioMessage:
    """An SMS that Twilio took."""
    await decide(people.grace, await submit(people.ada))
    (taken,) = await twilio.wait_for(1)
    assert taken.status_callback is not None
    assert taken.status_callback.startswith(PUBLIC + PATH)
    return taken


async def told(server: Running, message: TwilioMessage, status: str, **how: bool) -> int:
    """Send a report to the server, signed for the public address."""
    callback = str(message.status_callback)
    local = callback.replace(PUBLIC, server.url)
    return await send_status(local, AUTH_TOKEN, message.sid, status, signed_url=callback, **how)


def _state(session: Session) -> tuple[DeliveryState, AttemptOutcome | None, str | None]:
    delivery = session.scalars(select(Delivery).where(Delivery.channel == "SMS")).one()
    attempt = session.scalars(
        select(DeliveryAttempt).where(DeliveryAttempt.delivery_id == delivery.id).order_by(DeliveryAttempt.id)
    ).first()
    return delivery.state, attempt.outcome if attempt else None, delivery.provider_id


async def test_a_report_ticks_the_subscription_and_repeated_or_late_ones_do_not(
    server: Running, people: People, message: TwilioMessage
) -> None:
    async with people.ada.subscribed(STATES) as stream:
        for status in ("sent", "delivered", "delivered", "sent", "undelivered"):
            assert await told(server, message, status) == 204
        seen: list[Any] = []
        while not seen or seen[-1]["state"] != "DELIVERED":
            event = await stream.next()
            if event["delivery"]["channel"] == "SMS":
                seen.append(event)
        assert seen[-1]["previousState"] in ("SENT", "PENDING")
    state, _, provider_id = await server.app.db.read(_state)
    assert (state, provider_id) == (DeliveryState.DELIVERED, message.sid)


@pytest.mark.parametrize("how", [{"forge": True}, {"unsigned": True}])
async def test_a_forged_report_is_refused(server: Running, message: TwilioMessage, how: dict[str, bool]) -> None:
    before = await server.app.db.read(_state)
    assert await told(server, message, "undelivered", **how) == 403
    after = await server.app.db.read(_state)
    assert (after[0] is DeliveryState.UNDELIVERED) is (before[0] is DeliveryState.UNDELIVERED) is False


async def test_a_report_that_was_not_delivered_can_be_retried_by_an_admin(
    server: Running, people: People, message: TwilioMessage, twilio: TwilioStandIn
) -> None:
    assert await told(server, message, "undelivered") == 204
    (node,) = (await people.root.data("{ deliveries(filter: {channel: SMS}) { nodes { id state } } }"))["nodes"]
    assert node["state"] == "UNDELIVERED"
    retry = "mutation ($id: ID!) { retryDelivery(input: {id: $id}) { delivery { state } errors { code } } }"
    assert (await people.root.data(retry, id=node["id"]))["errors"] == []
    await twilio.wait_for(2)


async def test_a_late_report_of_a_round_that_is_over_does_not_end_the_next(
    server: Running, people: People, message: TwilioMessage, twilio: TwilioStandIn
) -> None:
    """An admin has queued it again: what is told of the first message says nothing of the second."""
    assert await told(server, message, "undelivered") == 204
    (node,) = (await people.root.data("{ deliveries(filter: {channel: SMS}) { nodes { id } } }"))["nodes"]
    twilio.faults.append(TwilioFault.ERROR_503)  # it rests for two seconds
    retry = "mutation ($id: ID!) { retryDelivery(input: {id: $id}) { delivery { state } errors { code } } }"
    assert (await people.root.data(retry, id=node["id"]))["errors"] == []
    for status in ("sent", "undelivered", "delivered"):
        assert await told(server, message, status) == 204
    _, second = await twilio.wait_for(2)
    for status in ("undelivered", "sent"):
        assert await told(server, message, status) == 204
    assert await told(server, second, "delivered") == 204
    state, _, provider_id = await server.app.db.read(_state)
    assert (state, provider_id) == (DeliveryState.DELIVERED, second.sid)


async def test_a_report_settles_an_attempt_that_was_never_answered(
    server: Running, people: People, twilio: TwilioStandIn
) -> None:
    """Twilio took it and did not answer; its report names the attempt, so nothing has to be looked up or sent again."""
    twilio.faults.append(TwilioFault.RESET_AFTER_ACCEPT)
    await decide(people.grace, await submit(people.ada))
    (taken,) = await twilio.wait_for(1)
    assert await told(server, taken, "delivered") == 204
    state, outcome, provider_id = await server.app.db.read(_state)
    assert (state, provider_id) == (DeliveryState.DELIVERED, taken.sid)
    assert outcome is AttemptOutcome.SENT
    assert len(twilio.messages) == 1


async def test_a_report_about_nothing_we_know_is_taken_calmly(server: Running, message: TwilioMessage) -> None:
    other = replace(message, sid="SM" + "0" * 32, status_callback=PUBLIC + PATH + "?attempt=nonsense")
    assert await told(server, other, "delivered") == 204
