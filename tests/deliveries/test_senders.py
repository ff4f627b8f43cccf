"""What every sender promises the worker, and how each fault of a provider reaches it."""

import asyncio
import base64
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest

import gql_app.deliveries.sms
from gql_app.deliveries.captured import CapturedSender
from gql_app.deliveries.mail import SmtpSender
from gql_app.deliveries.models import BUILT_IN, Channel
from gql_app.deliveries.senders import (
    Ambiguous,
    CredentialsRefused,
    Outgoing,
    PermanentFailure,
    Receipt,
    Sender,
    SendFailure,
    TransientFailure,
)
from gql_app.deliveries.sms import TwilioSender
from gql_app.settings import Secret, Smtp, Twilio
from tests.deliveries.conftest import FROM, MAIL_FROM, PASSWORD, patience
from tests.deliveries.room import ADDRESS, LONG_AGO, again, outgoing
from tests.deliveries.wire import answering
from tests.standins.smtp import SmtpFault, SmtpMail, SmtpStandIn
from tests.standins.twilio import AUTH_TOKEN, RETRY_AFTER, TwilioFault, TwilioStandIn


@dataclass(frozen=True)
class Arrived:
    """A message at its recipient's; `id` is the provider's."""

    recipient: str
    text: str
    html: str | None
    id: str


@dataclass(frozen=True)
class Rig:
    """A sender and what arrived of what it sent; nothing ever leaves the captured ones."""

    sender: Sender
    arrived: Callable[[], list[Arrived]]
    leaves: bool = True

    def message(self, **values: Any) -> Outgoing:
        return outgoing(self.sender.channel, **values)


@pytest.fixture
async def sms(request: pytest.FixtureRequest, twilio_settings: Twilio) -> AsyncIterator[TwilioSender]:
    sender = TwilioSender(twilio_settings, timeout=patience(request))
    yield sender
    await sender.close()


@pytest.fixture
async def mail(request: pytest.FixtureRequest, smtp_settings: Smtp) -> AsyncIterator[SmtpSender]:
    sender = SmtpSender(smtp_settings, MAIL_FROM, timeout=patience(request))
    yield sender
    await sender.close()


@pytest.fixture(params=["twilio", "smtp", "captured-sms", "captured-email"])
def rig(
    request: pytest.FixtureRequest, twilio: TwilioStandIn, smtp: SmtpStandIn, sms: TwilioSender, mail: SmtpSender
) -> Rig:
    def phones() -> list[Arrived]:
        return [Arrived(m.to, m.body, None, m.sid) for m in twilio.messages]

    def inboxes() -> list[Arrived]:
        return [Arrived(",".join(m.rcpts), m.text, m.html, m.message_id) for m in smtp.mails]

    rigs = {
        "twilio": Rig(sms, phones),
        "smtp": Rig(mail, inboxes),
        "captured-sms": Rig(CapturedSender(Channel.SMS), phones, leaves=False),
        "captured-email": Rig(CapturedSender(Channel.EMAIL), inboxes, leaves=False),
    }
    return rigs[request.param]


# --- What all of them promise ------------------------------------------------------------------------------


async def test_an_accepted_message_arrives_once_as_it_was_written(rig: Rig) -> None:
    message = rig.message()
    receipt = await rig.sender.send(message)
    expected = [Arrived(message.recipient, message.body, message.html, receipt.provider_id or "")] if rig.leaves else []
    assert rig.arrived() == expected


async def test_the_receipt_names_the_message_at_the_provider(rig: Rig) -> None:
    first, second = await rig.sender.send(rig.message()), await rig.sender.send(rig.message())
    if rig.leaves:
        assert len({first.provider_id, second.provider_id, None}) == 3
    else:
        assert first == second == Receipt(None)


async def test_many_tasks_may_send_at_once(rig: Rig) -> None:
    messages = [rig.message(body=f"text {n}\n") for n in range(20)]
    await asyncio.gather(*(rig.sender.send(message) for message in messages))
    if rig.leaves:
        assert sorted(arrived.text for arrived in rig.arrived()) == sorted(message.body for message in messages)


async def test_what_was_never_sent_is_not_found(rig: Rig) -> None:
    await rig.sender.send(rig.message(body="another text"))
    assert list(await rig.sender.find(rig.message(), datetime.now(UTC))) == []


