"""The doorbell wakes every process; without it only time is lost."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from broadcaster import Broadcast, Event
from broadcaster._backends.base import BroadcastBackend

from gql_app.changes.doorbell import Doorbell


class Line:
    """What several processes' backends are connected by; it can be cut."""

    def __init__(self) -> None:
        self.queues: list[asyncio.Queue[Event | None]] = []
        self.cut = False


class Backend(BroadcastBackend):
    def __init__(self, line: Line) -> None:
        self.line = line
        self.queue: asyncio.Queue[Event | None] = asyncio.Queue()
        line.queues.append(self.queue)

    async def connect(self) -> None: ...

    async def disconnect(self) -> None: ...

    async def subscribe(self, channel: str) -> None: ...

    async def unsubscribe(self, channel: str) -> None: ...

    async def publish(self, channel: str, message: str) -> None:
        if self.line.cut:
            raise ConnectionError("the line is cut")
        for queue in self.line.queues:
            queue.put_nowait(Event(channel, message))

    async def next_published(self) -> Event:
        event = await self.queue.get()
        assert event is not None
        return event


@contextlib.asynccontextmanager
async def two_processes(line: Line) -> AsyncIterator[tuple[Doorbell, Doorbell]]:
    here, there = (Doorbell(Broadcast(backend=Backend(line))) for _ in range(2))
    async with here.connected(), there.connected():
        await asyncio.sleep(0)
        yield here, there


async def rung(doorbell_wait: "asyncio.Future[bool]") -> None:
    async with asyncio.timeout(10):
        await doorbell_wait


async def test_news_wakes_this_process_and_the_others() -> None:
    async with two_processes(Line()) as (here, there):
        bells = [here.bell(news=True), here.bell(news=True), there.bell(news=True)]
        waits = [asyncio.ensure_future(bell.wait(3600)) for bell in bells]
        await asyncio.sleep(0)
        here.announce()
        for wait in waits:
            await rung(wait)


async def test_rings_that_come_while_nobody_waits_are_one_ring_for_the_next_time() -> None:
    async with two_processes(Line()) as (here, _):
        bell = here.bell(commits=True)
        for _ in range(3):
            here.ring()
        assert await bell.wait(3600)
        assert not await bell.wait(0)


async def test_a_cut_line_raises_nothing_and_this_process_is_still_woken(caplog: pytest.LogCaptureFixture) -> None:
    line = Line()
    line.cut = True
    async with two_processes(line) as (here, _):
        bell = here.bell(news=True)
        here.announce()
        async with asyncio.timeout(10):
            await bell.wait(3600)
    line.cut = False


async def test_our_own_ring_does_not_come_back_to_us() -> None:
    line = Line()
    async with two_processes(line) as (here, there):
        mine, other = here.bell(news=True), there.bell(news=True)
        here.announce()
        assert await mine.wait(0)
        async with asyncio.timeout(10):
            await other.wait(3600)
        assert line.queues[0].empty()
        assert not mine._event.is_set()
