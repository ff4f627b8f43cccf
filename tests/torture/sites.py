"""Processes of the service that are started anew whenever they end, as a supervisor would do it."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from tests.crash.process import ServiceProcess
from tests.crash.town import Place
from tests.standins.proxy import Proxy
from tests.torture.chaos import Diary

KILLED = -9
TIME_TO_BEGIN = 120.0
"""Seconds; that many start at the same time is what slows them down."""


class Line(Proxy):
    """A way to the service that a URL names; ``cuts`` counts how often it was cut."""

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        assert self._parts.hostname
        assert self._parts.port, f"name the port in {url}"
        super().__init__(self._parts.hostname, self._parts.port)
        self.cuts = 0

    @property
    def url(self) -> str:
        """The same URL by way of this line."""
        user, at, _ = self._parts.netloc.rpartition("@")
        return urlunsplit(self._parts._replace(netloc=f"{user}{at}127.0.0.1:{self.port}"))

    def cut(self) -> None:
        self.cuts += 1
        super().cut()


class Site:
    """One process: ``serve`` or ``worker``, with lines of its own.

    It may end because it was killed, or give up at its start because PostgreSQL was cut off; all else is `wrong`.
    """

    def __init__(self, name: str, command: Sequence[str], directory: Path, settings: Mapping[str, str]) -> None:
        self.name = name
        self.serves = command[0] == "serve"
        self.place = Place()
        self.ready = asyncio.Event()
        self.kills = 0
        self.refused_starts = 0
        self.wrong: list[str] = []
        self.postgres = Line(settings["DATABASE_URL"])
        self.redis = Line(settings["BROADCAST_URL"])
        self._command = command
        self._directory = directory
        self._settings = settings
        self._process: ServiceProcess | None = None
        self._killed = False
        self._may_start = asyncio.Event()
        self._may_start.set()
        self._halted = asyncio.Event()

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator["Site"]:
        """Its lines are there while the block runs."""
        async with self.postgres, self.redis:
            urls = {"DATABASE_URL": self.postgres.url, "BROADCAST_URL": self.redis.url}
            self._settings = {**self._settings, **urls}
            yield self

    async def keep_up(self, diary: Diary) -> None:
        """Start it, and again whenever it has ended; for ever."""
        while True:
            if not self._may_start.is_set():
                self._halted.set()
            await self._may_start.wait()
            self._killed = False
            cuts = self.postgres.cuts - self.postgres.is_cut
            process = ServiceProcess(self._directory, self._settings, *self._command, limit=TIME_TO_BEGIN)
            async with process:
                self._process = process
                if not self._may_start.is_set():
                    self.kill()
                try:
                    began = await self._live(process, diary)
                finally:
                    self._keep(process)
            self._judge(process, began, was_cut=self.postgres.cuts > cuts)

    async def _live(self, process: ServiceProcess, diary: Diary) -> bool:
        """From its start to its end; whether it ever was ready."""
        try:
            with diary.during("start"):
                if self.serves:
                    self.place.moved_to(await process.url())
                else:
                    await process.line("gql_app delivers messages")
        except AssertionError:  # it ended, or takes too long
            return False
        self.ready.set()
        try:
            await process.process.wait()
        finally:
            self.ready.clear()
            self.place.closed()
        return True

    def _keep(self, process: ServiceProcess) -> None:
        with (self._directory / f"{self.name}.log").open("a", encoding="utf-8") as log:
            log.write(process.output + "\n")

    def _judge(self, process: ServiceProcess, began: bool, was_cut: bool) -> None:
        code = process.process.returncode
        if code == KILLED and self._killed:
            return
        if not began and was_cut and code != KILLED:
            self.refused_starts += 1
            return
        when = "ended by itself" if began else "did not start"
        last = "\n    ".join(process.lines[-12:])
        self.wrong.append(f"{self.name} {when} (exit code {code}):\n    {last}")

    def kill(self) -> bool:
        """SIGKILL, wherever it is; whether there was a process."""
        if self._process is None or self._process.process.returncode is not None:
            return False
        self._killed = True
        self._process.strike()
        self.kills += 1
        return True

    async def halt(self) -> None:
        """Killed, and not started anew until `resume`."""
        self._halted.clear()
        self._may_start.clear()
        self.kill()
        await self._halted.wait()

    def resume(self) -> None:
        self._may_start.set()


class Anywhere(Place):
    """Any of the servers that are up, at random."""

    def __init__(self, sites: Sequence[Site], rng: random.Random) -> None:
        super().__init__()
        self._servers = [site for site in sites if site.serves]
        self._rng = rng

    async def wait(self) -> str:
        up = [site for site in self._servers if site.ready.is_set()]
        return await self._rng.choice(up or self._servers).place.wait()