async def test_a_sender_can_be_closed_after_use_and_without(rig: Rig) -> None:
    await rig.sender.close()
    await rig.sender.close()


# --- SMS by Twilio -----------------------------------------------------------------------------------------

TWILIO_FAULTS: dict[TwilioFault, tuple[type[SendFailure] | None, str | None, float | None, int]] = {
    TwilioFault.OK: (None, None, None, 1),
    TwilioFault.RATE_LIMITED_RETRY_AFTER: (TransientFailure, "429", float(RETRY_AFTER), 0),
    TwilioFault.RATE_LIMITED: (TransientFailure, "429", None, 0),
    TwilioFault.ERROR_500: (TransientFailure, "500", None, 0),
    TwilioFault.ERROR_503: (TransientFailure, "503", None, 0),
    TwilioFault.UNAUTHORIZED: (CredentialsRefused, "20003", None, 0),
    TwilioFault.INVALID_NUMBER_21211: (PermanentFailure, "21211", None, 0),
    TwilioFault.OPTED_OUT_21610: (PermanentFailure, "21610", None, 0),
    TwilioFault.NOT_MOBILE_21614: (PermanentFailure, "21614", None, 0),
    TwilioFault.HANG_BEFORE: (Ambiguous, None, None, 0),
    TwilioFault.HANG_AFTER: (Ambiguous, None, None, 1),
    TwilioFault.RESET_BEFORE: (Ambiguous, None, None, 0),
    TwilioFault.RESET_AFTER_ACCEPT: (Ambiguous, None, None, 1),
    TwilioFault.EMPTY_201: (Ambiguous, None, None, 1),
    TwilioFault.HTML_200: (Ambiguous, None, None, 0),
    TwilioFault.OUR_NUMBER_21212: (CredentialsRefused, "21212", None, 0),
    TwilioFault.HTML_408: (Ambiguous, "408", None, 0),
    TwilioFault.HTML_502: (Ambiguous, "502", None, 0),
}
"""Fault → the failure, its code, its Retry-After, and how many messages Twilio then has."""


async def failure_of(attempt: Awaitable[object]) -> SendFailure | None:
    try:
        await attempt
    except SendFailure as failure:
        return failure
    return None


def seen(failure: SendFailure | None) -> tuple[type[SendFailure] | None, str | None, float | None]:
    if failure is None:
        return None, None, None
    return type(failure), failure.code, failure.retry_after if isinstance(failure, TransientFailure) else None


@pytest.mark.parametrize("fault", TwilioFault)
async def test_each_fault_of_twilio_is_told_as_what_it_is(
    fault: TwilioFault, twilio: TwilioStandIn, sms: TwilioSender
) -> None:
    twilio.faults.append(fault)
    failure = await failure_of(sms.send(outgoing()))
    assert (*seen(failure), len(twilio.messages)) == TWILIO_FAULTS[fault]
    assert len(twilio.attempts) == 1, "a sender never sends again by itself"


@pytest.mark.parametrize("fault", TwilioFault)
async def test_after_any_fault_of_twilio_the_next_message_goes_out(
    fault: TwilioFault, twilio: TwilioStandIn, sms: TwilioSender
) -> None:
    twilio.faults.append(fault)
    await failure_of(sms.send(outgoing()))
    receipt = await sms.send(outgoing(body="the next one"))
    assert (twilio.messages[-1].body, twilio.messages[-1].sid) == ("the next one", receipt.provider_id)


async def test_a_twilio_that_cannot_be_reached_is_transient(twilio: TwilioStandIn, sms: TwilioSender) -> None:
    await twilio.stop()
    assert seen(await failure_of(sms.send(outgoing()))) == (TransientFailure, None, None)


async def test_a_wrong_auth_token_is_not_the_messages_fault(twilio: TwilioStandIn, sms: TwilioSender) -> None:
    twilio.auth_token = "another"
    failure = await failure_of(sms.send(outgoing()))
    assert isinstance(failure, CredentialsRefused)


