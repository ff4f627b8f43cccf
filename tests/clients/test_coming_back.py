"""Real clients follow a stream across stops and kills of the server: nothing is missed, nothing repeated."""

import asyncio
import os
import shutil
import signal
import socket
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from gql_app.accounts import User
from gql_app.changes import log
from gql_app.changes.sequencer import move
from gql_app.db import Database
from tests.conftest import require
from tests.crash.process import ServiceProcess
from tests.crash.town import sign_up
from tests.things import add_request, logged, rows_of

HERE = Path(__file__).parent
CLIENTS = ("graphql-ws", "graphql-sse", "apollo-ws", "apollo-multipart", "urql", "eventsource")
PATIENCE = 30.0

pytestmark = pytest.mark.crash


@pytest.fixture(scope="session")
def node() -> Path:
    """Where the clients are installed."""
    require("Node with npm", shutil.which("npm") is not None, "no npm here, and the clients are JavaScript")
    installed = HERE / "node_modules"
    if not (installed / ".package-lock.json").exists():
        done = os.system(f"cd {HERE} && npm ci --silent")
        require("the clients", done == 0, "npm ci failed in tests/clients: is the registry reachable?")
    return HERE


class Follower:
    """What a client in a process of its own has printed."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.lines: list[str] = []
        self._process = process

    async def read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            self.lines.append(line.decode().strip())

    async def until(self, cursors: list[str]) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                while self.lines[-1:] != cursors[-1:]:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
        except TimeoutError:
            pytest.fail(f"{self.name} has heard {self.lines}, and {cursors} were due")
        assert self.lines == cursors, self.name


@asynccontextmanager
async def following(name: str, url: str, token: str, after: str) -> AsyncIterator[Follower]:
    process = await asyncio.create_subprocess_exec(
        "node", "follow.mjs", name, f"{url}/graphql", token, after, cwd=HERE, stdin=PIPE, stdout=PIPE
    )
    found = Follower(name, process)
    reading = asyncio.create_task(found.read())
    try:
        yield found
    finally:
        process.kill()
        await process.wait()
        await reading


@asynccontextmanager
async def everybody(url: str, token: str, after: str) -> AsyncIterator[list[Follower]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(following(name, url, token, after)) for name in CLIENTS]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
async def test_clients_come_back_after_the_last_event_that_they_have_seen(
    db: Database, broadcast_url: str, tmp_path: Path, node: Path, how: signal.Signals
) -> None:
    tokens = await sign_up(db)
    (owner,) = [each for each in await rows_of(db, User) if each.username == "grace"]
    environment = {
        "DATABASE_URL": db.url.render_as_string(hide_password=False),
        "BROADCAST_URL": broadcast_url,
        "POLL_INTERVAL_MS": "50",
    }
    begin = str(await db.read(log.end))
    port = free_port()
    serve = ("serve", "--port", str(port))
    url = f"http://127.0.0.1:{port}"
    async with everybody(url, tokens["root"], begin) as clients:

        async def told() -> None:
            """All of them have heard of all that there is, once and in order."""
            await move(db)
            due = [each.cursor for each in await logged(db, "FuelRequest") if each.attribute == "status"]
            for each in clients:
                await each.until(due)

        # They are there before the server: the first connection is refused.
        for _ in range(3):
            async with ServiceProcess(tmp_path, environment, *serve) as service:
                await service.url()
                await add_request(db, owner)
                await told()
                service.send(how)
                await service.ended()
            await add_request(db, owner)  # nobody is there to tell it
        async with ServiceProcess(tmp_path, environment, *serve) as service:
            await service.url()
            await add_request(db, owner)
            await told()
