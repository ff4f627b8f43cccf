"""What is done to the service: processes are killed, lines are cut or slow. The diary says when."""

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.torture.plan import Plan

if TYPE_CHECKING:
    from tests.torture.sites import Line, Site


@dataclass
class Diary:
    """What was disturbed from when to when (seconds since 1970); what goes on still has no end yet."""

    entries: list[tuple[str, float, float]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    @contextlib.contextmanager
    def during(self, what: str) -> Iterator[None]:
        """Something is disturbed while the block runs."""
        self.counts[what] += 1
        begin = time.time()
        try:
            yield
        finally:
            self.entries.append((what, begin, time.time()))

    def at(self, moment: float, margin: float) -> set[str]:
        """What was disturbed around a moment."""
        return {what for what, begin, end in self.entries if begin - margin <= moment <= end + margin}


class Chaos:
    """Disturbs at random until it is cancelled; then everything is as it was, except for who was killed."""

    def __init__(self, sites: Sequence["Site"], plan: Plan, diary: Diary) -> None:
        self._sites = sites
        self._plan = plan
        self._diary = diary
        self._storm = asyncio.Event()
        self._redis = asyncio.Lock()
        self._postgres = asyncio.Lock()

    async def rage(self) -> None:
        async with asyncio.TaskGroup() as group:
            for actor in (self._weather, self._kill, self._cut_redis, self._cut_postgres, self._slow_postgres):
                group.create_task(actor(self._plan.rng(actor.__name__)))

    async def _weather(self, rng: random.Random) -> None:
        while True:
            self._storm.set()
            await asyncio.sleep(rng.uniform(10, 20))
            if self._plan.calm:
                self._storm.clear()
                for site in self._sites:
                    await site.ready.wait()
                await asyncio.sleep(rng.uniform(8, 12))  # quiet
                await self._cut([site.redis for site in self._sites], "Redis", rng.uniform(5, 7))

    async def _pause(self, rng: random.Random, shortest: float, longest: float) -> None:
        await asyncio.sleep(rng.uniform(shortest, longest))
        await self._storm.wait()

    async def _kill(self, rng: random.Random) -> None:
        """One process, or sometimes two at once; also while it is starting."""
        while True:
            await self._pause(rng, 1, 8)
            for site in rng.sample(self._sites, rng.choice((1, 1, 1, 2))):
                site.kill()

    async def _cut_redis(self, rng: random.Random) -> None:
        """It is down for some seconds, for all or for one of them."""
        while True:
            await self._pause(rng, 1, 8)
            chosen = self._some(rng)
            what = "Redis" if len(chosen) > 1 else "Redis of one"
            await self._cut([site.redis for site in chosen], what, rng.uniform(0.5, 5))

    async def _cut_postgres(self, rng: random.Random) -> None:
        """All connections break; new ones are refused for a moment, or not at all."""
        while True:
            await self._pause(rng, 1, 6)
            lines = [site.postgres for site in self._some(rng)]
            await self._cut(lines, "PostgreSQL", rng.choice((0.0, rng.uniform(0.1, 1.5))))

    async def _slow_postgres(self, rng: random.Random) -> None:
        """One process's transactions take long, while those of others that began later are committed earlier."""
        while True:
            await self._pause(rng, 0, 2)
            line = rng.choice(self._sites).postgres
            with self._diary.during("slow"):
                line.lag = rng.uniform(0.01, 0.08)
                try:
                    await asyncio.sleep(rng.uniform(1, 4))
                finally:
                    line.lag = 0.0

    def _some(self, rng: random.Random) -> Sequence["Site"]:
        return self._sites if rng.random() < 0.5 else [rng.choice(self._sites)]

    async def _cut(self, lines: Sequence["Line"], what: str, seconds: float) -> None:
        async with self._postgres if what == "PostgreSQL" else self._redis:
            with self._diary.during(what):
                await self._cut_for(lines, seconds)

    async def _cut_for(self, lines: Sequence["Line"], seconds: float) -> None:
        try:
            for line in lines:
                line.cut()
            await asyncio.sleep(seconds)
        finally:
            for line in lines:
                line.heal()
