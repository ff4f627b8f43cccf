"""Real clients follow a stream across stops and kills of the server: nothing is missed, nothing repeated."""

import signal
import socket
from pathlib import Path

import pytest

from gql_app.accounts import User
from gql_app.changes import log
from gql_app.changes.sequencer import move
from gql_app.db import Database
from tests.clients.followers import everybody
from tests.crash.process import ServiceProcess
from tests.crash.town import sign_up
from tests.things import add_request, logged, rows_of

pytestmark = pytest.mark.crash


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
async def test_clients_come_back_after_the_last_event_that_they_have_seen(
    db: Database, broadcast_url: str, tmp_path: Path, how: signal.Signals
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
            await clients.have_heard(due)

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
