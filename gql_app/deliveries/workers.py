"""The channels' workers of a process, begun and ended together."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from gql_app.changes.doorbell import Doorbell
from gql_app.db import Database
from gql_app.deliveries.senders import Sender
from gql_app.deliveries.texts import Texts
from gql_app.deliveries.worker import ChannelWorker

CLAIM_SECONDS = 1.0
"""How long a stopping worker waits for a transaction that it is in."""


class Workers:
    """All channels' workers of this process."""

    def __init__(
        self,
        db: Database,
        doorbell: Doorbell,
        make_senders: Callable[[], list[Sender]],
        *,
        poll_seconds: float,
        texts: Texts | None = None,
    ) -> None:
        """``make_senders`` is called when the workers start: senders belong to a running event loop."""
        self._db = db
        self._doorbell = doorbell
        self._make_senders = make_senders
        self._poll = poll_seconds
        self._texts = texts
        self.channels: list[ChannelWorker] = []

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Deliver while the block runs; afterwards what is in the air is finished or left to its lease."""
        senders = self._make_senders()
        for sender in senders:
            worker = ChannelWorker(
                self._db,
                sender,
                self._doorbell.bell(commits=True, news=True),
                poll_seconds=self._poll,
                texts=self._texts,
            )
            self.channels.append(worker)
        tasks = [asyncio.create_task(channel.run()) for channel in self.channels]
        try:
            yield
        finally:
            for channel in self.channels:
                channel.stop()
            # A claim that is being written down is not broken off: its messages would wait for its lease to end.
            await asyncio.wait(tasks, timeout=CLAIM_SECONDS)
            await asyncio.gather(*(channel.drain() for channel in self.channels), return_exceptions=True)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for sender in senders:
                await sender.close()
            self.channels.clear()
