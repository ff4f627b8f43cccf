"""The whole app against a Twilio and a mail server with faults: what becomes of a message, and what arrives."""

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import httpx
import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from gql_app.api.ids import encode_id
from gql_app.app import App
from gql_app.db import uptime
from gql_app.deliveries import queue, service
from gql_app.deliveries.claims import Claim
from gql_app.deliveries.mail import CONNECTIONS, SmtpSender
from gql_app.deliveries.models import BUILT_IN, AttemptOutcome, Channel, Delivery, DeliveryState
from gql_app.deliveries.retry import MAX_ATTEMPTS
from gql_app.deliveries.senders import Outgoing, Receipt
from gql_app.deliveries.sms import CONCURRENCY
from gql_app.settings import Settings
from gql_app.testing.server import Running, serving
from tests.deliveries.conftest import PASSWORD, delivering, patience
from tests.deliveries.room import ADDRESS, NUMBER, Room
from tests.deliveries.wire import answering
from tests.people import People
from tests.standins.smtp import SmtpFault, SmtpStandIn
from tests.standins.twilio import AUTH_TOKEN, RETRY_AFTER, TwilioFault, TwilioStandIn
from tests.things import caught_up

PENDING, SENDING, SENT = DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.SENT
UNKNOWN, DEAD = DeliveryState.UNKNOWN, DeliveryState.DEAD


@dataclass(frozen=True)
class Story:
    """What a fault makes of a message: after the first attempt, and in the end when the provider is well again.

    `tries` are the messages handed to the provider, `arrived` those that it accepted.
    """

    first: str
    failures: int
    code: str | None
    end: str
    outcomes: tuple[str, ...]
    tries: int
    arrived: int


AT_ONCE = Story("SENT", 0, None, "SENT", ("SENT",), 1, 1)


def dead(code: str) -> Story:
    return Story("DEAD", 1, code, "DEAD", ("PERMANENT",), 1, 0)


def again(code: str | None, tries: int = 2) -> Story:
    return Story("PENDING", 1, code, "SENT", ("TRANSIENT", "SENT"), tries, 1)


def unclear(arrived: int, tries: int, first: str, code: str | None = None) -> Story:
    return Story(first, 1, code, "SENT", ("UNKNOWN", "SENT"), tries, arrived)


SMS_STORIES = {
    TwilioFault.OK: AT_ONCE,
    TwilioFault.RATE_LIMITED_RETRY_AFTER: again("429"),
    TwilioFault.RATE_LIMITED: again("429"),
    TwilioFault.ERROR_500: again("500"),
    TwilioFault.ERROR_503: again("503"),
    TwilioFault.UNAUTHORIZED: Story("PENDING", 0, "20003", "SENT", ("REFUSED", "SENT"), 2, 1),
    TwilioFault.INVALID_NUMBER_21211: dead("21211"),
    TwilioFault.OPTED_OUT_21610: dead("21610"),
    TwilioFault.NOT_MOBILE_21614: dead("21614"),
    # What was not accepted is sent once more; what was accepted is found, and arrives once.
    TwilioFault.HANG_BEFORE: unclear(1, 2, "UNKNOWN"),
    TwilioFault.HANG_AFTER: unclear(1, 1, "UNKNOWN"),
    TwilioFault.RESET_BEFORE: unclear(1, 2, "UNKNOWN"),
    TwilioFault.RESET_AFTER_ACCEPT: unclear(1, 1, "UNKNOWN"),
    TwilioFault.EMPTY_201: unclear(1, 1, "UNKNOWN"),
    TwilioFault.HTML_200: unclear(1, 2, "UNKNOWN"),
    TwilioFault.OUR_NUMBER_21212: Story("PENDING", 0, "21212", "SENT", ("REFUSED", "SENT"), 2, 1),
    TwilioFault.HTML_408: unclear(1, 2, "UNKNOWN", "408"),
    TwilioFault.HTML_502: unclear(1, 2, "UNKNOWN", "502"),
}
MAIL_STORIES = {
    SmtpFault.OK: AT_ONCE,
    SmtpFault.UNAVAILABLE_421_CONNECT: again("421", tries=1),
    SmtpFault.HANG_CONNECT: again(None, tries=1),
    SmtpFault.AUTH_TEMPORARY_454: again("454", tries=1),
    SmtpFault.CLOSING_421_MAIL: again("421"),
    SmtpFault.SENDER_REFUSED_553_MAIL: Story("PENDING", 0, "553", "SENT", ("REFUSED", "SENT"), 2, 1),
    SmtpFault.MAILBOX_BUSY_450_RCPT: again("450"),
    SmtpFault.LOCAL_ERROR_451_RCPT: again("451"),
    SmtpFault.NO_MAILBOX_550_RCPT: dead("550"),
    SmtpFault.LOCAL_ERROR_451_DATA: again("451"),
    SmtpFault.OVER_QUOTA_552_DATA: dead("552"),
    SmtpFault.REJECTED_554_DATA: dead("554"),
    # SMTP knows no look-up: what may have been accepted is sent again under the same Message-ID.
    SmtpFault.HANG_BEFORE_ACCEPT: unclear(1, 2, "PENDING"),
    SmtpFault.HANG_AFTER_ACCEPT: unclear(2, 2, "PENDING"),
    SmtpFault.DROP_MID_DATA: unclear(1, 2, "PENDING"),
    SmtpFault.DROP_BEFORE_ACCEPT: unclear(1, 2, "PENDING"),
    SmtpFault.DROP_AFTER_ACCEPT: unclear(2, 2, "PENDING"),
}


