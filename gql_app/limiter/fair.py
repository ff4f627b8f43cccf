"""A few threads for many who ask: they take turns, by address and by the line that they ask on."""

import asyncio
import random
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from gql_app.errors import RateLimited
from gql_app.limiter.addresses import network_of

T = TypeVar("T")

PAUSE = 1.0
"""Seconds, on average, after which one is told that one has too much waiting already."""


class Whose(NamedTuple):
    """An address, and what tells several clients behind it apart: a WebSocket. None: this request alone."""

    address: str = ""
    line: Hashable = None


NOBODY = Whose()


@dataclass(slots=True)
class _Job:
    work: Callable[..., Any]
    args: tuple[Any, ...]
    done: asyncio.Future[Any]


@dataclass(slots=True)
class _Lines:
    """What one address has waiting, by line."""

    waiting: OrderedDict[Hashable, deque[_Job]] = field(default_factory=OrderedDict)
    count: int = 0


class FairQueue:
    """Must hold: whoever comes waits for at most one job of each other address, however many these have waiting.

    When it is full, whoever has the most waiting loses the newest of it.
    """

    def __init__(self, name: str, *, threads: int, at_all: int, per_address: int, per_line: int, told: str) -> None:
        """At most so many jobs wait: in all, of one address, of one line. ``told``: to whom is refused."""
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._free = threads
        self._at_all = at_all
        self._per_address = per_address
        self._per_line = per_line
        self._told = told
        self._waiting: OrderedDict[str, _Lines] = OrderedDict()
        self._count = 0

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def run(self, whose: Whose, work: Callable[..., T], *args: object) -> T:
        """Run it in a thread when its turn has come. Raises RateLimited when too many wait."""
        address = network_of(whose.address)
        line = whose.line if whose.line is not None else object()
        job = _Job(work, args, asyncio.get_running_loop().create_future())
        lines = self._waiting.get(address)
        if lines is not None and (
            lines.count >= self._per_address or len(lines.waiting.get(line, ())) >= self._per_line
        ):
            # Or a client that asks again at once would be refused as fast as it can ask.
            await asyncio.sleep(random.uniform(PAUSE / 2, PAUSE * 3 / 2))  # noqa: S311  (jitter, not a secret)
            raise self._refusal()
        if self._count >= self._at_all:
            self._make_room(lines.count if lines is not None else 0)
        lines = self._waiting.setdefault(address, _Lines())
        lines.waiting.setdefault(line, deque()).append(job)
        lines.count += 1
        self._count += 1
        self._start()
        return await job.done  # type: ignore[no-any-return]

    def _refusal(self) -> RateLimited:
        return RateLimited(self._told, retry_after=5)

    def _make_room(self, mine: int) -> None:
        """Raises RateLimited, if nobody has more waiting than this address."""
        address = max(self._waiting, key=lambda each: self._waiting[each].count)
        lines = self._waiting[address]
        if lines.count <= mine + 1:
            raise self._refusal()
        line = max(lines.waiting, key=lambda each: len(lines.waiting[each]))
        job = self._taken(address, line, newest=True)
        if not job.done.done():
            job.done.set_exception(self._refusal())

    def _start(self) -> None:
        while self._free and self._waiting:
            address, lines = next(iter(self._waiting.items()))
            self._waiting.move_to_end(address)
            line = next(iter(lines.waiting))
            lines.waiting.move_to_end(line)
            job = self._taken(address, line, newest=False)
            if job.done.done():  # nobody waits for it any more
                continue
            self._free -= 1
            running = asyncio.get_running_loop().run_in_executor(self._pool, job.work, *job.args)
            running.add_done_callback(lambda found, done=job.done: self._finish(found, done))  # type: ignore[misc]

    def _taken(self, address: str, line: Hashable, *, newest: bool) -> _Job:
        lines = self._waiting[address]
        jobs = lines.waiting[line]
        job = jobs.pop() if newest else jobs.popleft()
        if not jobs:
            del lines.waiting[line]
        lines.count -= 1
        self._count -= 1
        if not lines.count:
            del self._waiting[address]
        return job

    def _finish(self, found: "asyncio.Future[Any]", done: "asyncio.Future[Any]") -> None:
        self._free += 1
        if found.cancelled():
            done.cancel()
        elif not done.done():
            error = found.exception()
            if error is not None:
                done.set_exception(error)
            else:
                done.set_result(found.result())
        else:
            found.exception()  # nobody waits for it any more
        self._start()
