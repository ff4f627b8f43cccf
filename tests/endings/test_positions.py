"""A position everywhere: who loads and then subscribes, or comes back after a quiet hour, misses nothing."""

import asyncio
import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from gql_app.changes.cursors import Cursor, parse_cursor
from gql_app.execution.engine import Engine
from gql_app.settings import Settings
from gql_app.testing.client import PATIENCE, Client, Socket
from gql_app.testing.server import Running, serving
from gql_app.transport import positions, streams
from tests.people import People, decide, submit
from tests.things import caught_up
from tests.transport.wire import MULTIPART, SSE, streaming

WATCH = "subscription ($after: String) { fuelRequestStatusChanged(after: $after) { cursor status fuelRequest { id } } }"
LOADS = (
    "{ position fuelRequests(first: 100) { nodes { id status } } }",
    "{ fuelRequests(first: 100) { nodes { id status } } position }",
)
AUDIT = "query ($after: String, $before: String) { changes(after: $after, before: $before) { nodes { cursor } } }"
MOST_PAGES = 80


async def test_what_is_loaded_and_what_comes_after_its_position_is_everything(
    server: Running, people: People, settings: Settings
) -> None:
    """A second process serves the page, so that it is behind at times."""
    requests: dict[str, str] = {}
    done = asyncio.Event()

    async def write() -> None:
        for number in range(90):
            name = await submit(people.ada)
            requests[name] = "PENDING"
            if number % 3 == 0:
                await decide(people.grace, name)
                requests[name] = "APPROVED"
        done.set()

    async def load(url: str, query: str) -> dict[str, str]:
        """What a page shows in the end."""
        grace = Client(url, people.grace.token)
        data = (await grace.send(query))["data"]
        shown = {each["id"]: each["status"] for each in data["fuelRequests"]["nodes"]}
        async with grace.subscribed(WATCH, after=data["position"]) as stream:
            await done.wait()
            while shown != requests:
                event = await stream.next()
                shown[event["fuelRequest"]["id"]] = event["status"]
        return shown

    async with serving(settings) as other, asyncio.TaskGroup() as group:
        writing = group.create_task(write())
        pages: list[asyncio.Task[dict[str, str]]] = []
        while not writing.done() and len(pages) < MOST_PAGES:
            url, query = random.choice((server.url, other.url)), random.choice(LOADS)
            pages.append(group.create_task(load(url, query)))
            await asyncio.sleep(random.uniform(0, 0.05))
    assert len(pages) > 20
    assert all(page.result() == requests for page in pages)


async def test_an_empty_log_and_a_pruned_one_have_a_position(server: Running, people: People) -> None:
    begin = await Client(server.url).data("{ position }")
    await submit(people.ada)
    await caught_up(server.app)
    assert parse_cursor(await Client(server.url).data("{ position }")) > parse_cursor(begin)


@pytest.mark.parametrize("accept", [SSE, MULTIPART])
async def test_a_quiet_stream_says_where_it_stands(
    people: People, server: Running, monkeypatch: pytest.MonkeyPatch, accept: str
) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT", 0.05)
    async with streaming(people.linus, WATCH, accept) as wire:
        await submit(people.ada)  # nothing of his
        await caught_up(server.app)
        position = parse_cursor(await people.linus.data("{ position }"))
        begin, end = (b"id: ", b"\n\n") if accept == SSE else (b"Gql-App-Position: ", b"\r\n\r\n{}\r\n--graphql")
        told = position._replace(position=0)
        while told < position:  # the messages that are sent meanwhile move it on
            await wire.until(begin)
            told = parse_cursor((await wire.until(end)).removesuffix(end).decode())