@pytest.mark.parametrize(("sender", "field"), [(FROM, "From"), ("MG" + "1" * 32, "MessagingServiceSid")])
async def test_the_sender_is_a_number_or_a_messaging_service(
    sender: str, field: str, twilio: TwilioStandIn, twilio_settings: Twilio
) -> None:
    sms = TwilioSender(replace(twilio_settings, sender=sender))
    await sms.send(outgoing())
    await sms.close()
    assert {name: twilio.attempts[0].get(name) for name in ("From", "MessagingServiceSid")} == {
        **{"From": None, "MessagingServiceSid": None},
        field: sender,
    }


async def test_the_status_callback_carries_the_attempts_id(twilio: TwilioStandIn, twilio_settings: Twilio) -> None:
    sms = TwilioSender(twilio_settings, status_callback="https://app.test/webhooks/twilio/status")
    message = outgoing()
    await sms.send(message)
    await sms.close()
    expected = f"https://app.test/webhooks/twilio/status?attempt={message.attempt_id}"
    assert twilio.messages[0].status_callback == expected


@pytest.mark.parametrize("queued", [True, False])
async def test_an_accepted_but_unanswered_message_is_found(
    queued: bool, twilio: TwilioStandIn, sms: TwilioSender
) -> None:
    twilio.keep_queued = queued
    twilio.faults.append(TwilioFault.RESET_AFTER_ACCEPT)
    message, begun = outgoing(), datetime.now(UTC)
    await failure_of(sms.send(message))
    assert await sms.find(again(message), begun) == [Receipt(twilio.messages[0].sid)]


@pytest.mark.parametrize("other", [{"recipient": "+15005550011"}, {"body": "Another text"}])
async def test_another_message_is_not_taken_for_it(
    other: dict[str, Any], twilio: TwilioStandIn, sms: TwilioSender
) -> None:
    await sms.send(outgoing(**other))
    assert await sms.find(outgoing(), datetime.now(UTC)) == []


async def test_an_older_message_is_not_taken_for_it(twilio: TwilioStandIn, sms: TwilioSender) -> None:
    message = outgoing()
    await sms.send(message)
    assert await sms.find(message, datetime.now(UTC) + LONG_AGO) == []


async def test_it_is_found_behind_a_hundred_others(twilio: TwilioStandIn, sms: TwilioSender) -> None:
    message, begun = outgoing(), datetime.now(UTC)
    receipt = await sms.send(message)
    for number in range(100):
        await sms.send(outgoing(body=f"text {number}"))
    assert await sms.find(message, begun) == [receipt]


async def test_behind_more_than_are_listed_it_is_unclear(
    twilio: TwilioStandIn, sms: TwilioSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gql_app.deliveries.sms, "MOST_LISTED", 5)
    message, begun = outgoing(), datetime.now(UTC)
    await sms.send(message)
    for number in range(5):
        await sms.send(outgoing(body=f"text {number}"))
    assert isinstance(await failure_of(sms.find(message, begun)), Ambiguous)


async def test_it_is_found_under_what_trial_accounts_put_before_it(twilio: TwilioStandIn, sms: TwilioSender) -> None:
    message, begun = outgoing(), datetime.now(UTC)
    receipt = await sms.send(outgoing(body=f"Sent from your Twilio trial account - {message.body}"))
    assert await sms.find(message, begun) == [receipt]


async def test_a_look_up_that_fails_leaves_it_unclear(twilio: TwilioStandIn, sms: TwilioSender) -> None:
    await twilio.stop()
    assert isinstance(await failure_of(sms.find(outgoing(), datetime.now(UTC))), Ambiguous)


async def test_a_look_up_with_wrong_credentials_says_so(twilio: TwilioStandIn, sms: TwilioSender) -> None:
    twilio.auth_token = "another"
    assert isinstance(await failure_of(sms.find(outgoing(), datetime.now(UTC))), CredentialsRefused)


@pytest.mark.parametrize(("name", "value"), [("TWILIO_EDGE", "sydney"), ("TWILIO_REGION", "au1")])
async def test_the_environment_does_not_redirect_what_the_settings_say(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, twilio: TwilioStandIn, twilio_settings: Twilio
) -> None:
    monkeypatch.setenv(name, value)
    sms = TwilioSender(twilio_settings)
    await sms.send(outgoing())
    await sms.close()
    assert len(twilio.messages) == 1


# --- Mails by SMTP -----------------------------------------------------------------------------------------

