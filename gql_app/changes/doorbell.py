"""The doorbell: a commit rings it, and every process that waits looks into the database.

It makes things fast, never correct: a lost, repeated or late ring only costs the time until the next poll.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator
from uuid import uuid4

from broadcaster import Broadcast

logger = logging.getLogger(__name__)

CHANNEL = "gql_app.changes"


class Bell:
    """One waiter's bell: rings that come while it is busy are one ring for the next time."""

    def __init__(self, rung: set["Bell"]) -> None:
        self._event = asyncio.Event()
        self._all = rung

    def ring(self) -> None:
        self._event.set()

    async def wait(self, seconds: float) -> None:
        """Until it rings or the time is up."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()
        self._event.clear()

    def close(self) -> None:
        self._all.discard(self)


class Doorbell:
    """Wakes the bells of this process at once and, through the broadcaster, those of all others."""

    def __init__(self, broadcast: Broadcast) -> None:
        self._broadcast = broadcast
        self._id = uuid4().hex  # our own rings come back to us
        self._bells: set[Bell] = set()
        self._outgoing = self.bell()

    def bell(self) -> Bell:
        bell = Bell(self._bells)
        self._bells.add(bell)
        return bell

    def ring(self) -> None:
        """Called right after a commit, in it: does no I/O and never raises."""
        for bell in self._bells:
            bell.ring()

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """Passes rings on to the other processes, and theirs to us, while the block runs."""
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(self._broadcast)
            for work in (self._tell_others(), self._hear_others()):
                task = asyncio.create_task(work)
                stack.push_async_callback(_stop, task)
            yield

    async def _tell_others(self) -> None:
        while True:
            await self._outgoing.wait(3600)
            try:
                await self._broadcast.publish(CHANNEL, self._id)
            except Exception:
                logger.warning(
                    "the broadcaster is not reachable; other processes will find out by polling",
                    exc_info=True,
                )

    async def _hear_others(self) -> None:
        while True:
            try:
                async with self._broadcast.subscribe(CHANNEL) as subscriber:
                    while True:
                        if (await subscriber.get()).message != self._id:
                            for bell in self._bells - {self._outgoing}:
                                bell.ring()
            except Exception:
                logger.warning("the broadcaster was lost; polling until it is back", exc_info=True)
            await asyncio.sleep(random.uniform(0.2, 1.0))  # noqa: S311


async def _stop(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