async def test_a_quiet_websocket_says_where_it_stands(
    people: People, server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(positions, "SOON", 0.02)
    monkeypatch.setattr(positions, "INTERVAL", 0.05)
    async with people.linus.socket() as socket:
        assert parse_cursor(socket.position).mark
        await socket.subscribe(WATCH)
        await submit(people.ada)
        await caught_up(server.app)
        position = parse_cursor(await people.linus.data("{ position }"))
        async with asyncio.timeout(10):
            while parse_cursor(socket.position) < position:  # the messages that are sent meanwhile move it on
                await socket.send({"type": "ping"})
                await socket.receive()


async def test_no_position_is_told_while_a_stream_is_beginning(
    people: People, server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have begun before what the others have been told of."""
    monkeypatch.setattr(positions, "SOON", 0.02)
    monkeypatch.setattr(positions, "INTERVAL", 0.02)
    subscribe, go = Engine.subscribe, asyncio.Event()

    async def hold(self: Engine, *given: Any) -> Any:
        await go.wait()
        return await subscribe(self, *given)

    async with people.ada.socket() as socket, people.ada.socket() as other:
        for each in (socket, other):
            await each.subscribe("subscription { deliveryUpdated { cursor } }")
            await _position(each)  # it has begun
        monkeypatch.setattr(Engine, "subscribe", hold)
        second = await socket.subscribe(WATCH)
        begin = parse_cursor(await people.ada.data("{ position }"))
        await submit(people.ada)
        await caught_up(server.app)
        end = parse_cursor(await people.ada.data("{ position }"))
        while await _position(other) < end:  # it has no stream that is beginning, so it is told
            pass
        await socket.send({"type": "ping"})
        while (message := await socket.receive())["type"] != "pong":
            assert message["id"] != second.id
        assert parse_cursor(socket.position) <= begin
        go.set()
        while (await socket.receive()).get("id") != second.id:
            pass


async def _position(socket: Socket) -> Cursor:
    """What the next ping says; what else comes is passed over."""
    async with asyncio.timeout(PATIENCE):
        while (message := json.loads(await socket.connection.recv()))["type"] != "ping":
            pass
    return parse_cursor(message["payload"]["position"])


async def test_the_audit_log_tells_of_a_cursor_that_has_expired(server: Running, people: People) -> None:
    await submit(people.ada)
    assert (await people.ada.data(AUDIT, after="0"))["nodes"]
    for wrong in ("1-000000", "9" * 18):
        assert await people.ada.error(AUDIT, after=wrong) == "CURSOR_EXPIRED"
        assert await people.ada.error(AUDIT, before=wrong) == "CURSOR_EXPIRED"


@pytest.mark.only_on("sqlite", reason="its file is copied, as an operator's backup is")
@pytest.mark.unwitnessed("the database is put back to a backup")
async def test_after_a_restored_backup_only_cursors_whose_event_is_there_go_on(
    settings: Settings, tmp_path: Path
) -> None:
    database, backup = tmp_path / "test.db", tmp_path / "backup.db"
    async with serving(settings) as server:
        people = await People.sign_in(server)
        async with people.ada.subscribed(WATCH) as stream:
            await submit(people.ada)
            kept = (await stream.next())["cursor"]
    shutil.copy(database, backup)
    async with serving(settings) as server:
        ada = Client(server.url, people.ada.token)
        async with ada.subscribed(WATCH, after=kept) as stream:
            for _ in range(3):
                await submit(ada)
            lost = [(await stream.next())["cursor"] for _ in range(3)]
    for name in ("test.db", "test.db-wal", "test.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    shutil.copy(backup, database)
    async with serving(settings) as server:
        ada = Client(server.url, people.ada.token)
        await _is_expired(ada, lost)  # ahead of the log
        new = [await submit(ada) for _ in range(4)]
        await caught_up(server.app)
        await _is_expired(ada, lost)  # other events have their positions now
        async with ada.subscribed(WATCH, after=kept) as stream:
            assert [each["fuelRequest"]["id"] for each in await stream.take(4)] == new
        async with ada.subscribed(WATCH, after=kept.partition("-")[0]) as stream:  # of the version before
            assert [each["fuelRequest"]["id"] for each in await stream.take(4)] == new


async def _is_expired(ada: Client, cursors: list[str]) -> None:
    for cursor in cursors:
        async with ada.subscribed(WATCH, after=cursor) as stream:
            assert await stream.error() == "CURSOR_EXPIRED"


@pytest.mark.unwitnessed("takes the last commits out of the log, as a failover does")
async def test_a_failover_that_took_the_last_commits_ends_the_streams_that_have_seen_them(
    server: Running, people: People
) -> None:
    """The process goes on running meanwhile, and its feed stands behind events that are gone."""
    await submit(people.ada)
    async with people.ada.subscribed(WATCH) as stream:
        await submit(people.ada)
        await stream.next()
        async with server.app.db.writing() as connection:
            await connection.execute(
                text("DELETE FROM change_events WHERE position = (SELECT max(position) FROM change_events)")
            )
        await submit(people.ada)
        assert await stream.error() == "CURSOR_EXPIRED"
    async with people.ada.subscribed(WATCH) as stream:
        request = await submit(people.ada)
        assert (await stream.next())["fuelRequest"]["id"] == request