@pytest.fixture
async def post(request: pytest.FixtureRequest, outside: Settings) -> AsyncIterator[tuple[App, Room]]:
    """The whole app, delivering, with senders that do not wait long for a silent provider."""
    async with delivering(outside, timeout=patience(request)) as (app, room):
        yield app, room


def end_pauses(app: App) -> None:
    """The rest of a channel whose credentials were refused is over."""
    for channel in app.workers.channels:
        if channel._paused_until is not None:
            channel._paused_until = uptime()


async def follow(app: App, room: Room, delivery_id: int, story: Story) -> None:
    """See a message through its first attempt, end its pause, and see it through the second."""
    first = await room.attempted(delivery_id)
    (attempt,) = await room.attempts(delivery_id)
    assert (first.state.name, first.failure_count, attempt.error_code) == (story.first, story.failures, story.code)
    assert attempt.outcome is not None
    assert attempt.outcome.name == story.outcomes[0]
    if len(story.outcomes) > 1:
        end_pauses(app)
        await room.make_due(delivery_id)
        app.doorbell.ring()
        await room.attempted(delivery_id, 2)
    last = await room.delivery(delivery_id)
    assert (last.state.name, last.due_at, last.lease) == (story.end, None, None)
    assert last.attempt_count == len(story.outcomes)
    assert tuple(await room.outcomes(delivery_id)) == story.outcomes


@pytest.mark.parametrize("fault", TwilioFault)
async def test_what_a_fault_of_twilio_makes_of_an_sms(
    fault: TwilioFault, post: tuple[App, Room], twilio: TwilioStandIn
) -> None:
    story = SMS_STORIES[fault]
    twilio.faults.append(fault)
    delivery_id = await post[1].owe(Channel.SMS)
    await follow(*post, delivery_id, story)
    assert (len(twilio.attempts), len(twilio.messages)) == (story.tries, story.arrived)
    sid = (await post[1].delivery(delivery_id)).provider_id
    assert sid == (twilio.messages[0].sid if story.arrived else None)


@pytest.mark.parametrize("fault", SmtpFault)
async def test_what_a_fault_of_a_mail_server_makes_of_a_mail(
    fault: SmtpFault, post: tuple[App, Room], smtp: SmtpStandIn
) -> None:
    story = MAIL_STORIES[fault]
    smtp.faults.append(fault)
    delivery_id = await post[1].owe(Channel.EMAIL)
    await follow(*post, delivery_id, story)
    assert (len(smtp.attempts), len(smtp.mails)) == (story.tries, story.arrived)
    assert len({mail.message_id for mail in smtp.mails}) == min(story.arrived, 1), "a reader can tell a repetition"