SMTP_FAULTS: dict[SmtpFault, tuple[type[SendFailure] | None, str | None, int]] = {
    SmtpFault.OK: (None, None, 1),
    SmtpFault.UNAVAILABLE_421_CONNECT: (TransientFailure, "421", 0),
    SmtpFault.HANG_CONNECT: (TransientFailure, None, 0),
    SmtpFault.AUTH_TEMPORARY_454: (TransientFailure, "454", 0),
    SmtpFault.CLOSING_421_MAIL: (TransientFailure, "421", 0),
    SmtpFault.SENDER_REFUSED_553_MAIL: (CredentialsRefused, "553", 0),
    SmtpFault.MAILBOX_BUSY_450_RCPT: (TransientFailure, "450", 0),
    SmtpFault.LOCAL_ERROR_451_RCPT: (TransientFailure, "451", 0),
    SmtpFault.NO_MAILBOX_550_RCPT: (PermanentFailure, "550", 0),
    SmtpFault.LOCAL_ERROR_451_DATA: (TransientFailure, "451", 0),
    SmtpFault.OVER_QUOTA_552_DATA: (PermanentFailure, "552", 0),
    SmtpFault.REJECTED_554_DATA: (PermanentFailure, "554", 0),
    SmtpFault.HANG_BEFORE_ACCEPT: (Ambiguous, None, 0),
    SmtpFault.HANG_AFTER_ACCEPT: (Ambiguous, None, 1),
    SmtpFault.DROP_MID_DATA: (Ambiguous, None, 0),
    SmtpFault.DROP_BEFORE_ACCEPT: (Ambiguous, None, 0),
    SmtpFault.DROP_AFTER_ACCEPT: (Ambiguous, None, 1),
}
"""Fault → the failure, its code, and how many mails the server then has."""


@pytest.mark.parametrize("fault", SmtpFault)
async def test_each_fault_of_a_mail_server_is_told_as_what_it_is(
    fault: SmtpFault, smtp: SmtpStandIn, mail: SmtpSender
) -> None:
    smtp.faults.append(fault)
    kind, code, _ = seen(await failure_of(mail.send(outgoing(Channel.EMAIL))))
    assert (kind, code, len(smtp.mails)) == SMTP_FAULTS[fault]


@pytest.mark.parametrize("fault", SmtpFault)
async def test_after_any_fault_of_a_mail_server_the_next_mail_goes_out(
    fault: SmtpFault, smtp: SmtpStandIn, mail: SmtpSender
) -> None:
    smtp.faults.append(fault)
    await failure_of(mail.send(outgoing(Channel.EMAIL)))
    message = outgoing(Channel.EMAIL, recipient="next@example.test", body="the next one\n")
    receipt = await mail.send(message)
    arrived = smtp.mails[-1]
    assert (arrived.rcpts, arrived.text, arrived.message_id) == (
        ("next@example.test",),
        "the next one\n",
        receipt.provider_id,
    )


async def test_a_mail_server_that_cannot_be_reached_is_transient(smtp: SmtpStandIn, mail: SmtpSender) -> None:
    await smtp.stop()
    assert seen(await failure_of(mail.send(outgoing(Channel.EMAIL)))) == (TransientFailure, None, None)


async def test_a_wrong_mail_password_is_not_the_mails_fault(smtp: SmtpStandIn, mail: SmtpSender) -> None:
    smtp.password = "another"
    assert seen(await failure_of(mail.send(outgoing(Channel.EMAIL)))) == (CredentialsRefused, "535", None)


async def test_a_mail_server_that_wants_a_login_we_do_not_have_is_our_fault(
    smtp: SmtpStandIn, smtp_settings: Smtp
) -> None:
    mail = SmtpSender(replace(smtp_settings, username=None, password=Secret("")), MAIL_FROM)
    assert seen(await failure_of(mail.send(outgoing(Channel.EMAIL)))) == (CredentialsRefused, "530", None)


async def test_all_attempts_of_a_mail_carry_the_same_message_id(smtp: SmtpStandIn, mail: SmtpSender) -> None:
    message = outgoing(Channel.EMAIL)
    smtp.faults.append(SmtpFault.DROP_AFTER_ACCEPT)
    await failure_of(mail.send(message))
    await mail.send(again(message))
    assert [m.message_id for m in smtp.mails] == [f"<{message.id}@gql-app.test>"] * 2


