"""The stand-ins, looked at through the clients the product uses: every normal path and every fault."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import aiosmtplib
import pytest
from aiohttp import web
from twilio.base.exceptions import TwilioRestException
from twilio.http.async_http_client import AsyncTwilioHttpClient
from twilio.request_validator import RequestValidator
from twilio.rest import Client

from tests.standins.ledger import read_journal
from tests.standins.process import StandInProcess
from tests.standins.smtp import SmtpFault, SmtpStandIn
from tests.standins.twilio import (
    ACCOUNT_SID,
    AUTH_TOKEN,
    RETRY_AFTER,
    TwilioFault,
    TwilioStandIn,
    send_status,
)

LIMIT = 10
BRIEF = 0.3
TO = "+15005550010"
FROM = "+15005550006"
Value = TypeVar("Value")

# twilio 9.13 hands its credentials to aiohttp 3.14 in a way that the latter has deprecated.
pytestmark = [
    pytest.mark.filterwarnings("ignore:BasicAuth is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The 'auth' parameter is deprecated:DeprecationWarning"),
]


async def bounded(work: Awaitable[Value], seconds: float = LIMIT) -> Value:
    """Await, but never for long."""
    async with asyncio.timeout(seconds):
        return await work


# --- Twilio ------------------------------------------------------------------------------------------------


@pytest.fixture
async def twilio() -> AsyncIterator[TwilioStandIn]:
    async with TwilioStandIn() as stand_in:
        yield stand_in


@asynccontextmanager
async def client_at(url: str, token: str = AUTH_TOKEN) -> AsyncIterator[Any]:
    async with AsyncTwilioHttpClient() as http:
        client = Client(ACCOUNT_SID, token, http_client=http)
        client.api.base_url = url
        yield client


async def send(client: Any, body: str = "hello", **more: str) -> Any:
    return await bounded(client.messages.create_async(**{"to": TO, "from_": FROM, "body": body, **more}))


async def test_twilio_accepts_and_remembers(twilio: TwilioStandIn) -> None:
    async with client_at(twilio.url) as client:
        sent = await send(client, "grüße", status_callback="https://app.test/hook")
    [message] = await bounded(twilio.wait_for(1))
    assert (sent.sid, sent.status, sent.date_sent) == (message.sid, "queued", None)
    assert sent.date_created == message.date
    assert (message.to, message.from_, message.body) == (TO, FROM, "grüße")
    assert message.status_callback == "https://app.test/hook"
    assert message.sid.startswith("SM")
    assert len(message.sid) == 34


async def test_twilio_messaging_service(twilio: TwilioStandIn) -> None:
    service = "MG" + "0" * 32
    async with client_at(twilio.url) as client:
        sent = await bounded(client.messages.create_async(to=TO, messaging_service_sid=service, body="x"))
    assert (sent.status, sent.from_, sent.messaging_service_sid) == ("accepted", None, service)
    assert twilio.messages[0].messaging_service_sid == service


async def test_twilio_fetches_one(twilio: TwilioStandIn) -> None:
    async with client_at(twilio.url) as client:
        sent = await send(client)
        twilio.set_status(sent.sid, "delivered")
        found = await bounded(client.messages(sent.sid).fetch_async())
        assert (found.sid, found.status, found.body) == (sent.sid, "delivered", "hello")
        assert found.date_sent == twilio.messages[0].date
        with pytest.raises(TwilioRestException) as unknown:
            await bounded(client.messages("SM" + "0" * 32).fetch_async())
    assert (unknown.value.status, unknown.value.code) == (404, 20404)


async def test_twilio_checks_credentials(twilio: TwilioStandIn) -> None:
    async with client_at(twilio.url) as client:
        account = await bounded(client.api.v2010.accounts(ACCOUNT_SID).fetch_async())
        assert (account.sid, account.status) == (ACCOUNT_SID, "active")
    async with client_at(twilio.url, "wrong") as client:
        with pytest.raises(TwilioRestException) as fetched:
            await bounded(client.api.v2010.accounts(ACCOUNT_SID).fetch_async())
        with pytest.raises(TwilioRestException) as posted:
            await send(client)
    assert (fetched.value.status, fetched.value.code) == (401, 20003)
    assert (posted.value.status, posted.value.code) == (401, 20003)
    assert not twilio.messages


async def test_twilio_lists_by_recipient_and_date(twilio: TwilioStandIn) -> None:
    async with client_at(twilio.url) as client:
        first = await send(client, "one")
        await send(client, "two", to="+15005550011")
        now = datetime.now(UTC)
        listed = client.messages.list_async
        found = await bounded(listed(to=TO, date_sent_after=now - timedelta(minutes=5)))
        assert [(m.sid, m.body, m.to) for m in found] == [(first.sid, "one", TO)]
        assert len(await bounded(listed(date_sent=now.date().isoformat()))) == 2
        assert not await bounded(listed(date_sent_after=now + timedelta(minutes=5)))
        assert not await bounded(listed(date_sent_before=now - timedelta(minutes=5)))


async def test_twilio_list_knows_queued_messages_without_date_filter_only(twilio: TwilioStandIn) -> None:
    twilio.keep_queued = True
    async with client_at(twilio.url) as client:
        sent = await send(client)
        since = datetime.now(UTC) - timedelta(minutes=5)
        assert not await bounded(client.messages.list_async(to=TO, date_sent_after=since))
        assert [m.date_sent for m in await bounded(client.messages.list_async(to=TO))] == [None]
        twilio.set_status(sent.sid, "sent")
        assert len(await bounded(client.messages.list_async(to=TO, date_sent_after=since))) == 1


async def test_twilio_pages(twilio: TwilioStandIn) -> None:
    async with client_at(twilio.url) as client:
        for number in range(5):
            await send(client, str(number))
        since = datetime.now(UTC) - timedelta(minutes=5)
        everything = await bounded(client.messages.list_async(to=TO, date_sent_after=since, page_size=2))
        assert [m.body for m in everything] == ["4", "3", "2", "1", "0"]
        page = await bounded(client.messages.page_async(page_size=2))
        following = await bounded(page.next_page_async())
    assert [m.body for m in page] == ["4", "3"]
    assert [m.body for m in following] == ["2", "1"]


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("to", "", 21604),
        ("to", "0170", 21211),
        ("from_", "", 21603),
        ("body", "", 21602),
        ("body", "x" * 1601, 21617),
    ],
)
async def test_twilio_refuses_by_itself(twilio: TwilioStandIn, field: str, value: str, code: int) -> None:
    async with client_at(twilio.url) as client:
        with pytest.raises(TwilioRestException) as refused:
            await send(client, **{field: value})
    assert (refused.value.status, refused.value.code) == (400, code)
    assert not twilio.messages


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (TwilioFault.RATE_LIMITED_RETRY_AFTER, 429, 20429),
        (TwilioFault.RATE_LIMITED, 429, 20429),
        (TwilioFault.ERROR_500, 500, 20500),
        (TwilioFault.ERROR_503, 503, 20503),
        (TwilioFault.UNAUTHORIZED, 401, 20003),
        (TwilioFault.INVALID_NUMBER_21211, 400, 21211),
        (TwilioFault.OPTED_OUT_21610, 400, 21610),
        (TwilioFault.NOT_MOBILE_21614, 400, 21614),
        (TwilioFault.OUR_NUMBER_21212, 400, 21212),
        (TwilioFault.HTML_408, 408, 408),
        (TwilioFault.HTML_502, 502, 502),
    ],
)
async def test_twilio_refusal(twilio: TwilioStandIn, fault: TwilioFault, status: int, code: int) -> None:
    twilio.faults.append(fault)
    async with client_at(twilio.url) as client:
        with pytest.raises(TwilioRestException) as refused:
            await send(client)
        assert (refused.value.status, refused.value.code) == (status, code)
        assert not twilio.messages
        await send(client)
    assert len(twilio.messages) == 1
    assert len(twilio.attempts) == 2


@pytest.mark.parametrize(
    ("fault", "header"),
    [(TwilioFault.RATE_LIMITED_RETRY_AFTER, str(RETRY_AFTER)), (TwilioFault.RATE_LIMITED, None)],
)
async def test_twilio_retry_after_is_seen_below_the_client_only(
    twilio: TwilioStandIn, fault: TwilioFault, header: str | None
) -> None:
    twilio.faults.append(fault)
    async with client_at(twilio.url) as client:
        with pytest.raises(TwilioRestException) as refused:
            await send(client)
        assert client.http_client._test_only_last_response.headers.get("Retry-After") == header
    assert not hasattr(refused.value, "headers")


@pytest.mark.parametrize(("fault", "accepted"), [(TwilioFault.RESET_BEFORE, 0), (TwilioFault.RESET_AFTER_ACCEPT, 1)])
@pytest.mark.parametrize("warm", [False, True], ids=["new connection", "reused connection"])
async def test_twilio_reset(twilio: TwilioStandIn, fault: TwilioFault, accepted: int, warm: bool) -> None:
    async with client_at(twilio.url) as client:
        if warm:
            await bounded(client.messages.list_async())
        twilio.faults.append(fault)
        with pytest.raises(aiohttp.ClientOSError):
            await send(client)
    assert len(twilio.messages) == accepted
    assert len(twilio.attempts) == 1


@pytest.mark.parametrize(("fault", "accepted"), [(TwilioFault.HANG_BEFORE, 0), (TwilioFault.HANG_AFTER, 1)])
async def test_twilio_hangs(twilio: TwilioStandIn, fault: TwilioFault, accepted: int) -> None:
    twilio.faults.append(fault)
    async with client_at(twilio.url) as client:
        sending = asyncio.create_task(send(client))
        await bounded(twilio.wait_for_attempts(1))
        with pytest.raises(TimeoutError):
            await bounded(sending, BRIEF)
    assert len(twilio.messages) == accepted


@pytest.mark.parametrize("fault", [TwilioFault.HANG_BEFORE, TwilioFault.HANG_AFTER])
async def test_twilio_stops_while_it_hangs(fault: TwilioFault) -> None:
    async with TwilioStandIn() as twilio, client_at(twilio.url) as client:
        twilio.faults.append(fault)
        sending = asyncio.create_task(send(client))
        await bounded(twilio.wait_for_attempts(1))
        await bounded(twilio.stop())
        with pytest.raises(aiohttp.ClientConnectionError):
            await bounded(sending)


async def test_twilio_empty_201_is_a_message_without_sid(twilio: TwilioStandIn) -> None:
    twilio.faults.append(TwilioFault.EMPTY_201)
    async with client_at(twilio.url) as client:
        assert (await send(client)).sid is None
    assert len(twilio.messages) == 1


async def test_twilio_html_200_is_no_json(twilio: TwilioStandIn) -> None:
    twilio.faults.append(TwilioFault.HTML_200)
    async with client_at(twilio.url) as client:
        with pytest.raises(json.JSONDecodeError):
            await send(client)
    assert not twilio.messages


async def test_twilio_default_fault_and_queue(twilio: TwilioStandIn) -> None:
    twilio.faults.default = TwilioFault.ERROR_503
    twilio.faults.extend([TwilioFault.OK, TwilioFault.RATE_LIMITED])
    async with client_at(twilio.url) as client:
        await send(client)
        for status in (429, 503, 503):
            with pytest.raises(TwilioRestException) as refused:
                await send(client)
            assert refused.value.status == status
    assert len(twilio.messages) == 1


async def test_twilio_wait_for_wakes_at_the_number_asked_for(twilio: TwilioStandIn) -> None:
    waiting = asyncio.create_task(twilio.wait_for(2))
    async with client_at(twilio.url) as client:
        await send(client, "one")
        assert not waiting.done()
        await send(client, "two")
    assert [m.body for m in await bounded(waiting)] == ["one", "two"]


async def test_twilio_delay(twilio: TwilioStandIn) -> None:
    twilio.delay = 0.2
    async with client_at(twilio.url) as client:
        began = time.monotonic()
        await send(client)
    assert time.monotonic() - began >= 0.2


async def test_twilio_outage_keeps_port_and_messages(twilio: TwilioStandIn) -> None:
    port = twilio.port
    async with client_at(twilio.url) as client:
        await send(client, "one")
        await bounded(twilio.stop())
        with pytest.raises(aiohttp.ClientConnectionError):
            await send(client, "lost on the pooled connection")
        with pytest.raises(aiohttp.ClientConnectorError):
            await send(client, "lost")
        await twilio.start()
        assert twilio.port == port
        await send(client, "two")
    assert [m.body for m in twilio.messages] == ["one", "two"]


@asynccontextmanager
async def callback_server() -> AsyncIterator[tuple[str, list[bool | None]]]:
    """A receiver of status callbacks that notes for each whether its signature holds (None: it had none)."""
    verdicts: list[bool | None] = []

    async def receive(request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        signed = request.headers.get("X-Twilio-Signature")
        valid = RequestValidator(AUTH_TOKEN).validate(str(request.url), form, signed) if signed else None
        verdicts.append(valid)
        return web.Response(status=204 if valid else 403)

    app = web.Application()
    app.router.add_post("/hook", receive)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook?job=1", verdicts
    finally:
        await runner.cleanup()


async def test_status_callbacks_are_signed_forged_or_bare() -> None:
    async with callback_server() as (url, verdicts):
        assert await bounded(send_status(url, AUTH_TOKEN, "SM1", "delivered")) == 204
        assert await bounded(send_status(url, AUTH_TOKEN, "SM1", "failed", error_code=30003)) == 204
        assert await bounded(send_status(url, AUTH_TOKEN, "SM1", "delivered", forge=True)) == 403
        assert await bounded(send_status(url, AUTH_TOKEN, "SM1", "delivered", unsigned=True)) == 403
        other = "https://app.test/hook"
        assert await bounded(send_status(url, AUTH_TOKEN, "SM1", "sent", signed_url=other)) == 403
    assert verdicts == [True, True, False, None, False]


# --- SMTP --------------------------------------------------------------------------------------------------


@pytest.fixture
async def smtp() -> AsyncIterator[SmtpStandIn]:
    async with SmtpStandIn() as stand_in:
        yield stand_in


def mail(subject: str = "hello", to: str = "ann@example.org") -> EmailMessage:
    message = EmailMessage()
    message["From"] = "app@example.org"
    message["To"] = to
    message["Subject"] = subject
    message["Message-ID"] = "<one@example.org>"
    message.set_content("plain text\n")
    message.add_alternative("<p>marked up</p>\n", subtype="html")
    return message


def session(smtp: SmtpStandIn, **more: Any) -> aiosmtplib.SMTP:
    options: dict[str, Any] = {"timeout": LIMIT, "start_tls": False, "use_tls": False, **more}
    return aiosmtplib.SMTP(hostname=smtp.host, port=smtp.port, **options)


async def test_smtp_accepts_and_remembers(smtp: SmtpStandIn) -> None:
    async with asyncio.timeout(LIMIT), session(smtp) as client:
        refused, reply = await client.send_message(mail("grüße"))
    [accepted] = await bounded(smtp.wait_for(1))
    assert (refused, reply) == ({}, "2.0.0 OK: queued")
    assert (accepted.mail_from, accepted.rcpts) == ("app@example.org", ("ann@example.org",))
    assert (accepted.subject, accepted.message_id) == ("grüße", "<one@example.org>")
    assert (accepted.text, accepted.html) == ("plain text\n", "<p>marked up</p>\n")
    assert accepted.raw.startswith(b"From: app@example.org\r\n")


async def test_smtp_many_mails_on_one_connection(smtp: SmtpStandIn) -> None:
    async with asyncio.timeout(LIMIT), session(smtp) as client:
        for number in range(3):
            await client.send_message(mail(str(number)))
    assert [m.subject for m in smtp.mails] == ["0", "1", "2"]
    assert smtp.connections == 1


async def test_smtp_plain_mail_has_no_html(smtp: SmtpStandIn) -> None:
    plain = EmailMessage()
    plain["From"], plain["To"] = "app@example.org", "ann@example.org"
    plain.set_content("only text\n.leading dot\n")
    async with asyncio.timeout(LIMIT), session(smtp) as client:
        await client.send_message(plain)
    [accepted] = smtp.mails
    assert (accepted.text, accepted.html, accepted.subject) == ("only text\n.leading dot\n", "", "")


async def test_smtp_421_on_connect(smtp: SmtpStandIn) -> None:
    smtp.faults.append(SmtpFault.UNAVAILABLE_421_CONNECT)
    with pytest.raises(aiosmtplib.SMTPConnectResponseError) as refused:
        await bounded(session(smtp).connect())
    assert refused.value.code == 421
    async with asyncio.timeout(LIMIT), session(smtp) as client:
        await client.send_message(mail())
    assert len(smtp.mails) == 1


async def test_smtp_hangs_at_greeting(smtp: SmtpStandIn) -> None:
    smtp.faults.append(SmtpFault.HANG_CONNECT)
    with pytest.raises(aiosmtplib.SMTPConnectTimeoutError):
        await bounded(session(smtp, timeout=3 * BRIEF).connect())


async def test_smtp_421_in_place_of_a_mail(smtp: SmtpStandIn) -> None:
    async with asyncio.timeout(LIMIT), session(smtp) as client:
        await client.send_message(mail("one"))
        smtp.faults.append(SmtpFault.CLOSING_421_MAIL)
        with pytest.raises(aiosmtplib.SMTPException) as refused:
            await client.send_message(mail("two"))
    assert isinstance(refused.value, aiosmtplib.SMTPSenderRefused | aiosmtplib.SMTPServerDisconnected)
    assert [m.subject for m in smtp.mails] == ["one"]


async def test_smtp_connection_lost_while_idle(smtp: SmtpStandIn) -> None:
    client = session(smtp)
    await bounded(client.connect())
    await bounded(smtp.drop_connections())
    with pytest.raises(aiosmtplib.SMTPServerDisconnected):
        await bounded(client.send_message(mail()))
    assert not client.is_connected


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (SmtpFault.MAILBOX_BUSY_450_RCPT, 450),
        (SmtpFault.LOCAL_ERROR_451_RCPT, 451),
        (SmtpFault.NO_MAILBOX_550_RCPT, 550),
    ],
)
async def test_smtp_recipient_refused(smtp: SmtpStandIn, fault: SmtpFault, code: int) -> None:
    smtp.faults.append(fault)
    async with asyncio.timeout(LIMIT), session(smtp) as client:
        with pytest.raises(aiosmtplib.SMTPRecipientsRefused) as refused:
            await client.send_message(mail("one"))
        assert [r.code for r in refused.value.recipients] == [code]
        assert not smtp.mails
        await client.send_message(mail("two"))
    assert [m.subject for m in smtp.mails] == ["two"]


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (SmtpFault.LOCAL_ERROR_451_DATA, 451),
        (SmtpFault.OVER_QUOTA_552_DATA, 552),
        (SmtpFault.REJECTED_554_DATA, 554),
    ],
)
async def test_smtp_refused_after_data(smtp: SmtpStandIn, fault: SmtpFault, code: int) -> None:
    smtp.faults.append(fault)
    async with asyncio.timeout(LIMIT), session(smtp) as client:
        with pytest.raises(aiosmtplib.SMTPDataError) as refused:
            await client.send_message(mail("one"))
        assert refused.value.code == code
        assert not smtp.mails
        await client.send_message(mail("two"))
    assert [m.subject for m in smtp.mails] == ["two"]


@pytest.mark.parametrize(("fault", "accepted"), [(SmtpFault.HANG_BEFORE_ACCEPT, 0), (SmtpFault.HANG_AFTER_ACCEPT, 1)])
async def test_smtp_hangs_after_data(smtp: SmtpStandIn, fault: SmtpFault, accepted: int) -> None:
    smtp.faults.append(fault)
    client = session(smtp)
    await bounded(client.connect())
    with pytest.raises(aiosmtplib.SMTPReadTimeoutError):
        await bounded(client.send_message(mail(), timeout=3 * BRIEF))
    client.close()
    assert len(smtp.mails) == accepted


@pytest.mark.parametrize(
    ("fault", "accepted"),
    [(SmtpFault.DROP_MID_DATA, 0), (SmtpFault.DROP_BEFORE_ACCEPT, 0), (SmtpFault.DROP_AFTER_ACCEPT, 1)],
)
async def test_smtp_connection_lost_around_data(smtp: SmtpStandIn, fault: SmtpFault, accepted: int) -> None:
    smtp.faults.append(fault)
    client = session(smtp)
    await bounded(client.connect())
    with pytest.raises(aiosmtplib.SMTPServerDisconnected):
        await bounded(client.send_message(mail()))
    assert len(smtp.mails) == accepted
    assert not client.is_connected


async def test_smtp_login() -> None:
    async with SmtpStandIn("app", "secret") as smtp:
        async with asyncio.timeout(LIMIT), session(smtp, username="app", password="secret") as client:
            await client.send_message(mail("in"))
        with pytest.raises(aiosmtplib.SMTPAuthenticationError) as wrong:
            await bounded(session(smtp, username="app", password="wrong").connect())
        async with asyncio.timeout(LIMIT), session(smtp) as client:
            with pytest.raises(aiosmtplib.SMTPSenderRefused) as nobody:
                await client.send_message(mail("out"))
        smtp.faults.append(SmtpFault.AUTH_TEMPORARY_454)
        with pytest.raises(aiosmtplib.SMTPAuthenticationError) as later:
            await bounded(session(smtp, username="app", password="secret").connect())
    assert (wrong.value.code, nobody.value.code, later.value.code) == (535, 530, 454)
    assert [m.subject for m in smtp.mails] == ["in"]


async def test_smtp_outage_keeps_port_and_mails(smtp: SmtpStandIn) -> None:
    port = smtp.port
    async with asyncio.timeout(LIMIT), session(smtp) as client:
        await client.send_message(mail("one"))
    await bounded(smtp.stop())
    with pytest.raises(aiosmtplib.SMTPConnectError):
        await bounded(session(smtp).connect())
    await smtp.start()
    assert smtp.port == port
    async with asyncio.timeout(LIMIT), session(smtp) as client:
        await client.send_message(mail("two"))
    assert [m.subject for m in smtp.mails] == ["one", "two"]


@pytest.mark.parametrize("fault", [SmtpFault.HANG_CONNECT, SmtpFault.HANG_AFTER_ACCEPT])
async def test_smtp_stops_while_it_hangs(fault: SmtpFault) -> None:
    async with SmtpStandIn() as smtp:
        smtp.faults.append(fault)
        client = session(smtp)
        sending = asyncio.create_task(_connect_and_send(client))
        await bounded(smtp.wait_for_connections(1))
        if fault is SmtpFault.HANG_AFTER_ACCEPT:
            await bounded(smtp.wait_for(1))
        await bounded(smtp.stop())
        with pytest.raises((aiosmtplib.SMTPServerDisconnected, aiosmtplib.SMTPConnectError)):
            await bounded(sending)


async def _connect_and_send(client: aiosmtplib.SMTP) -> None:
    async with client:
        await client.send_message(mail())


# --- Processes ---------------------------------------------------------------------------------------------


async def test_twilio_process_journals_what_it_accepted(tmp_path: Path) -> None:
    journal = tmp_path / "sms.jsonl"
    module = "tests.standins.twilio"
    async with (
        asyncio.timeout(3 * LIMIT),
        StandInProcess(module, journal, "--fault", "HANG_AFTER") as process,
        client_at(process.url) as client,
    ):
        sending = asyncio.create_task(send(client, "uncertain"))
        [accepted] = await process.wait_for(1)
        sending.cancel()
        sent = await send(client, "certain")
        assert len(await process.wait_for(2)) == 2
    assert accepted["body"] == "uncertain"
    assert [(m["body"], m["from"], m["to"]) for m in read_journal(journal)] == [
        ("uncertain", FROM, TO),
        ("certain", FROM, TO),
    ]
    assert read_journal(journal)[1]["sid"] == sent.sid


async def test_smtp_process_journals_what_it_accepted(tmp_path: Path) -> None:
    journal = tmp_path / "mail.jsonl"
    module = "tests.standins.smtp"
    async with asyncio.timeout(3 * LIMIT), StandInProcess(module, journal) as process:
        client = aiosmtplib.SMTP(hostname="127.0.0.1", port=process.port, start_tls=False)
        async with client:
            await client.send_message(mail("kept"))
        [accepted] = await process.wait_for(1)
    assert (accepted["subject"], accepted["rcpts"]) == ("kept", ["ann@example.org"])


async def test_process_that_cannot_start_says_so(tmp_path: Path) -> None:
    process = StandInProcess("tests.standins.twilio", tmp_path / "j", "--fault", "NO_SUCH_FAULT")
    with pytest.raises(RuntimeError, match="ended early"):
        async with asyncio.timeout(3 * LIMIT), process:
            pass
