"""What the worker asks of a channel, and how a channel says that it did not work out."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from gql_app.deliveries.models import Channel, Fault


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message on its way. `id` is the same for all attempts, `attempt_id` is this attempt's own.

    `earlier` are other texts under which it may have been accepted: its template was changed between two attempts.
    """

    id: UUID
    attempt_id: UUID
    recipient: str
    subject: str | None = None
    body: str = ""
    html: str | None = None
    earlier: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Receipt:
    """The provider accepted the message, under this id of its own where it gives one."""

    provider_id: str | None = None


class SendFailure(Exception):
    """An attempt that did not end in a receipt. `code` is the provider's, `message` holds no secret.

    `fault` is whose fault it was, None where nobody knows.
    """

    usual: Fault | None = None
    """Whose fault it is unless the sender says otherwise."""

    def __init__(self, message: str, code: str | None = None, *, fault: Fault | None = None) -> None:
        self.message = message
        self.code = code
        self.fault = fault or self.usual
        super().__init__(message)


class TransientFailure(SendFailure):
    """Not accepted, but may be later; `retry_after` in seconds where the provider said so."""

    usual = Fault.LATER

    def __init__(
        self, message: str, code: str | None = None, retry_after: float | None = None, *, fault: Fault | None = None
    ) -> None:
        super().__init__(message, code, fault=fault)
        self.retry_after = retry_after


class PermanentFailure(SendFailure):
    """Not accepted, and never will be. Say whose fault that is, the recipient's or the message's."""


class CredentialsRefused(SendFailure):
    """The provider does not accept who we are: nothing can be sent by this channel for now."""

    usual = Fault.US


class Ambiguous(SendFailure):
    """Nobody knows whether it was accepted."""


class Sender(Protocol):
    """One outside system. An implementation is safe to use from many tasks at once."""

    channel: Channel
    concurrency: int
    """Messages that may be in the air at a time."""
    resend_is_safe: bool
    """Whether a message that may have been accepted can be sent again without a look-up: the recipient's side knows
    it again (a stable Message-ID), or nothing leaves the machine."""

    async def send(self, message: Outgoing) -> Receipt:
        """Hand the message over; raises a `SendFailure` or returns within `SEND_TIMEOUT`."""
        ...

    async def find(self, message: Outgoing, since: datetime) -> Sequence[Receipt]:
        """Messages like this one that the provider took since then, the oldest first; raises like `send`.

        Among them may be others with the same text to the same recipient.
        """
        ...

    async def close(self) -> None: ...


SEND_TIMEOUT = 20.0
"""Seconds that one attempt may take; well below the worker's lease."""