async def test_a_mail_says_who_it_is_from_and_that_a_program_wrote_it(smtp: SmtpStandIn, mail: SmtpSender) -> None:
    await mail.send(outgoing(Channel.EMAIL))
    (arrived,) = smtp.mails
    assert (arrived.mail_from, arrived.subject) == ("no-reply@gql-app.test", "Grüße")
    headers = headers_of(arrived)
    assert {name: headers[name] for name in ("from", "to", "auto-submitted")} == {
        "from": MAIL_FROM,
        "to": ADDRESS,
        "auto-submitted": "auto-generated",
    }


def headers_of(mail: SmtpMail) -> dict[str, str]:
    head = mail.raw.decode().replace("\r\n", "\n").partition("\n\n")[0].replace("\n ", " ")
    return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head.splitlines())}


async def test_a_mail_without_html_is_plain(smtp: SmtpStandIn, mail: SmtpSender) -> None:
    await mail.send(outgoing(Channel.EMAIL, html=None))
    (arrived,) = smtp.mails
    assert (arrived.text, arrived.html) == ("Grüße an alle\n", "")
    assert headers_of(arrived)["content-type"].startswith("text/plain")


LATIN1_REFUSAL = "550 Postfach unzugänglich\r\n".encode("latin-1")


async def test_a_refusal_in_another_encoding_can_be_written_down(smtp_settings: Smtp) -> None:
    """Some servers answer in Latin-1: what they said must still fit into a database."""
    async with answering(LATIN1_REFUSAL) as port:
        sender = SmtpSender(replace(smtp_settings, port=port, username=None, password=Secret("")), MAIL_FROM)
        failure = await failure_of(sender.send(outgoing(Channel.EMAIL)))
    assert seen(failure) == (PermanentFailure, "550", None)
    assert failure is not None
    assert "Postfach" in failure.message.encode("utf-8").decode()


# --- No secret in what is said -----------------------------------------------------------------------------


def spellings(secret: str, user: str) -> list[str]:
    basic = base64.b64encode(f"{user}:{secret}".encode()).decode()
    plain = base64.b64encode(f"\0{user}\0{secret}".encode()).decode()
    return [secret, basic, plain, base64.b64encode(secret.encode()).decode()]


def everything_said(failure: BaseException | None) -> str:
    said = []
    while failure is not None:
        said.append(f"{failure!r} {failure} {failure.args!r}")
        failure = failure.__cause__ or failure.__context__
    return "\n".join(said)


@pytest.mark.parametrize("fault", TwilioFault)
async def test_no_failure_or_log_of_an_sms_holds_the_auth_token(
    fault: TwilioFault, twilio: TwilioStandIn, sms: TwilioSender, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    twilio.faults.append(fault)
    failure = await failure_of(sms.send(outgoing()))
    said = everything_said(failure) + caplog.text + repr(sms) + repr(vars(sms))
    assert not [secret for secret in spellings(AUTH_TOKEN, twilio.account_sid) if secret in said]


@pytest.mark.parametrize("fault", SmtpFault)
async def test_no_failure_or_log_of_a_mail_holds_the_password(
    fault: SmtpFault, smtp: SmtpStandIn, mail: SmtpSender, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    smtp.faults.append(fault)
    failure = await failure_of(mail.send(outgoing(Channel.EMAIL)))
    said = everything_said(failure) + caplog.text + repr(mail) + repr(vars(mail))
    assert not [secret for secret in spellings(PASSWORD, smtp.username or "") if secret in said]


@pytest.mark.parametrize("channel", BUILT_IN)
async def test_refused_credentials_are_not_repeated(
    channel: Channel,
    twilio: TwilioStandIn,
    smtp: SmtpStandIn,
    sms: TwilioSender,
    mail: SmtpSender,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    twilio.auth_token = smtp.password = "another"
    sender: Sender = sms if channel is Channel.SMS else mail
    said = everything_said(await failure_of(sender.send(outgoing(channel)))) + caplog.text
    secrets = spellings(AUTH_TOKEN, twilio.account_sid) + spellings(PASSWORD, smtp.username or "")
    assert not [secret for secret in secrets if secret in said]
