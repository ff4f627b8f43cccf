"""The part of Twilio's REST API that the product uses, as a real HTTP server on loopback.

`python -m tests.standins.twilio --port 0 --journal FILE` runs it as a process (never run it by path:
the directory would hide the `twilio` package).
"""

import asyncio
import re
import secrets
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web

from tests.standins.faults import FaultScript
from tests.standins.ledger import Ledger
from tests.standins.process import parser, serve
from tests.standins.twilio_faults import (
    RESETS,
    RETRY_AFTER,
    SILENT_AFTER,
    SILENT_BEFORE,
    TwilioFault,
    refusal,
    refusal_of,
    reset,
)
from tests.standins.twilio_shapes import (
    API,
    TwilioMessage,
    account_json,
    is_sent,
    journal_line,
    matches,
    message_json,
    page_json,
)
from tests.standins.twilio_status import send_status, signature, status_form

__all__ = [
    "ACCOUNT_SID",
    "AUTH_TOKEN",
    "RETRY_AFTER",
    "TwilioFault",
    "TwilioMessage",
    "TwilioStandIn",
    "send_status",
    "signature",
    "status_form",
]

ACCOUNT_SID = "AC" + "5" * 32
AUTH_TOKEN = "stand-in-token"
NUMBER = re.compile(r"\+[1-9]\d{6,14}")
LONGEST_BODY = 1600


class TwilioStandIn:
    """A Twilio that keeps one account.

    `faults` is consumed one per POST (whatever comes of it), `delay` is waited for before a POST is handled.
    Messages count as sent at once; with `keep_queued` they stay queued (no `date_sent`, invisible to the
    DateSent filters) until `set_status` says otherwise. `stop` and `start` again keep port and messages.
    """

    def __init__(
        self,
        account_sid: str = ACCOUNT_SID,
        auth_token: str = AUTH_TOKEN,
        *,
        port: int = 0,
        journal: Path | None = None,
        announce: Callable[[TwilioMessage], None] | None = None,
    ) -> None:
        self.account_sid = account_sid
        self.auth_token = auth_token
        self.port = port
        self.faults = FaultScript(TwilioFault.OK)
        self.delay = 0.0
        self.keep_queued = False
        self._accepted = Ledger(journal_line, journal, announce)
        self._attempts: Ledger[dict[str, str]] = Ledger()
        self._status: dict[str, str] = {}
        self._runner: web.AppRunner | None = None
        self._stopping = asyncio.Event()

    @property
    def url(self) -> str:
        """The base URL, for `client.api.base_url`."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def messages(self) -> list[TwilioMessage]:
        """The accepted messages, oldest first."""
        return self._accepted.items

    @property
    def attempts(self) -> list[dict[str, str]]:
        """The form of every POST that came in, accepted or not, oldest first."""
        return self._attempts.items

    async def wait_for(self, count: int) -> list[TwilioMessage]:
        """All accepted messages, as soon as there are at least `count`."""
        return await self._accepted.wait_for(count)

    async def wait_for_attempts(self, count: int) -> list[dict[str, str]]:
        """All attempts, as soon as there are at least `count`."""
        return await self._attempts.wait_for(count)

    def set_status(self, sid: str, status: str) -> None:
        """Change what GET says of a message, e.g. to "delivered"."""
        self._status[sid] = status

    async def start(self) -> None:
        """Listen on loopback; `port` is known afterwards."""
        self._stopping.clear()
        app = web.Application()
        account = API + "/Accounts/{account}"
        app.router.add_get(account + "/Messages/{sid}.json", self._fetch)
        app.router.add_get(account + "/Messages.json", self._list)
        app.router.add_post(account + "/Messages.json", self._create)
        app.router.add_get(account + ".json", self._account)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Listen no more and drop every connection, hanging ones too."""
        self._stopping.set()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _account(self, request: web.Request) -> web.StreamResponse:
        return self._denied(request) or web.json_response(account_json(self.account_sid))

    async def _fetch(self, request: web.Request) -> web.StreamResponse:
        if denied := self._denied(request):
            return denied
        for message in self.messages:
            if message.sid == request.match_info["sid"]:
                return web.json_response(self._shown(message))
        return refusal(20404, f"The requested resource {request.path} was not found", 404)

    async def _list(self, request: web.Request) -> web.StreamResponse:
        if denied := self._denied(request):
            return denied
        query = {name: value for name, value in request.query.items() if value}
        found = [self._shown(m) for m in reversed(self.messages) if self._listed(m, query)]
        return web.json_response(page_json(request.path, query, found))

    async def _create(self, request: web.Request) -> web.StreamResponse:
        form = {name: str(value) for name, value in (await request.post()).items()}
        fault = self.faults.take()
        self._attempts.add(form)
        if self.delay:
            await asyncio.sleep(self.delay)
        to = form.get("To", "")
        if refused := self._denied(request) or refusal_of(fault, to) or _invalid(form):
            return refused
        if fault in SILENT_BEFORE:
            return await self._fall_silent(request, fault)
        message = self._accept(form)
        if fault in SILENT_AFTER:
            return await self._fall_silent(request, fault)
        if fault is TwilioFault.EMPTY_201:
            return web.Response(status=201)
        status = "accepted" if message.messaging_service_sid else "queued"
        return web.json_response(message_json(self.account_sid, message, status), status=201)

    def _accept(self, form: dict[str, str]) -> TwilioMessage:
        message = TwilioMessage(
            sid="SM" + secrets.token_hex(16),
            to=form["To"],
            from_=form.get("From", ""),
            body=form["Body"],
            status_callback=form.get("StatusCallback"),
            date=datetime.now(UTC).replace(microsecond=0),
            messaging_service_sid=form.get("MessagingServiceSid"),
        )
        self._status[message.sid] = "queued" if self.keep_queued else "sent"
        self._accepted.add(message)
        return message

    async def _fall_silent(self, request: web.Request, fault: TwilioFault) -> web.Response:
        """Never answer: the handler ends when the connection goes or the stand-in stops."""
        if fault in RESETS:
            reset(request.transport)
        await self._stopping.wait()
        reset(request.transport)
        return web.Response(status=503)

    def _denied(self, request: web.Request) -> web.Response | None:
        credentials = b64encode(f"{self.account_sid}:{self.auth_token}".encode()).decode()
        if request.headers.get("Authorization") != f"Basic {credentials}":
            return refusal(20003, "Authenticate", 401)
        if request.match_info["account"] != self.account_sid:
            return refusal(20404, f"The requested resource {request.path} was not found", 404)
        return None

    def _shown(self, message: TwilioMessage) -> dict[str, object]:
        return message_json(self.account_sid, message, self._status[message.sid])

    def _listed(self, message: TwilioMessage, query: dict[str, str]) -> bool:
        by_date = any(name.startswith("DateSent") for name in query)
        return matches(message, query) and (is_sent(self._status[message.sid]) or not by_date)


