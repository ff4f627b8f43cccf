"""E-mail by SMTP."""

import asyncio
import re
import ssl
from collections.abc import Sequence
from datetime import datetime

import aiosmtplib

from gql_app.deliveries.composing import Mailbox, compose
from gql_app.deliveries.models import Channel, Fault
from gql_app.deliveries.senders import (
    SEND_TIMEOUT,
    Ambiguous,
    CredentialsRefused,
    Outgoing,
    PermanentFailure,
    Receipt,
    SendFailure,
    TransientFailure,
)
from gql_app.settings import Smtp

COMMAND_TIMEOUT = 10.0
CONNECTIONS = 4
"""Mails sent at a time; a connection carries one mail."""


class SmtpSender:
    """Sends mails, one recipient and one connection each: a mail that breaks off spoils no other."""

    channel = Channel.EMAIL
    concurrency = CONNECTIONS
    # The Message-ID is the same in every attempt: a mail server or reader that gets it twice can tell.
    resend_is_safe = True

    def __init__(self, settings: Smtp, mail_from: str, *, timeout: float = SEND_TIMEOUT) -> None:
        self._settings = settings
        self._from = Mailbox.parse(mail_from)
        self._timeout = timeout
        self._places = asyncio.Semaphore(CONNECTIONS)
        self._tls = ssl.create_default_context()

    async def send(self, message: Outgoing) -> Receipt:
        mail = self._compose(message)
        async with self._places:
            client = aiosmtplib.SMTP(
                hostname=self._settings.host,
                port=self._settings.port,
                username=self._settings.username,
                password=self._settings.password.reveal() or None,
                use_tls=self._settings.tls == "implicit",
                start_tls=self._settings.tls == "starttls",
                tls_context=self._tls if self._settings.tls != "none" else None,
                timeout=min(COMMAND_TIMEOUT, self._timeout),
            )
            begun = False
            try:
                async with asyncio.timeout(self._timeout):
                    await self._connect(client)
                    begun = True
                    await self._hand_over(client, mail, message.recipient)
            except TimeoutError as error:
                late = f"no answer within {self._timeout:.0f} seconds"
                raise (Ambiguous(late) if begun else TransientFailure(late)) from error
            finally:
                client.close()
        return Receipt(f"<{message.id}@{self._from.domain}>")

    async def find(self, message: Outgoing, since: datetime) -> Sequence[Receipt]:
        """SMTP knows no look-up."""
        return ()

    async def close(self) -> None:
        """Nothing is kept open between two mails."""

    def _compose(self, message: Outgoing) -> bytes:
        try:
            return compose(
                self._from, message.recipient, message.subject or "", str(message.id), message.body, message.html
            )
        except ValueError as error:
            raise PermanentFailure(f"the mail cannot be written: {error}", fault=Fault.RECIPIENT) from error

    async def _connect(self, client: aiosmtplib.SMTP) -> None:
        """Until here nothing has been handed over: whatever fails can be tried again."""
        try:
            await client.connect()
        except aiosmtplib.SMTPAuthenticationError as error:
            if error.code < 500:
                raise TransientFailure(_says(error.code, error.message), str(error.code)) from error
            raise CredentialsRefused("the mail server refused our username or password", str(error.code)) from error
        except aiosmtplib.SMTPResponseException as error:
            raise TransientFailure(_says(error.code, error.message), str(error.code)) from error
        except (aiosmtplib.SMTPException, OSError) as error:
            raise TransientFailure(f"the mail server cannot be reached: {type(error).__name__}") from error

    async def _hand_over(self, client: aiosmtplib.SMTP, mail: bytes, recipient: str) -> None:
        try:
            await client.sendmail(self._from.address, [recipient], mail)
        except aiosmtplib.SMTPRecipientsRefused as error:
            refused = error.recipients[0]
            raise _refusal(refused.code, refused.message) from error
        except aiosmtplib.SMTPSenderRefused as error:
            if error.code < 500:
                raise TransientFailure(_says(error.code, error.message), str(error.code)) from error
            raise CredentialsRefused("the mail server refused our sender's address", str(error.code)) from error
        except aiosmtplib.SMTPResponseException as error:
            raise _refusal(error.code, error.message) from error
        except (aiosmtplib.SMTPException, OSError) as error:
            raise Ambiguous(f"the connection broke in the middle: {type(error).__name__}") from error


_ENHANCED = re.compile(r"\b5\.(\d{1,3})\.\d{1,3}\b")
_FAULTS = {"1": Fault.RECIPIENT, "2": Fault.RECIPIENT, "6": Fault.MESSAGE}
"""By the subject of an enhanced status code (RFC 3463, section 3): the address, the mailbox, the content."""


def _refusal(code: int, text: str) -> SendFailure:
    """RFC 5321, section 4.2.1: 4yz may succeed later, 5yz never; 421 closes the connection."""
    if code in (530, 534, 535):
        return CredentialsRefused("the mail server wants another login", str(code))
    if code >= 500:
        enhanced = _ENHANCED.search(text)
        fault = _FAULTS.get(enhanced.group(1)) if enhanced else None
        return PermanentFailure(_says(code, text), str(code), fault=fault)
    return TransientFailure(_says(code, text), str(code))


def _says(code: int, text: str) -> str:
    readable = text.encode("utf-8", "replace").decode().replace("\0", "?")  # a server may answer in any encoding
    return f"the mail server answered {code} {readable}"[:500]
