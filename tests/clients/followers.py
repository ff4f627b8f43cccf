"""Real clients that follow a stream at the same time, and what each of them has heard."""

import asyncio
import json
import os
import shutil
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from tests.conftest import require

HERE = Path(__file__).parent
JAVASCRIPT = ("graphql-ws", "graphql-sse", "apollo-ws", "apollo-multipart", "urql", "eventsource")
PYTHON = ("gql", "httpx-sse")
SILENCE = 15.0
"""Seconds without a word after which a client gives its line up: heartbeats come every 12 s."""
PATIENCE = 20.0


def install() -> None:
    """The clients of npm, unless they are there."""
    require("Node with npm", shutil.which("npm") is not None, "no npm here, and most clients are JavaScript")
    if not (HERE / "node_modules" / ".package-lock.json").exists():
        done = os.system(f"cd {HERE} && npm ci --silent")
        require("the clients", done == 0, "npm ci failed in tests/clients: is the registry reachable?")


class Followers:
    """All clients; `lines` is what each of them has printed so far."""

    def __init__(self, programs: Sequence[Process]) -> None:
        self.lines: dict[str, list[str]] = {name: [] for name in (*JAVASCRIPT, *PYTHON)}
        self._programs = programs
        self._news = asyncio.Condition()

    async def read(self, program: Process) -> None:
        assert program.stdout is not None
        while line := (await program.stdout.readline()).decode().strip():
            name, _, said = line.partition(" ")
            async with self._news:
                self.lines[name].append(said)
                self._news.notify_all()

    async def have_heard(self, due: Sequence[str]) -> None:
        """Each of them has heard exactly this."""
        await self._are({name: list(due) for name in self.lines})

    async def have_stopped(self, due: Sequence[str], **last: str) -> None:
        """Each has heard this and then its last line; no connection is left, and none will be made.

        ``last`` names, with underscores, the clients that hear something else than the others.
        """
        others = last.pop("others")
        await self._are({name: [*due, last.get(name.replace("-", "_"), others)] for name in self.lines})
        try:
            async with asyncio.timeout(PATIENCE):
                assert [await each.wait() for each in self._programs] == [0 for _ in self._programs]
        except TimeoutError:
            pytest.fail("a client that was told of its end tries again, or keeps a connection")

    def sign_in(self, token: str) -> None:
        """Tell all of them the token of the new session."""
        for each in self._programs:
            assert each.stdin is not None
            each.stdin.write(f"token {token}\n".encode())

    async def _are(self, due: dict[str, list[str]]) -> None:
        def is_clear() -> bool:
            """All have heard enough, or one has heard something else."""
            every = [(said, due[name]) for name, said in self.lines.items()]
            return any(said != its[: len(said)] for said, its in every) or all(said == its for said, its in every)

        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE), self._news:
                await self._news.wait_for(is_clear)
        if wrong := {name: said for name, said in self.lines.items() if said != due[name]}:
            pytest.fail(f"heard: {wrong}, due: {[due[name] for name in wrong]}")


@asynccontextmanager
async def everybody(
    url: str, token: str, after: str, *, silence: float = SILENCE, awaits_token: bool = False
) -> AsyncIterator[Followers]:
    """All clients follow from this cursor on. ``awaits_token``: after a new password they wait for `sign_in`."""
    options = {
        "url": f"{url}/graphql",
        "token": token,
        "after": after,
        "silence": silence,
        "awaitsToken": awaits_token,
    }
    programs = [
        await asyncio.create_subprocess_exec(*command, json.dumps(options), *names, cwd=HERE, stdin=PIPE, stdout=PIPE)
        for command, names in ((("node", "follow.mjs"), JAVASCRIPT), ((sys.executable, "follow.py"), PYTHON))
    ]
    found = Followers(programs)
    async with asyncio.TaskGroup() as reading:
        for program in programs:
            reading.create_task(found.read(program))
        try:
            yield found
        finally:
            for program in programs:
                if program.returncode is None:
                    program.kill()
                await program.wait()
