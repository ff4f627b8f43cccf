"""An event whose content cannot be read at the moment waits, or sends its client away: it never comes without it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from typing import Any

import pytest
from asyncpg import ConnectionDoesNotExistError
from sqlalchemy import event, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from gql_app.accounts import User
from gql_app.demo.fuel_requests.models import FuelRequest
from gql_app.execution import patience
from gql_app.testing.client import PATIENCE, Socket, Subscribed
from gql_app.testing.server import Running
from tests.people import People, decide, submit
from tests.things import caught_up
from tests.transport.wire import MULTIPART, SSE, streaming

WATCH = """subscription ($after: String) { fuelRequestStatusChanged(after: $after) {
    cursor status fuelRequest { id note requester { username } } } }"""


class Outage:
    """While it is on, whatever reads this table fails as if the database were away."""

    def __init__(self, table: str) -> None:
        self.on = False
        self.failed = 0
        self._table = table

    def __call__(self, connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if self.on and statement.startswith("SELECT") and f"FROM {self._table}" in statement:
            self.failed += 1
            raise DBAPIError(statement, {}, ConnectionDoesNotExistError("gone"), connection_invalidated=True)


@contextlib.contextmanager
def outages(server: Running, table: str) -> Iterator[Outage]:
    found = Outage(table)
    for engine in server.app.db.sync_engines:
        event.listen(engine, "before_cursor_execute", found)
    yield found
    for engine in server.app.db.sync_engines:
        event.remove(engine, "before_cursor_execute", found)


async def has_failed(outage: Outage, times: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while outage.failed < times:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def note_of(value: Any) -> tuple[str, str]:
    return value["fuelRequest"]["note"], value["fuelRequest"]["requester"]["username"]


@pytest.mark.parametrize("table", ["fuel_requests", "users"])
async def test_what_cannot_be_read_for_a_moment_comes_a_moment_later(
    server: Running, people: People, table: str
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        live = [await stack.enter_async_context(people.grace.subscribed(WATCH)) for _ in range(5)]
        await submit(people.ada, note="before")
        assert {note_of(await each.next()) for each in live} == {("before", "ada")}
        owner = await some_owner(server)
        with outages(server, table) as outage:
            outage.on = True
            for note in ("one", "two"):
                await server.app.db.write(add_one, owner, note)
            await has_failed(outage, 3)
            late = await stack.enter_async_context(people.grace.subscribed(WATCH, after="0"))
            outage.on = False
            for each in live:
                assert [note_of(each)[0] for each in await each.take(2)] == ["one", "two"]
            assert [note_of(each)[0] for each in await late.take(3)] == ["before", "one", "two"]


def add_one(session: Session, owner: int, note: str) -> None:
    session.add(FuelRequest(requester_id=owner, litres=Decimal(1), note=note))


async def some_owner(server: Running) -> int:
    return await server.app.db.read(lambda session: session.scalars(select(User.id).order_by(User.id)).first() or 0)


@pytest.mark.parametrize("accept", [SSE, MULTIPART, "websocket"])
async def test_who_has_waited_in_vain_comes_back_to_exactly_that_event(
    server: Running, people: People, monkeypatch: pytest.MonkeyPatch, accept: str
) -> None:
    monkeypatch.setattr(patience, "LONGEST_WAIT", 0.2)
    first, owner = await submit(people.ada, note="first"), await some_owner(server)
    await caught_up(server.app)
    cursor = await people.grace.data("{ position }")
    with outages(server, "fuel_requests") as outage:
        async with _stream(people, accept, cursor) as (ended, value):
            await submit(people.ada, note="second")
            assert note_of(await value())[0] == "second"
            await caught_up(server.app)
            seen = await people.grace.data("{ position }")
            outage.on = True
            await server.app.db.write(add_one, owner, "another")
            await ended()
        outage.on = False
    await decide(people.grace, first)
    async with people.grace.subscribed(WATCH, after=seen) as again:
        assert [note_of(each)[0] for each in await again.take(2)] == ["another", "first"]


@contextlib.asynccontextmanager
async def _stream(people: People, accept: str, after: str) -> AsyncIterator[tuple[Any, Any]]:
    if accept == "websocket":
        async with people.grace.subscribed(WATCH, after=after) as stream:

            async def closed() -> None:
                assert await stream.socket.closed() == 1013

            yield closed, stream.next
        return
    async with streaming(people.grace, WATCH, accept, {"after": after}) as wire:

        async def ended() -> None:
            if accept == SSE:
                assert b"event:" not in await wire.rest()
                return
            part = await wire.part()
            assert part["payload"] is None
            assert part["errors"][0]["extensions"] == {"code": "UNAVAILABLE", "retryable": True}
            assert await wire.rest() == b"--\r\n"

        async def value() -> Any:
            if accept == SSE:
                return await wire.value()
            return (await wire.part())["payload"]["data"]["fuelRequestStatusChanged"]

        yield ended, value


@contextlib.contextmanager
def hurried(server: Running, source: str = "fuel_requests") -> Iterator[None]:
    """Whoever reads this table gets half a second, and reads it from ``source``."""

    def hurry(connection: Any, cursor: Any, statement: str, parameters: Any, *rest: Any) -> Any:
        is_meant = statement.startswith("SELECT") and "FROM fuel_requests" in statement
        cursor.execute(f"SET statement_timeout = {500 if is_meant else 0}")  # not LOCAL: some have no transaction
        if is_meant:
            statement = statement.replace("FROM fuel_requests", f"FROM {source}", 1)
        return statement, parameters

    for engine in server.app.db.sync_engines:
        event.listen(engine, "before_cursor_execute", hurry, retval=True)
    yield
    for engine in server.app.db.sync_engines:
        event.remove(engine, "before_cursor_execute", hurry)


@pytest.mark.only_on("postgres", reason="SQLite has no statement_timeout")
async def test_a_table_that_is_locked_for_seconds_empties_no_event(server: Running, people: People) -> None:
    """As an operator's migration does it, with a statement_timeout on the service's connections."""
    owner = await some_owner(server)
    async with contextlib.AsyncExitStack() as stack:
        live = [await stack.enter_async_context(people.grace.subscribed(WATCH)) for _ in range(5)]
        stack.enter_context(hurried(server))
        async with server.app.db.engine.connect() as other, other.begin():
            await server.app.db.write(add_one, owner, "one")
            await other.execute(text("LOCK TABLE fuel_requests IN ACCESS EXCLUSIVE MODE"))
            await asyncio.sleep(1.5)  # the lock is the weather here: it lasts, whatever is waited for
        for each in live:
            assert note_of(await each.next())[0] == "one"


async def both(socket: Socket, healthy: Subscribed, slow: Subscribed) -> dict[str, Any]:
    """A message of each."""
    told: dict[str, Any] = {}
    while not {healthy.id, slow.id} <= told.keys():
        message = await socket.receive()
        told[message["id"]] = message
    return told


@pytest.mark.only_on("postgres", reason="SQLite has no statement_timeout")
async def test_what_always_takes_too_long_costs_its_own_operation_and_is_told_in_the_end(
    server: Running, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "LONGEST_WAIT", 0.3)
    owner = await some_owner(server)
    with hurried(server, "(SELECT pg_sleep(5)) AS slow, fuel_requests"):
        async with people.grace.socket() as socket:
            healthy = await socket.subscribe("subscription { changes { entityType } }")
            slow = await socket.subscribe(WATCH)
            await server.app.db.write(add_one, owner, "one")
            told = await both(socket, healthy, slow)
            assert told[healthy.id]["type"] == "next"
            (error,) = told[slow.id]["payload"]
            assert error["extensions"] == {"code": "UNAVAILABLE", "retryable": True}
            monkeypatch.setattr(patience, "LASTING", -1.0)
            slow = await socket.subscribe(WATCH)
            for note in ("two", "three"):
                await server.app.db.write(add_one, owner, note)
                told = await both(socket, healthy, slow)
                (error,) = told[slow.id]["payload"]["errors"]
                assert error["extensions"] == {"code": "UNAVAILABLE", "retryable": False}
                assert told[slow.id]["payload"]["data"]["fuelRequestStatusChanged"]["cursor"]


@pytest.mark.unwitnessed("a status that this version does not know")
async def test_a_value_of_a_newer_version_in_a_row_is_left_to_a_process_that_knows_it(
    server: Running, people: People
) -> None:
    """The event itself has a value that is known, and its entity by now another one."""
    watch = "subscription { fuelRequestStatusChanged { cursor fuelRequest { id status } } }"
    async with people.ada.subscribed(watch) as stream:
        await submit(people.ada)
        assert (await stream.next())["fuelRequest"]["status"] == "PENDING"
        cursor = await people.ada.data("{ position }")
    await submit(people.ada)
    async with server.app.db.writing() as connection:
        await connection.execute(text("UPDATE fuel_requests SET status = 'WAITING'"))
    watch = watch.replace("{ fuelRequestStatusChanged", "($after: String) { fuelRequestStatusChanged(after: $after)")
    async with people.ada.subscribed(watch, after=cursor) as stream:
        assert await stream.error() == "UNDECODABLE"
    error = (await people.ada.send("{ fuelRequests(first: 5) { nodes { status } } }"))["errors"][0]
    assert error["extensions"] == {"code": "UNDECODABLE", "retryable": True}
    async with server.app.db.writing() as connection:
        await connection.execute(text("UPDATE fuel_requests SET status = 'PENDING'"))
