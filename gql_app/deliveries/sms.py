"""SMS by Twilio."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from json import JSONDecodeError
from typing import Any

import aiohttp
from twilio.base.exceptions import TwilioException, TwilioRestException
from twilio.http.async_http_client import AsyncTwilioHttpClient
from twilio.rest import Client

from gql_app.deliveries.models import Channel, Fault
from gql_app.deliveries.senders import (
    SEND_TIMEOUT,
    Ambiguous,
    CredentialsRefused,
    Outgoing,
    PermanentFailure,
    Receipt,
    TransientFailure,
)
from gql_app.settings import Twilio

CLOCK_SKEW = timedelta(minutes=5)
"""How much Twilio's clock may differ from the database's when a message is looked up by its time."""
MOST_LISTED = 200
"""Messages to one number among which one is looked for."""
TRIAL = "Sent from your Twilio trial account - "
"""What Twilio puts before every text of an account that does not pay yet."""
OUR_SENDER = (21212, 21603)
"""Twilio's errors about the number that we send from: no other message would fare better."""
RECIPIENTS = (21211, 21610, 21614)
"""Its errors about the recipient's: no number, opted out, no mobile number (twilio.com/docs/api/errors)."""
TEXTS = (21602, 21605, 21617)
"""Its errors about the text: there is none, or it is too long."""

CONCURRENCY = 48
"""Messages in the air at a time."""
CREDENTIALS = "Twilio refused our account SID or auth token"


class _Http(AsyncTwilioHttpClient):  # type: ignore[misc]  # the package is not typed
    """The package's client with a real timeout, which answers 429 and 5xx before the package parses their bodies."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    async def request(self, *args: Any, **kwargs: Any) -> Any:
        kwargs["timeout"] = None  # the package passes its own on as none at all
        sid, token = kwargs.pop("auth")  # aiohttp wants credentials in the header from now on
        kwargs["headers"] = {
            **(kwargs.get("headers") or {}),
            "Authorization": aiohttp.encode_basic_auth(sid, token),
        }
        async with asyncio.timeout(self._seconds):
            response = await super().request(*args, **kwargs)
        status = response.status_code
        if status in (502, 504):  # a gateway that did not hear what became of it
            raise Ambiguous(f"Twilio's gateway answered {status}", str(status))
        if status == 429 or status >= 500:
            seconds = _retry_after(response.headers.get("Retry-After"), response.headers.get("Date"))
            raise TransientFailure(f"Twilio answered {status}", str(status), seconds)
        return response


class TwilioSender:
    """Sends SMS through Twilio's Messages resource."""

    channel = Channel.SMS
    concurrency = CONCURRENCY
    resend_is_safe = False

    def __init__(self, settings: Twilio, *, status_callback: str | None = None, timeout: float = SEND_TIMEOUT) -> None:
        """``status_callback``: the address that Twilio reports to; the attempt's id is added to it."""
        self._http = _Http(timeout)
        self._timeout = timeout
        self._client = Client(settings.account_sid, settings.auth_token.reveal(), http_client=self._http)
        # TWILIO_REGION and TWILIO_EDGE in the environment would be written into our own base URL as well.
        self._client.region = self._client.edge = None
        if settings.base_url:
            self._client.api.base_url = settings.base_url
        is_service = settings.sender.startswith("MG")
        self._sender = {"messaging_service_sid" if is_service else "from_": settings.sender}
        self._status_callback = status_callback

    async def send(self, message: Outgoing) -> Receipt:
        extra = dict(self._sender)
        if self._status_callback:
            extra["status_callback"] = f"{self._status_callback}?attempt={message.attempt_id}"
        sent = await self._call(self._client.messages.create_async(to=message.recipient, body=message.body, **extra))
        if not sent.sid:
            raise Ambiguous("Twilio's answer names no message")
        return Receipt(sent.sid)

    async def find(self, message: Outgoing, since: datetime) -> Sequence[Receipt]:
        """The messages with this text that Twilio took for this recipient since then.

        Twilio's filter by time knows only messages that have left already, so the time is compared here.
        """
        begin = since - CLOCK_SKEW
        listed = await self._look_up(self._client.messages.list_async(to=message.recipient, limit=MOST_LISTED))
        recent = [m for m in listed if m.date_created is None or m.date_created >= begin]
        texts = {message.body, *message.earlier}
        like_it = [m for m in recent if m.body is not None and m.body.removeprefix(TRIAL) in texts]
        if not like_it and len(recent) == MOST_LISTED:
            raise Ambiguous("could not be looked up: it has sent too much to this number since")
        return [Receipt(found.sid) for found in reversed(like_it)]  # the listing has the latest first

    async def close(self) -> None:
        await self._http.close()

    async def _look_up(self, call: Any) -> Any:
        """A look-up that fails leaves the outcome as unclear as it was."""
        try:
            return await self._call(call)
        except (TransientFailure, PermanentFailure) as failure:
            raise Ambiguous(f"could not be looked up: {failure.message}", failure.code) from failure

    async def _call(self, call: Any) -> Any:
        try:
            return await call
        except TwilioRestException as error:
            raise _refusal(error) from error
        except aiohttp.ClientConnectorError as error:
            raise TransientFailure("Twilio cannot be reached") from error
        except TimeoutError as error:
            raise Ambiguous(f"no answer within {self._timeout:.0f} seconds") from error
        except TwilioException as error:  # how a refused listing comes: the response is the second argument
            status = getattr(error.args[1], "status_code", None) if len(error.args) > 1 else None
            if status in (401, 403):
                raise CredentialsRefused(CREDENTIALS, str(status)) from error
            raise Ambiguous("Twilio's answer makes no sense") from error
        except (aiohttp.ClientError, JSONDecodeError, UnicodeDecodeError) as error:
            raise Ambiguous(f"the connection or the answer broke: {type(error).__name__}") from error


def _refusal(error: TwilioRestException) -> Exception:
    """4xx: our credentials (401, 403), our sender, or this message for good (21211 and 21614: bad number, 21610: opted
    out). Without a code of Twilio's it is somebody's in between, who may have passed it on."""
    code = str(error.code or error.status)
    if error.status in (401, 403):
        return CredentialsRefused(CREDENTIALS, code)
    if error.code in OUR_SENDER:
        return CredentialsRefused(f"Twilio refused our sender (error {code})", code)
    if error.code in (None, error.status):
        return Ambiguous(f"HTTP {error.status} without an error of Twilio's", code)
    fault = Fault.RECIPIENT if error.code in RECIPIENTS else Fault.MESSAGE if error.code in TEXTS else None
    return PermanentFailure(f"Twilio refused the message (error {code})", code, fault=fault)


def _retry_after(value: str | None, date: str | None) -> float | None:
    """Seconds from a Retry-After header, which holds seconds or a date (RFC 9110, section 10.2.3). A date is held
    against the answer's own: our clock may differ from Twilio's."""
    if not value:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        answered = parsedate_to_datetime(date) if date else datetime.now(UTC)
        return max(0.0, (parsedate_to_datetime(value) - answered).total_seconds())
    except (ValueError, TypeError):
        return None
