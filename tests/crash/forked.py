"""The service as a forked process, whose output is read as it comes."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.crash.process import LIMIT, ServiceProcess
from tests.forking import become


def _become(
    output: Connection, directory: Path, environment: Mapping[str, str], step: str, arguments: list[str]
) -> None:
    """In the new process: what `python -m tests.crash.breaking STEP -- …` does."""
    from tests.crash.breaking import run

    become(directory, environment, arguments, [os.open(os.devnull, os.O_RDONLY), output.fileno(), output.fileno()])
    output.close()
    sys.exit(run(step, arguments))


class ForkedProcess(ServiceProcess):
    """`gql-app` with these arguments, which meets its end at this step (see `breaking.STEPS`)."""

    def __init__(
        self,
        starter: ForkServerContext,
        directory: Path,
        settings: Mapping[str, str],
        *arguments: str,
        step: str = "",
    ) -> None:
        super().__init__(directory, settings, *arguments)
        self._starter = starter
        self._step = step
        self._forked: ForkServerProcess | None = None

    async def __aenter__(self) -> Self:
        ours, theirs = self._starter.Pipe(duplex=False)
        what = (theirs, self._directory, self._environment, self._step, list(self._arguments))
        self._forked = self._starter.Process(target=_become, args=what, daemon=True)
        self._forked.start()
        theirs.close()
        stream = asyncio.StreamReader()
        pipe = os.fdopen(os.dup(ours.fileno()), "rb", buffering=0)
        ours.close()
        self._transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), pipe
        )
        self._reader = asyncio.create_task(self._read(stream))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.kill()
        self._transport.close()
        self.forked.close()

    @property
    def forked(self) -> ForkServerProcess:
        assert self._forked is not None
        return self._forked

    def send(self, number: signal.Signals) -> None:
        assert self.forked.pid is not None
        os.kill(self.forked.pid, number)

    async def kill(self) -> None:
        self.forked.kill()
        await self.ended()

    async def ended(self) -> int:
        assert self._reader is not None
        async with asyncio.timeout(LIMIT):
            await self._reader  # its end of the pipe closes with it, so there is nothing to wait for below
        self.forked.join(LIMIT)
        assert self.forked.exitcode is not None, f"it does not end:\n{self.output}"
        return self.forked.exitcode