# --- What is said of it ------------------------------------------------------------------------------------


async def test_the_log_tells_each_state_once_and_the_lease_is_nobodys_business(
    post: tuple[App, Room], twilio: TwilioStandIn
) -> None:
    app, room = post
    twilio.faults.extend([TwilioFault.ERROR_500, TwilioFault.RESET_BEFORE])
    delivery_id = await room.owe()
    for number in (1, 2, 3):
        await room.attempted(delivery_id, number)
        await room.make_due(delivery_id)
        app.doorbell.ring()
    assert await room.states_in_log(delivery_id) == [(None, "PENDING"), ("PENDING", "UNKNOWN"), ("UNKNOWN", "SENT")]


async def test_the_attempt_is_written_down_before_the_provider_is_called(
    post: tuple[App, Room], twilio: TwilioStandIn
) -> None:
    twilio.delay = 1.0
    delivery_id = await post[1].owe()
    await twilio.wait_for_attempts(1)
    (attempt,) = await post[1].attempts(delivery_id)
    row = await post[1].delivery(delivery_id)
    assert (attempt.number, attempt.finished_at, attempt.outcome) == (1, None, None)
    assert (row.shown_state, row.lease is not None) == (SENDING, True)


async def test_neither_rows_nor_logs_hold_a_secret(
    post: tuple[App, Room], twilio: TwilioStandIn, smtp: SmtpStandIn, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    twilio.auth_token = smtp.password = "another"
    ids = [await post[1].owe(Channel.SMS), await post[1].owe(Channel.EMAIL)]
    for delivery_id in ids:
        await post[1].attempted(delivery_id)
    errors = [attempt.error for attempt in await post[1].all_attempts()]
    assert all(errors)
    said = caplog.text + repr(errors)
    assert AUTH_TOKEN not in said
    assert PASSWORD not in said


# --- Retries -----------------------------------------------------------------------------------------------


async def test_retry_after_decides_when_it_is_due(post: tuple[App, Room], twilio: TwilioStandIn) -> None:
    twilio.faults.append(TwilioFault.RATE_LIMITED_RETRY_AFTER)
    row = await post[1].attempted(await post[1].owe())
    assert row.due_at is not None
    assert (row.due_at - row.updated_at).total_seconds() == pytest.approx(RETRY_AFTER)


async def test_nothing_is_tried_before_its_pause_is_over(post: tuple[App, Room], twilio: TwilioStandIn) -> None:
    """A message to somebody else overtakes the one that waits."""
    app, room = post
    twilio.faults.append(TwilioFault.RATE_LIMITED_RETRY_AFTER)
    waiting = await room.owe(body="waits")
    await room.attempted(waiting)
    app.doorbell.ring()
    await room.reached(await room.owe(body="overtakes"), SENT)
    assert await room.outcomes(waiting) == ["TRANSIENT"]


@pytest.mark.parametrize("fault", [TwilioFault.ERROR_503, TwilioFault.HTML_200])
async def test_the_last_attempt_ends_in_dead(fault: TwilioFault, post: tuple[App, Room], twilio: TwilioStandIn) -> None:
    app, room = post
    twilio.faults.default = fault
    delivery_id = await room.owe()
    for number in range(1, MAX_ATTEMPTS + 1):
        row = await room.attempted(delivery_id, number)
        await room.make_due(delivery_id)
        app.doorbell.ring()
    assert (row.state, row.failure_count, row.due_at) == (DEAD, MAX_ATTEMPTS, None)
    assert (len(twilio.attempts), len(twilio.messages)) == (MAX_ATTEMPTS, 0)


async def test_mails_that_wait_for_a_connection_are_not_claimed(outside: Settings, smtp: SmtpStandIn) -> None:
    """A silent mail server must not use up the attempts of mails that were never tried."""
    async with delivering(outside, timeout=5.0) as (_, room):
        await room.reached(await room.owe(Channel.EMAIL), SENT)
        smtp.faults.default = SmtpFault.HANG_BEFORE_ACCEPT
        await room.owe_many(CONNECTIONS * 2, Channel.EMAIL)
        await smtp.wait_for_attempts(1 + CONNECTIONS)
        assert len(await room.all_attempts()) == 1 + CONNECTIONS
        await smtp.stop()


async def test_what_a_mail_server_says_in_latin_1_does_not_stop_the_mails(outside: Settings) -> None:
    assert outside.smtp is not None
    async with answering("550 Postfach unzugänglich\r\n".encode("latin-1")) as port:
        there = replace(outside, smtp=replace(outside.smtp, port=port, username=None))
        async with delivering(there) as (_, room):
            ids = await room.owe_many(2, Channel.EMAIL)
            for delivery_id in ids:
                assert (await room.attempted(delivery_id)).state is DEAD


# --- Wrong credentials -------------------------------------------------------------------------------------


async def test_wrong_credentials_pause_the_channel_and_burn_nothing(
    post: tuple[App, Room], twilio: TwilioStandIn
) -> None:
    app, room = post
    twilio.auth_token = "another"
    ids = await room.owe_many(40)
    await room.attempted(ids[0])
    app.doorbell.ring()
    mail = await room.reached(await room.owe(Channel.EMAIL), SENT)
    assert mail.attempt_count == 1, "the other channel goes on"
    refused = await room.all_attempts()
    assert 1 <= len([a for a in refused if a.outcome is AttemptOutcome.REFUSED]) <= CONCURRENCY
    assert {(d.state, d.failure_count) for d in await room.deliveries() if d.channel is Channel.SMS} == {(PENDING, 0)}
    assert [channel.paused for channel in app.workers.channels] == [True, False]

    tried = len(twilio.attempts)
    end_pauses(app)
    await room.make_due()
    app.doorbell.ring()
    await room.until(lambda: another_attempt(room, tried + 1))  # + the mail's
    assert len(twilio.attempts) == tried + 1, "one message tries whether they work again"
    assert [channel.paused for channel in app.workers.channels] == [True, False]

    twilio.auth_token = AUTH_TOKEN
    end_pauses(app)
    await room.make_due()
    app.doorbell.ring()
    await room.all_reached(SENT)
    assert sorted(m.body for m in twilio.messages) == sorted(f"text {n}" for n in range(1, 41))
    assert [channel.paused for channel in app.workers.channels] == [False, False]


async def another_attempt(room: Room, than: int) -> bool | None:
    done = [attempt for attempt in await room.all_attempts() if attempt.finished_at is not None]
    return True if len(done) > than else None


async def test_wrong_credentials_met_at_start_cost_one_attempt(outside: Settings, twilio: TwilioStandIn) -> None:
    """Until the first message of a worker has gone through, nothing says that the credentials work."""
    twilio.auth_token = "another"
    async with delivering(outside, deliver=False) as (_, room):
        ids = await room.owe_many(5)
    async with delivering(outside) as (_, room):
        await room.attempted(ids[0])
        assert [await room.outcomes(each) for each in ids] == [["REFUSED"], [], [], [], []]


# --- Unclear outcomes --------------------------------------------------------------------------------------


async def unclear_sms(room: Room, twilio: TwilioStandIn) -> int:
    """Twilio took it, and nobody was told; returns the delivery's id."""
    twilio.faults.append(TwilioFault.RESET_AFTER_ACCEPT)
    delivery_id = await room.owe()
    await room.attempted(delivery_id)
    return delivery_id


async def test_an_unclear_sms_is_looked_up_also_after_the_credentials_were_refused(
    post: tuple[App, Room], twilio: TwilioStandIn
) -> None:
    """Accepted but unanswered; the look-up meets wrong credentials; it must still be looked up, not sent again."""
    app, room = post
    delivery_id = await unclear_sms(room, twilio)
    twilio.auth_token = "another"
    await room.make_due(delivery_id)
    app.doorbell.ring()
    refused = await room.attempted(delivery_id, 2)
    assert refused.state is UNKNOWN
    twilio.auth_token = AUTH_TOKEN
    end_pauses(app)
    await room.make_due(delivery_id)
    app.doorbell.ring()
    row = await room.attempted(delivery_id, 3)
    assert (row.state, row.provider_id) == (SENT, twilio.messages[0].sid)
    assert (len(twilio.attempts), len(twilio.messages)) == (1, 1)
    assert await room.outcomes(delivery_id) == ["UNKNOWN", "REFUSED", "SENT"]


async def test_an_unclear_sms_that_was_given_up_is_looked_up_before_it_is_sent_again(
    post: tuple[App, Room], twilio: TwilioStandIn
) -> None:
    app, room = post
    delivery_id = await unclear_sms(room, twilio)
    given_up = update(Delivery).where(Delivery.id == delivery_id).values(state=DEAD, due_at=None)
    await app.db.write(lambda session: session.execute(given_up) and None)
    public_id = (await room.delivery(delivery_id)).public_id
    assert (await app.db.write(service.retry, None, public_id)).state is UNKNOWN
    row = await room.reached(delivery_id, SENT)
    assert row.provider_id == twilio.messages[0].sid
    assert len(twilio.messages) == 1


async def test_a_worker_that_was_frozen_after_its_claim_does_not_send(
    outside: Settings, twilio: TwilioStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lease has ended, and another one may have sent it meanwhile."""
    claim = queue.claim

    def long_ago(session: Session, channel: Channel, now: datetime, *args: Any) -> list[Claim]:
        return [replace(each, claimed_at=now - queue.LEASE) for each in claim(session, channel, now, *args)]

    monkeypatch.setattr(queue, "claim", long_ago)
    async with delivering(outside) as (_, room):
        delivery_id = await room.owe()
        assert (await room.attempted(delivery_id)).state is UNKNOWN
    assert not twilio.attempts


async def test_a_message_id_is_as_long_as_our_domain_makes_it(outside: Settings) -> None:
    sender = f"no-reply@{'notifications-' * 4}city-fuel.example.test"
    async with delivering(replace(outside, mail_from=sender)) as (_, room):
        row = await room.reached(await room.owe(Channel.EMAIL), SENT)
    assert row.provider_id is not None
    assert sender.partition("@")[2] in row.provider_id


async def test_what_cannot_be_stored_of_a_providers_answer_stops_nobody(
    outside: Settings, smtp: SmtpStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A NUL, for example, which PostgreSQL takes in no text."""
    send = SmtpSender.send

    async def send_and_hear_nonsense(self: SmtpSender, message: Outgoing) -> Receipt:
        return Receipt(f"\0{(await send(self, message)).provider_id}")

    monkeypatch.setattr(SmtpSender, "send", send_and_hear_nonsense)
    async with delivering(outside) as (_, room):
        await room.owe_many(3, Channel.EMAIL)
        await room.all_reached(SENT, Channel.EMAIL)
    assert len(smtp.mails) == 3


async def test_an_unclear_sms_is_not_sent_again_while_it_cannot_be_looked_up(
    post: tuple[App, Room], twilio: TwilioStandIn
) -> None:
    app, room = post
    delivery_id = await unclear_sms(room, twilio)
    await twilio.stop()
    await room.make_due(delivery_id)
    app.doorbell.ring()
    assert (await room.attempted(delivery_id, 2)).state is UNKNOWN
    await twilio.start()
    await room.make_due(delivery_id)
    app.doorbell.ring()
    assert (await room.attempted(delivery_id, 3)).state is SENT
    assert (len(twilio.attempts), len(twilio.messages)) == (1, 1)


async def test_the_same_text_sent_by_another_delivery_is_not_taken_for_it(
    post: tuple[App, Room], twilio: TwilioStandIn
) -> None:
    """Two requests of one person are approved within minutes: the texts are equal, both are owed."""
    app, room = post
    first = await room.reached(await room.owe(body="Approved.", recipient=NUMBER), SENT)
    twilio.faults.append(TwilioFault.RESET_BEFORE)
    delivery_id = await room.owe(body="Approved.", recipient=NUMBER)
    await room.attempted(delivery_id)
    await room.make_due(delivery_id)
    app.doorbell.ring()
    second = await room.attempted(delivery_id, 2)
    assert second.state is SENT
    assert len(twilio.messages) == 2
    assert [first.provider_id, second.provider_id] == [message.sid for message in twilio.messages]


async def test_one_accepted_message_does_not_stand_for_two_unclear_ones(
    post: tuple[App, Room], twilio: TwilioStandIn
) -> None:
    app, room = post
    twilio.faults.extend([TwilioFault.RESET_AFTER_ACCEPT, TwilioFault.RESET_BEFORE])
    ids = await room.owe_many(2, body="Approved.", recipient=NUMBER)

    async def both_sent() -> list[Delivery] | None:
        await room.make_due(*ids)
        app.doorbell.ring()
        rows = [await room.delivery(each) for each in ids]
        return rows if {row.state for row in rows} == {SENT} else None

    rows = await room.until(both_sent)
    assert {row.provider_id for row in rows} == {message.sid for message in twilio.messages}
    assert len(twilio.messages) == 2


# --- Retried by an admin, and seen through the API ---------------------------------------------------------

RETRY = """
    mutation ($id: ID!) {
      retryDelivery(input: {id: $id}) {
        delivery { state attempts { number outcome errorCode providerId } } errors { code message field }
      }
    }"""
UPDATES = """
    subscription {
      deliveryUpdated { previousState state delivery { id channel recipient attempts { number outcome errorCode } } }
    }"""


@pytest.fixture
async def served(outside: Settings) -> AsyncIterator[tuple[Running, Room, People]]:
    async with serving(outside) as server:
        with Room(server.app.db).listening() as room:
            people = await People.sign_in(server)
            await room.all_reached(SENT, Channel.EMAIL)
            await caught_up(server.app)
            yield server, room, people


async def public_id(room: Room, delivery_id: int) -> str:
    return encode_id("Delivery", (await room.delivery(delivery_id)).public_id)


async def test_an_admin_retries_a_dead_message_and_hears_that_it_was_sent(
    served: tuple[Running, Room, People], twilio: TwilioStandIn
) -> None:
    _, room, people = served
    async with people.root.subscribed(UPDATES) as updates:
        twilio.faults.append(TwilioFault.OPTED_OUT_21610)
        delivery_id = await room.owe()
        told = [await updates.next() for _ in range(2)]
        assert [(each["previousState"], each["state"]) for each in told] == [(None, "PENDING"), ("PENDING", "DEAD")]
        payload = await people.root.data(RETRY, id=await public_id(room, delivery_id))
        assert payload["errors"] == []
        told = [await updates.next() for _ in range(2)]
        assert [(each["previousState"], each["state"]) for each in told] == [("DEAD", "PENDING"), ("PENDING", "SENT")]
        attempts = [(each["number"], each["outcome"]) for each in told[-1]["delivery"]["attempts"]]
        assert attempts == [(1, "PERMANENT"), (2, "SENT")]
    assert len(twilio.messages) == 1


@pytest.mark.check_finds("attempt missing", reason="begins with a count of attempts that were never made")
async def test_a_retried_message_has_all_its_attempts_before_it_again(
    served: tuple[Running, Room, People], twilio: TwilioStandIn
) -> None:
    _, room, people = served
    delivery_id = await room.owe(state=DEAD, due_at=None, failure_count=MAX_ATTEMPTS, attempt_count=MAX_ATTEMPTS)
    twilio.faults.append(TwilioFault.ERROR_503)
    await people.root.data(RETRY, id=await public_id(room, delivery_id))
    row = await room.attempted(delivery_id, MAX_ATTEMPTS + 1)
    assert (row.state, row.failure_count) == (PENDING, 1)


@pytest.mark.parametrize("state", DeliveryState)
@pytest.mark.check_finds("unexplained", "stuck", reason="begins with a state that no attempt led to")
async def test_only_what_was_given_up_or_did_not_arrive_can_be_retried(
    state: DeliveryState, served: tuple[Running, Room, People], twilio: TwilioStandIn
) -> None:
    _, room, people = served
    delivery_id = await room.owe(state=state, due_at=None)
    payload = await people.root.data(RETRY, id=await public_id(room, delivery_id))
    if state in (DEAD, DeliveryState.UNDELIVERED):
        assert payload["errors"] == []
        await room.reached(delivery_id, SENT)
        assert len(twilio.messages) == 1
    else:
        assert payload["delivery"] is None
        assert [(error["code"], error["field"]) for error in payload["errors"]] == [("CONFLICT", ["input", "id"])]
        assert (await room.delivery(delivery_id)).state is state


@pytest.mark.check_finds("unexplained", reason="begins with a state that no attempt led to")
async def test_nobody_but_an_admin_retries(served: tuple[Running, Room, People]) -> None:
    _, room, people = served
    delivery_id = await room.owe(state=DEAD, due_at=None)
    identifier = await public_id(room, delivery_id)
    for person in (people.ada, people.linus, people.grace):
        assert await person.error(RETRY, id=identifier) == "FORBIDDEN"
    assert (await room.delivery(delivery_id)).state is DEAD


@pytest.mark.check_finds("unexplained", reason="begins with a state that no attempt led to")
async def test_a_retry_of_nothing_is_not_found(served: tuple[Running, Room, People]) -> None:
    _, room, people = served
    delivery_id = await room.owe(state=DEAD, due_at=None)
    row = await room.delivery(delivery_id)
    payload = await people.root.data(RETRY, id=encode_id("Delivery", row.change_set))
    assert [error["code"] for error in payload["errors"]] == ["NOT_FOUND"]


async def test_a_retried_sms_that_did_not_arrive_is_really_sent_again(
    served: tuple[Running, Room, People], twilio: TwilioStandIn
) -> None:
    """Its first round was unclear and found; Twilio then reports it undelivered. The old one is not the new one."""
    server, room, people = served
    delivery_id = await unclear_sms(room, twilio)
    await room.make_due(delivery_id)
    server.app.doorbell.ring()
    await room.attempted(delivery_id, 2)

    def undelivered(session: Session) -> None:
        session.get_one(Delivery, delivery_id).state = DeliveryState.UNDELIVERED

    await room.db.write(undelivered)
    twilio.faults.append(TwilioFault.RESET_BEFORE)
    await people.root.data(RETRY, id=await public_id(room, delivery_id))
    assert (await room.attempted(delivery_id, 3)).state is UNKNOWN
    await room.make_due(delivery_id)
    server.app.doorbell.ring()
    row = await room.attempted(delivery_id, 4)
    assert (row.state, len(twilio.messages)) == (SENT, 2)
    assert row.provider_id == twilio.messages[1].sid


async def test_one_sees_the_messages_to_oneself_only(
    served: tuple[Running, Room, People], twilio: TwilioStandIn
) -> None:
    _, _, people = served
    ada = await people.ada.data("{ deliveries(first: 10) { nodes { recipient } } }")
    assert {node["recipient"] for node in ada["nodes"]} == {"ada@example.test"}


async def test_without_providers_a_message_counts_as_sent_and_lies_in_the_mailbox(settings: Settings) -> None:
    async with serving(settings) as server:
        with Room(server.app.db).listening() as room:
            recipients = {Channel.SMS: NUMBER, Channel.EMAIL: ADDRESS}
            ids = [await room.owe(channel, recipient=recipients[channel]) for channel in BUILT_IN]
            for delivery_id in ids:
                row = await room.reached(delivery_id, SENT)
                assert (row.provider_id, row.attempt_count) == (None, 1)
        async with httpx.AsyncClient() as http:
            shown = (await http.get(server.url + "/mailbox/messages")).json()["messages"]
    assert {(each["channel"], each["recipient"], each["body"]) for each in shown} == {
        ("SMS", NUMBER, "text 1"),
        ("EMAIL", ADDRESS, "text 1"),
    }
