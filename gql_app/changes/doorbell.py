"""The doorbell: a commit rings it, and every process that waits looks into the database.

Must hold: it makes things fast, never correct. A lost, repeated or late ring only costs the time until the next poll.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator
from uuid import uuid4

from broadcaster import Broadcast

from gql_app.changes.tasks import stop_task

logger = logging.getLogger(__name__)

CHANNEL = "gql_app.changes"


class Bell:
    """One waiter's bell: rings that come while it is busy are one ring for the next time."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        self._event.set()

    async def wait(self, seconds: float) -> bool:
        """Until it rings or the time is up; whether it rang."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()
        rung = self._event.is_set()
        self._event.clear()
        return rung


class Doorbell:
    """Two kinds of rings: a commit in this process, and news in the log, which other processes are told of."""

    def __init__(self, broadcast: Broadcast) -> None:
        self._broadcast = broadcast
        self._id = uuid4().hex  # our own rings come back to us
        self._at_commits: list[Bell] = []
        self._at_news: list[Bell] = []
        self._outgoing = Bell()

    def bell(self, *, commits: bool = False, news: bool = False) -> Bell:
        """A bell that rings after this process's commits, or when the log holds news, whoever wrote them."""
        bell = Bell()
        if commits:
            self._at_commits.append(bell)
        if news:
            self._at_news.append(bell)
        return bell

    def ring(self) -> None:
        """Something was committed here. Called right after a commit, in it: does no I/O and never raises."""
        for bell in self._at_commits:
            bell.ring()

    def announce(self) -> None:
        """The log holds news, or may: tell everybody here and in the other processes."""
        for bell in self._at_news:
            bell.ring()
        self._outgoing.ring()

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """Passes news on to the other processes, and theirs to us, while the block runs."""
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(self._broadcast)
            for work in (self._tell_others(), self._hear_others()):
                task = asyncio.create_task(work)
                stack.push_async_callback(stop_task, task)
            yield

    async def _tell_others(self) -> None:
        while True:
            if not await self._outgoing.wait(3600):
                continue
            try:
                await self._broadcast.publish(CHANNEL, self._id)
            except Exception as error:
                logger.warning("the broadcaster is not reachable (%r); other processes will poll", error)

    async def _hear_others(self) -> None:
        while True:
            try:
                async with self._broadcast.subscribe(CHANNEL) as subscriber:
                    while True:
                        if (await subscriber.get()).message != self._id:
                            for bell in self._at_news:
                                bell.ring()
            except Exception as error:
                logger.warning("the broadcaster was lost (%r); polling until it is back", error)
            await asyncio.sleep(random.uniform(0.2, 1.0))  # noqa: S311  (jitter, not a secret)
