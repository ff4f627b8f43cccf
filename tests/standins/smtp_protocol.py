"""One SMTP connection of the stand-in: aiosmtpd's protocol with faults in it."""
# ruff: noqa: N802 - aiosmtpd finds commands and hooks by these names

import asyncio
import contextlib
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from aiosmtpd.smtp import MISSING, SMTP, AuthResult, Envelope, LoginPassword, Session

if TYPE_CHECKING:
    from tests.standins.smtp import SmtpStandIn


class SmtpFault(Enum):
    """What happens to one mail. The _CONNECT ones happen to a connection, the AUTH one to a login."""

    OK = auto()
    UNAVAILABLE_421_CONNECT = auto()
    HANG_CONNECT = auto()
    AUTH_TEMPORARY_454 = auto()
    CLOSING_421_MAIL = auto()
    SENDER_REFUSED_553_MAIL = auto()
    MAILBOX_BUSY_450_RCPT = auto()
    LOCAL_ERROR_451_RCPT = auto()
    NO_MAILBOX_550_RCPT = auto()
    LOCAL_ERROR_451_DATA = auto()
    OVER_QUOTA_552_DATA = auto()
    REJECTED_554_DATA = auto()
    HANG_BEFORE_ACCEPT = auto()
    HANG_AFTER_ACCEPT = auto()
    DROP_MID_DATA = auto()
    DROP_BEFORE_ACCEPT = auto()
    DROP_AFTER_ACCEPT = auto()


AT_CONNECT = {SmtpFault.UNAVAILABLE_421_CONNECT, SmtpFault.HANG_CONNECT}
AT_LOGIN = {SmtpFault.AUTH_TEMPORARY_454}
AT_MAIL = set(SmtpFault) - AT_CONNECT - AT_LOGIN
AT_RCPT = {
    SmtpFault.MAILBOX_BUSY_450_RCPT: "450 4.2.1 Mailbox busy, try again later",
    SmtpFault.LOCAL_ERROR_451_RCPT: "451 4.7.1 Greylisted, try again later",
    SmtpFault.NO_MAILBOX_550_RCPT: "550 5.1.1 No such mailbox",
}
AFTER_DATA = {
    SmtpFault.LOCAL_ERROR_451_DATA: "451 4.3.0 Local error in processing",
    SmtpFault.OVER_QUOTA_552_DATA: "552 5.2.2 Mailbox full",
    SmtpFault.REJECTED_554_DATA: "554 5.7.1 Rejected by policy",
}
HANGS = {SmtpFault.HANG_BEFORE_ACCEPT, SmtpFault.HANG_AFTER_ACCEPT}
DROPS = {SmtpFault.DROP_BEFORE_ACCEPT, SmtpFault.DROP_AFTER_ACCEPT}
ACCEPTS = {SmtpFault.OK, SmtpFault.HANG_AFTER_ACCEPT, SmtpFault.DROP_AFTER_ACCEPT}


class SmtpConnection(SMTP):  # type: ignore[misc]
    """A connection; `fault` is that of the mail in progress."""

    def __init__(self, stand_in: "SmtpStandIn") -> None:
        self.stand_in = stand_in
        self.fault = SmtpFault.OK
        super().__init__(
            _Hooks(),
            loop=asyncio.get_running_loop(),
            hostname="stand-in.test",
            enable_SMTPUTF8=True,
            auth_require_tls=stand_in.password is None,
            auth_exclude_mechanism=["LOGIN"],  # a refused client tries the next mechanism: leave it one
            authenticator=_authenticate,
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection among the open ones."""
        super().connection_made(transport)
        self.stand_in.opened(self)

    def connection_lost(self, error: Exception | None) -> None:
        """Count it out."""
        super().connection_lost(error)
        self.stand_in.closed(self)

    async def smtp_DATA(self, arg: str) -> None:
        """The command, with the fault of a connection that closes while the text comes in."""
        if self.fault is SmtpFault.DROP_MID_DATA:
            await self.push("354 End data with <CR><LF>.<CR><LF>")
            await self._reader.readline()
            await self.drop()
        await super().smtp_DATA(arg)

    async def drop(self) -> None:
        """Close the connection and wait for this task to be cancelled by that."""
        if self.transport is not None:
            self.transport.close()
        await self.hang()

    async def hang(self) -> None:
        """Never return: the task is cancelled when the connection goes."""
        await asyncio.Event().wait()

    async def end(self) -> None:
        """Break the connection off and see its task to the end."""
        if self.transport is not None:
            self.transport.abort()
        if self._handler_coroutine is not None:
            await asyncio.gather(self._handler_coroutine, return_exceptions=True)

    async def _handle_client(self) -> None:
        fault = self.stand_in.faults.take_one_of(AT_CONNECT)
        if fault is SmtpFault.HANG_CONNECT:
            await self.hang()
        if fault is SmtpFault.UNAVAILABLE_421_CONNECT:
            await self.push("421 4.3.2 Service not available, closing transmission channel")
            await self.drop()
        with contextlib.suppress(ConnectionError):
            await super()._handle_client()


def _authenticate(server: SmtpConnection, _s: Session, _e: Envelope, _mechanism: str, login: object) -> AuthResult:
    stand_in = server.stand_in
    expected = LoginPassword((stand_in.username or "").encode(), (stand_in.password or "").encode())
    return AuthResult(success=login == expected, handled=False, auth_data=login)


class _Hooks:
    """aiosmtpd's hooks: each returns the reply to send. Every `handle_` name is taken for one."""

    async def handle_AUTH(self, server: SmtpConnection, _s: Session, _e: Envelope, _args: list[str]) -> Any:
        if server.stand_in.faults.take_one_of(AT_LOGIN):
            return "454 4.7.0 Temporary authentication failure"
        return MISSING

    async def handle_MAIL(
        self, server: SmtpConnection, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if server.stand_in.password is not None and not session.authenticated:
            return "530 5.7.0 Authentication required"
        server.fault = server.stand_in.next_fault(address)
        if server.fault is SmtpFault.CLOSING_421_MAIL:
            await server.push("421 4.4.2 Idle for too long, closing transmission channel")
            await server.drop()
        if server.fault is SmtpFault.SENDER_REFUSED_553_MAIL:
            return "553 5.7.1 Sender address rejected: not owned by user"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(
        self, server: SmtpConnection, _s: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if refused := AT_RCPT.get(server.fault):
            return refused
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SmtpConnection, _s: Session, envelope: Envelope) -> str:
        if server.stand_in.delay:
            await asyncio.sleep(server.stand_in.delay)
        if refused := AFTER_DATA.get(server.fault):
            return refused
        if server.fault in ACCEPTS:
            server.stand_in.accept(envelope.mail_from, envelope.rcpt_tos, envelope.original_content)
        if server.fault in HANGS:
            await server.hang()
        if server.fault in DROPS:
            await server.drop()
        return "250 2.0.0 OK: queued"
