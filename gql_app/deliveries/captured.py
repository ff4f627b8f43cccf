"""The channel that keeps everything at home: without provider settings, messages go no further than `/mailbox`."""

from collections.abc import Sequence
from datetime import datetime

from gql_app.deliveries.models import Channel
from gql_app.deliveries.senders import Outgoing, Receipt


class CapturedSender:
    """Accepts every message. The row of the delivery is what the mailbox page shows."""

    concurrency = 16
    resend_is_safe = True

    def __init__(self, channel: Channel) -> None:
        self.channel = channel

    async def send(self, message: Outgoing) -> Receipt:
        return Receipt()

    async def find(self, message: Outgoing, since: datetime) -> Sequence[Receipt]:
        return ()

    async def close(self) -> None:
        """There is nothing to close."""
