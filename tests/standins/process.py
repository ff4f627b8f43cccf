"""Stand-ins as processes of their own: the command line they share, and a handle on one for tests."""

import asyncio
import signal
import sys
from argparse import ArgumentParser
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from tests.standins.ledger import read_journal

ROOT = Path(__file__).resolve().parents[2]


class Server(Protocol):
    """What `serve` needs of a stand-in."""

    port: int

    async def start(self) -> None:
        """Listen."""

    async def stop(self) -> None:
        """Listen no more and drop every connection."""


def parser(description: str) -> ArgumentParser:
    """The options every stand-in takes."""
    options = ArgumentParser(description=description)
    options.add_argument("--port", type=int, default=0, help="0 picks a free one; the port is printed")
    options.add_argument("--journal", type=Path, help="append each accepted message to this file as a JSON line")
    options.add_argument("--fault", action="append", default=[], metavar="NAME", help="queue a fault; repeatable")
    options.add_argument("--default-fault", default="OK", metavar="NAME", help="when the queue is empty")
    options.add_argument("--delay", type=float, default=0.0, help="seconds before each message is handled")
    options.add_argument("--announce", action="store_true", help="print a line per accepted message")
    options.add_argument("--until-eof", action="store_true", help="end when standard input ends")
    return options


async def serve(stand_in: Server, *, until_eof: bool) -> None:
    """Run until SIGTERM or SIGINT (or the end of standard input), printing the port first."""
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    await stand_in.start()
    print(stand_in.port, flush=True)
    eof = asyncio.create_task(_wait_for_eof(ending)) if until_eof else None
    await ending.wait()
    await stand_in.stop()
    if eof is not None:
        eof.cancel()


async def _wait_for_eof(ending: asyncio.Event) -> None:
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    try:
        await reader.read()
    finally:
        transport.close()
        ending.set()


class StandInProcess:
    """A stand-in in a process of its own, gone at the latest when the process that started it is gone.

    `arguments` are those of the command line, e.g. `"--fault", "HANG_AFTER"`. `port` is known once entered.
    """

    def __init__(self, module: str, journal: Path, *arguments: str) -> None:
        self.journal = journal
        self.port = 0
        self._command = [sys.executable, "-m", module, "--journal", str(journal), "--announce", "--until-eof"]
        self._command += arguments
        self._process: Process | None = None
        self._announced = 0

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(*self._command, cwd=ROOT, stdin=PIPE, stdout=PIPE)
        try:
            self.port = int(await self._line())
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    @property
    def url(self) -> str:
        """The base URL, of use where the stand-in speaks HTTP."""
        return f"http://127.0.0.1:{self.port}"

    def accepted(self) -> list[dict[str, object]]:
        """The journal so far."""
        return read_journal(self.journal)

    async def wait_for(self, count: int) -> list[dict[str, object]]:
        """The journal, once at least `count` messages were accepted; one waiter at a time."""
        while self._announced < count:
            await self._line()
            self._announced += 1
        return self.accepted()

    async def _end(self) -> None:
        process = self._running()
        if process.returncode is None:
            process.terminate()
        await process.communicate()

    async def _line(self) -> bytes:
        stdout = self._running().stdout
        line = await stdout.readline() if stdout is not None else b""
        if not line:
            raise RuntimeError("the stand-in ended early")
        return line

    def _running(self) -> Process:
        if self._process is None:
            raise RuntimeError("the stand-in was not started")
        return self._process
