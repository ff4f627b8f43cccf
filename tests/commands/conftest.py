"""Commands are run as people run them: as a process, in a directory of their own."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest

from gql_app.__main__ import main
from tests.crash.process import LIMIT, environment
from tests.forking import become

WRITE = os.O_WRONLY | os.O_TRUNC


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str

    def refused(self, *said: str) -> None:
        """It did nothing and said why, to somebody who does not know the code."""
        assert self.code == 2, self
        for each in said:
            assert each in self.err, self
        assert "Traceback" not in self.out + self.err, self.err

    def succeeded(self) -> str:
        """What it printed; there must have been nothing to complain about."""
        assert (self.code, self.err) == (0, ""), self
        return self.out


Run = Callable[..., Awaitable[Outcome]]


@pytest.fixture
def base(database_url: str) -> dict[str, str]:
    """The settings of every command in the test, without their prefix."""
    return {"DATABASE_URL": database_url, "BCRYPT_COST": "4", "POLL_INTERVAL_MS": "50"}


def _command(arguments: tuple[str, ...], directory: Path, variables: dict[str, str]) -> None:
    """In the new process: become the command, with its standard streams in files."""
    files = (("stdin", os.O_RDONLY), ("stdout", WRITE), ("stderr", WRITE))
    become(directory, variables, arguments, [os.open(directory / name, mode) for name, mode in files])
    sys.exit(main())


@pytest.fixture
def run(base: dict[str, str], tmp_path: Path, starter: ForkServerContext) -> Run:
    """Run ``gql-app`` with these arguments, this standard input, and these settings besides."""

    async def run(*arguments: str, stdin: bytes = b"", **settings: str) -> Outcome:
        for name, content in (("stdin", stdin), ("stdout", b""), ("stderr", b"")):
            (tmp_path / name).write_bytes(content)
        process = starter.Process(target=_command, args=(arguments, tmp_path, environment({**base, **settings})))
        process.start()
        try:
            await asyncio.to_thread(process.join, LIMIT)
            assert process.exitcode is not None, f"{arguments} did not end"
            return Outcome(process.exitcode, *((tmp_path / name).read_text() for name in ("stdout", "stderr")))
        finally:
            process.kill()
            process.join()

    return run