def _invalid(form: dict[str, str]) -> web.Response | None:
    """What Twilio refuses by itself: missing fields, numbers that are not E.164, bodies of more than 1600."""
    to, body = form.get("To", ""), form.get("Body", "")
    if not to:
        return refusal(21604, "A 'To' phone number is required.", 400)
    if not form.get("From") and not form.get("MessagingServiceSid"):
        return refusal(21603, "A 'From' phone number is required.", 400)
    if not body:
        return refusal(21602, "Message body is required.", 400)
    if not NUMBER.fullmatch(to):
        return refusal(21211, f"Invalid 'To' Phone Number: {to}", 400)
    if len(body) > LONGEST_BODY:
        return refusal(21617, "The concatenated message body exceeds the 1600 character limit.", 400)
    return None


def _print_sid(message: TwilioMessage) -> None:
    print(message.sid, flush=True)


async def _main() -> None:
    options = parser("Twilio's REST API on loopback")
    options.add_argument("--account-sid", default=ACCOUNT_SID)
    options.add_argument("--auth-token", default=AUTH_TOKEN)
    chosen = options.parse_args()
    stand_in = TwilioStandIn(
        chosen.account_sid,
        chosen.auth_token,
        port=chosen.port,
        journal=chosen.journal,
        announce=_print_sid if chosen.announce else None,
    )
    stand_in.faults.extend(TwilioFault[name] for name in chosen.fault)
    stand_in.faults.default = TwilioFault[chosen.default_fault]
    stand_in.delay = chosen.delay
    await serve(stand_in, until_eof=chosen.until_eof)


if __name__ == "__main__":
    asyncio.run(_main())
