"""A mail server on loopback that keeps what it accepts.

`python -m tests.standins.smtp --port 0 --journal FILE` runs it as a process.
"""

import asyncio
from base64 import b64encode
from collections.abc import Callable
from dataclasses import asdict, dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.standins.faults import FaultScript
from tests.standins.ledger import Ledger
from tests.standins.process import parser, serve
from tests.standins.smtp_protocol import AT_MAIL, SmtpConnection, SmtpFault

__all__ = ["SmtpFault", "SmtpMail", "SmtpStandIn"]


@dataclass(frozen=True, slots=True)
class SmtpMail:
    """One accepted mail; `text` and `html` are its decoded bodies with LF line ends, empty if absent."""

    mail_from: str
    rcpts: tuple[str, ...]
    message_id: str
    subject: str
    text: str
    html: str
    raw: bytes


def journal_line(mail: SmtpMail) -> dict[str, object]:
    """A mail as it stands in the journal, `raw` in base64."""
    return {**asdict(mail), "raw": b64encode(mail.raw).decode()}


def parse(mail_from: str, rcpts: list[str], raw: bytes) -> SmtpMail:
    """Read the accepted bytes."""
    message = message_from_bytes(raw, policy=policy.default)
    return SmtpMail(
        mail_from=mail_from,
        rcpts=tuple(rcpts),
        message_id=str(message.get("Message-ID", "")),
        subject=str(message.get("Subject", "")),
        text=_body(message, "plain"),
        html=_body(message, "html"),
        raw=raw,
    )


def _body(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    return "" if part is None else str(part.get_content()).replace("\r\n", "\n")


class SmtpStandIn:
    """An SMTP server; with `username` and `password` it wants a login before the first mail, without TLS.

    `faults` is consumed one per mail, at its MAIL command. A connection fault at the head of the queue waits
    for the next connection, a login fault for the next login; mails on open connections pass meanwhile.
    `delay` is waited for after DATA. `stop` and `start` again keep the port and the mails.
    """

    def __init__(
        self,
        username: str | None = None,
        password: str | None = None,
        *,
        port: int = 0,
        journal: Path | None = None,
        announce: Callable[[SmtpMail], None] | None = None,
    ) -> None:
        self.host = "127.0.0.1"
        self.port = port
        self.username = username
        self.password = password
        self.faults = FaultScript(SmtpFault.OK)
        self.delay = 0.0
        self._accepted = Ledger(journal_line, journal, announce)
        self._attempts: Ledger[str] = Ledger()
        self._connections: Ledger[int] = Ledger()
        self._open: set[SmtpConnection] = set()
        self._server: asyncio.Server | None = None

    @property
    def mails(self) -> list[SmtpMail]:
        """The accepted mails, oldest first."""
        return self._accepted.items

    @property
    def messages(self) -> list[SmtpMail]:
        """The same as `mails`."""
        return self._accepted.items

    @property
    def attempts(self) -> list[str]:
        """The sender of every MAIL command, whatever came of it."""
        return self._attempts.items

    @property
    def connections(self) -> int:
        """How many connections there have been."""
        return len(self._connections.items)

    async def wait_for(self, count: int) -> list[SmtpMail]:
        """All accepted mails, as soon as there are at least `count`."""
        return await self._accepted.wait_for(count)

    async def wait_for_attempts(self, count: int) -> list[str]:
        """All attempts, as soon as there are at least `count`."""
        return await self._attempts.wait_for(count)

    async def wait_for_connections(self, count: int) -> int:
        """The number of connections there have been, as soon as it is at least `count`."""
        return len(await self._connections.wait_for(count))

    async def drop_connections(self) -> None:
        """Break every open connection off, as a server does with idle ones; go on listening."""
        for connection in list(self._open):
            await connection.end()

    async def start(self) -> None:
        """Listen on loopback; `port` is known afterwards."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: SmtpConnection(self), self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Listen no more and drop every connection, hanging ones too."""
        if self._server is not None:
            self._server.close()
            await self.drop_connections()
            await self._server.wait_closed()
            self._server = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def opened(self, connection: SmtpConnection) -> None:
        """Told by a connection that it is there."""
        self._open.add(connection)
        self._connections.add(len(self._open))

    def closed(self, connection: SmtpConnection) -> None:
        """Told by a connection that it is gone."""
        self._open.discard(connection)

    def next_fault(self, sender: str) -> SmtpFault:
        """Told by a connection that a mail begins; what is to happen to it."""
        self._attempts.add(sender)
        return self.faults.take_one_of(AT_MAIL) or SmtpFault.OK

    def accept(self, mail_from: str, rcpts: list[str], raw: bytes) -> None:
        """Told by a connection that the server now answers for a mail."""
        self._accepted.add(parse(mail_from, rcpts, raw))


def _print_id(mail: SmtpMail) -> None:
    print(mail.message_id or "-", flush=True)


async def _main() -> None:
    options = parser("A mail server on loopback")
    options.add_argument("--username")
    options.add_argument("--password")
    chosen = options.parse_args()
    stand_in = SmtpStandIn(
        chosen.username,
        chosen.password,
        port=chosen.port,
        journal=chosen.journal,
        announce=_print_id if chosen.announce else None,
    )
    stand_in.faults.extend(SmtpFault[name] for name in chosen.fault)
    stand_in.faults.default = SmtpFault[chosen.default_fault]
    stand_in.delay = chosen.delay
    await serve(stand_in, until_eof=chosen.until_eof)


if __name__ == "__main__":
    asyncio.run(_main())
