"""`python -m gql_app …` as a process of its own."""

import asyncio
import contextlib
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.fast import FAST

LIMIT = 30.0
"""Seconds in which a process must start or end."""
TRIES = 200
"""How often a process that says that it has started is called before it answers."""


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without any setting of the service, and with these; as fast as this test run."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GQL_APP_")}
    return {
        **inherited,
        "GQL_APP_FAST": str(int(FAST)),
        "GQL_APP_ADDRESS_BUDGET": "0",  # all of it comes from one address
        "GQL_APP_VIEWER_BUDGET": "0",
        "GQL_APP_LIMITS": "sign_up=off",
        **{f"GQL_APP_{name}": value for name, value in settings.items()},
    }


class ServiceProcess:
    """A command that runs until it is stopped. It is killed at the latest when the block ends.

    `lines` are what it has printed so far, on both streams.
    """

    def __init__(
        self,
        directory: Path,
        settings: Mapping[str, str],
        *arguments: str,
        limit: float = LIMIT,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """``variables`` are set in its environment besides."""
        self.lines: list[str] = []
        self._directory = directory
        self._environment = {**environment(settings), **(variables or {})}
        self._arguments = arguments
        self._process: Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._printed = asyncio.Condition()
        self._silent = False
        self._limit = limit

    async def __aenter__(self) -> Self:
        command = (sys.executable, "-m", "gql_app", *self._arguments)
        self._process = await asyncio.create_subprocess_exec(
            *command, cwd=self._directory, env=self._environment, stdout=PIPE, stderr=asyncio.subprocess.STDOUT
        )
        assert self._process.stdout is not None
        self._reader = asyncio.create_task(self._read(self._process.stdout))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.kill()

    @property
    def process(self) -> Process:
        assert self._process is not None
        return self._process

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    async def line(self, pattern: str) -> re.Match[str]:
        """The first line that matches, as soon as it is printed."""
        try:
            async with asyncio.timeout(self._limit), self._printed:
                while True:
                    for line in self.lines:
                        if found := re.search(pattern, line):
                            return found
                    assert not self._silent, f"it ended without printing {pattern!r}:\n{self.output}"
                    await self._printed.wait()
        except TimeoutError:
            raise AssertionError(f"it did not print {pattern!r}:\n{self.output}") from None

    async def url(self) -> str:
        """Where it serves, as soon as it does."""
        port = int((await self.line(r"(?:Uvicorn running on|gql_app is at) http://127\.0\.0\.1:([1-9]\d*)"))[1])
        await self.line("Application startup complete")
        for _ in range(TRIES):  # it says so right before it listens
            with contextlib.suppress(ConnectionRefusedError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                await writer.wait_closed()
                return f"http://127.0.0.1:{port}"
            await asyncio.sleep(0.01)
        raise AssertionError(f"it does not listen:\n{self.output}")

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def kill(self) -> None:
        """SIGKILL; returns when the process is gone."""
        self.strike()
        await self.ended()

    def strike(self) -> None:
        """SIGKILL, if it has not ended. (Not `Process.kill`: that would take away the exit code of one that has.)"""
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGKILL)

    async def ended(self) -> int:
        """The exit code, once all that was printed has been read."""
        assert self._reader is not None
        async with asyncio.timeout(self._limit):
            await self._reader
            return await self.process.wait()

    async def _read(self, stream: asyncio.StreamReader) -> None:
        with contextlib.suppress(ConnectionError):
            while line := await stream.readline():
                async with self._printed:
                    self.lines.append(line.decode().rstrip("\n"))
                    self._printed.notify_all()
        async with self._printed:
            self._silent = True
            self._printed.notify_all()
