"""How a stream ends tells the client what to do: the table of docs/frontend.md, on each transport."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import strawberry
from sqlalchemy import text

from gql_app import ChangeEvent, Info, Topic
from gql_app.changes.cursors import parse_cursor
from gql_app.settings import Settings
from gql_app.testing.client import PATIENCE, Client
from gql_app.testing.server import Running, serving
from tests.people import PASSWORD, People, decide, submit
from tests.transport.tiny import serving_schema
from tests.transport.wire import COMPLETE, MULTIPART, SSE, streaming

WATCH = """subscription ($after: String) { fuelRequestStatusChanged(after: $after) {
    cursor previousStatus status fuelRequest { id } } }"""
LEFT: list[str] = []
"""What generators have said at their end."""
CHANGE_PASSWORD = """mutation ($old: String!, $new: String!) {
    changePassword(input: {currentPassword: $old, newPassword: $new}) { session { token } errors { code } } }"""


@strawberry.type
class Query:
    """There must be one."""

    nothing: str | None = None


@strawberry.type
class Note:
    """What is told of a change."""

    event: strawberry.Private[ChangeEvent]
    cursor: str

    @strawberry.field
    def broken(self) -> str:
        raise RuntimeError("a bug")

    @strawberry.field
    def forecast(self) -> str:
        raise ConnectionRefusedError("the weather service is away")

    @strawberry.field
    def price(self) -> str:
        raise TimeoutError

    @classmethod
    def of(cls, event: ChangeEvent) -> "Note":
        return cls(event=event, cursor=event.cursor)

    @classmethod
    def never(cls, event: ChangeEvent) -> "Note":
        raise RuntimeError("another bug")


@strawberry.type
class Subscription:
    """Streams that end by themselves, and such as go on whatever happens."""

    @strawberry.subscription
    async def countdown(self, start: int) -> AsyncGenerator[int]:
        for number in range(start, 0, -1):
            yield number

    @strawberry.subscription
    async def broken_countdown(self) -> AsyncGenerator[int]:
        yield 1
        raise RuntimeError("a bug")

    @strawberry.subscription
    async def left(self, info: Info) -> AsyncGenerator[int]:
        try:
            while True:
                yield 1
                await asyncio.sleep(0.01)
        finally:
            LEFT.append("left")

    @strawberry.subscription
    async def notes(self, info: Info) -> AsyncIterator[Note]:
        return info.context.stream([Topic("FuelRequest", "status")], None, Note.of)

    @strawberry.subscription
    async def nevers(self, info: Info) -> AsyncIterator[Note]:
        return info.context.stream([Topic("FuelRequest", "status")], None, Note.never)


async def test_a_generator_that_fails_costs_its_own_operation_only(server: Running) -> None:
    schema = strawberry.Schema(Query, subscription=Subscription)
    async with serving_schema(schema, server.app) as url, Client(url).socket() as socket:
        stream = await socket.subscribe("subscription { brokenCountdown }")
        assert await stream.next() == 1
        failed = await stream.message()
        assert failed["payload"]["errors"][0]["extensions"]["code"] == "INTERNAL"
        assert await stream.message() == {"type": "complete", "id": stream.id}
        other = await socket.subscribe("subscription { countdown(start: 1) }")
        assert await other.next() == 1


async def has_left() -> None:
    async with asyncio.timeout(PATIENCE):
        while not LEFT:  # noqa: ASYNC110
            await asyncio.sleep(0)


@pytest.mark.parametrize("goes", ["completes", "disconnects"])
async def test_a_generator_is_closed_when_its_client_leaves(server: Running, goes: str) -> None:
    LEFT.clear()
    async with serving_schema(strawberry.Schema(Query, subscription=Subscription), server.app) as url:
        async with Client(url).socket() as socket:
            stream = await socket.subscribe("subscription { left }")
            assert await stream.next() == 1
            if goes == "completes":
                await socket.send({"type": "complete", "id": stream.id})
                await has_left()
        await has_left()


@pytest.mark.parametrize("accept", [SSE, MULTIPART, "websocket"])
async def test_an_operations_own_end_is_told_on_every_transport(server: Running, accept: str) -> None:
    query = "subscription { countdown(start: 2) }"
    async with serving_schema(strawberry.Schema(Query, subscription=Subscription), server.app) as url:
        client = Client(url)
        if accept == "websocket":
            async with client.socket() as socket:
                stream = await socket.subscribe(query)
                assert await stream.take(2) == [2, 1]
                assert (await stream.message()) == {"type": "complete", "id": stream.id}
            return
        async with streaming(client, query, accept) as wire:
            if accept == SSE:
                assert [await wire.value(), await wire.value()] == [2, 1]
            else:
                assert [(await wire.part())["payload"]["data"] for _ in range(2)] == [
                    {"countdown": 2},
                    {"countdown": 1},
                ]
            assert await wire.rest() == (COMPLETE if accept == SSE else b"--\r\n")


async def test_a_session_that_is_over_is_told_from_one_that_was_replaced(people: People) -> None:
    async with streaming(people.ada, WATCH, SSE) as ended, streaming(people.linus, WATCH, SSE) as replaced:
        await people.ada.data("mutation { logOut { errors { code } } }")
        changed = await people.linus.data(CHANGE_PASSWORD, old=PASSWORD, new=PASSWORD + "2")
        assert changed["errors"] == []
        for wire, code in ((ended, "UNAUTHENTICATED"), (replaced, "SESSION_REPLACED")):
            (error,) = json.loads((await wire.event())["data"])["errors"]
            assert error["extensions"] == {"code": code, "retryable": False}
            assert await wire.rest() == COMPLETE


async def test_a_new_password_comes_before_its_socket_is_closed_and_graphql_ws_asks_for_the_new_token(
    people: People,
) -> None:
    """4403: graphql-ws comes back, and asks its connectionParams anew; after 4401 it would give up."""
    async with people.ada.socket() as socket:
        stream = await socket.subscribe(WATCH)
        changing = {"query": CHANGE_PASSWORD, "variables": {"old": PASSWORD, "new": PASSWORD + "2"}}
        await socket.send({"type": "subscribe", "id": "change", "payload": changing})
        answer = await stream.message()
        assert answer["id"] == "change"
        token = answer["payload"]["data"]["changePassword"]["session"]["token"]
        assert await socket.closed() == 4403
        assert socket.connection.close_reason == "SESSION_REPLACED"
    async with Client(people.ada.url, token).subscribed(WATCH) as again:
        request = await submit(Client(people.ada.url, token))
        assert (await again.next())["fuelRequest"]["id"] == request


async def test_who_has_just_signed_up_is_not_told_of_what_did_not_happen_to_her(
    server: Running, people: People
) -> None:
    """Her stream may begin in a process that has not read of her yet."""
    feed = server.app.feed
    async with feed._looking:  # it reads nothing for a while
        made = await Client(server.url).data(
            """mutation { signUp(input: {username: "newcomer", email: "n@example.test", password: "correct-horse"}) {
                session { token } errors { message } } }"""
        )
        newcomer = Client(server.url, made["session"]["token"])
        async with newcomer.socket() as socket:
            stream = await socket.subscribe(WATCH)
            feed._looking.release()
            request = await submit(newcomer)
            assert (await stream.next())["fuelRequest"]["id"] == request
            await feed._looking.acquire()


async def _as_of_another_version(server: Running, cursor: str, age: timedelta) -> None:
    position = parse_cursor(cursor).position
    change = text("UPDATE change_events SET new_value = 'ESCALATED', occurred_at = :at WHERE position = :position")
    change = change.bindparams(position=position).bindparams(at=_moment(server, datetime.now(UTC) - age))
    async with server.app.db.writing() as connection:
        await connection.execute(change)


def _moment(server: Running, at: datetime) -> Any:
    return at.strftime("%Y-%m-%d %H:%M:%S.%f") if server.app.db.is_sqlite else at


@pytest.mark.unwitnessed("writes a value of another version into the log")
async def test_a_value_of_a_newer_version_sends_its_operation_to_another_process(
    server: Running, people: People
) -> None:
    first = await submit(people.ada)
    async with people.ada.subscribed(WATCH, after="0") as stream:
        (seen,) = await stream.take(1)
    await decide(people.grace, first)
    async with people.ada.subscribed(WATCH, after="0") as stream:
        decided = (await stream.take(2))[1]
    await _as_of_another_version(server, decided["cursor"], timedelta(minutes=1))
    another = WATCH.replace("{ id }", "{ id note }")  # answers to the same question are kept for a moment
    async with streaming(people.ada, another, SSE, {"after": seen["cursor"]}) as wire:
        assert b"event:" not in await wire.rest()
    async with streaming(people.ada, another, MULTIPART, {"after": seen["cursor"]}) as wire:
        part = await wire.part()
        assert (part["payload"], part["errors"][0]["extensions"]["code"]) == (None, "UNDECODABLE")
    async with people.ada.socket() as socket:
        healthy = await socket.subscribe("subscription { changes { entityType } }")
        stream = await socket.subscribe(another, after=seen["cursor"])
        message = await stream.message()
        assert (message["type"], message["id"]) == ("error", stream.id)
        assert message["payload"][0]["extensions"] == {"code": "UNDECODABLE", "retryable": True}
        await submit(people.ada)
        assert (await healthy.next())["entityType"] == "FuelRequest"


@pytest.mark.unwitnessed("writes a value of another version into the log")
async def test_a_value_that_no_version_knows_any_more_costs_its_event_only(server: Running, people: People) -> None:
    first, second = await submit(people.ada), await submit(people.ada)
    await decide(people.grace, first)
    async with people.ada.subscribed(WATCH, after="0") as stream:
        seen = await stream.take(3)
    await _as_of_another_version(server, seen[2]["cursor"], timedelta(days=1))
    await decide(people.grace, second)
    another = WATCH.replace("{ id }", "{ id litres }")
    async with streaming(people.ada, another, SSE, {"after": seen[1]["cursor"]}) as wire:
        unreadable = await wire.event()
        assert unreadable["id"] == seen[2]["cursor"]
        assert '"UNDECODABLE"' in unreadable["data"]
        assert (await wire.value())["fuelRequest"]["id"] == second


@pytest.mark.parametrize(
    ("field", "selected"),
    [
        ("notes", "cursor broken"),
        ("notes", "cursor forecast"),
        ("notes", "cursor price"),
        ("nevers", "cursor"),
    ],
)
async def test_what_always_fails_is_told_once_and_the_stream_goes_on(
    server: Running, people: People, caplog: pytest.LogCaptureFixture, field: str, selected: str
) -> None:
    schema = strawberry.Schema(Query, subscription=Subscription)
    async with serving_schema(schema, server.app, signed_in=True) as url:
        client = Client(url, people.grace.token)
        async with client.socket() as socket:
            streams = [await socket.subscribe(f"subscription {{ {field} {{ {selected} }} }}") for _ in range(3)]
            healthy = await socket.subscribe("subscription { notes { cursor } }")
            for _ in range(2):
                await submit(people.ada)
            found: dict[str, list[Any]] = {}
            async with asyncio.timeout(10):
                while sum(map(len, found.values())) < 8:
                    message = await socket.receive()
                    assert message["type"] == "next"
                    found.setdefault(message["id"], []).append(message["payload"])
            for each in streams:
                for payload in found[each.id]:
                    (error,) = payload["errors"]
                    assert (error["extensions"]["code"], error["extensions"]["retryable"]) == ("INTERNAL", False)
            assert all("errors" not in payload for payload in found[healthy.id])


async def test_the_stop_of_a_process_is_a_restart_to_a_websocket(settings: Settings) -> None:
    service = serving(settings)
    server = await service.__aenter__()
    people = await People.sign_in(server)
    async with people.ada.subscribed(WATCH) as stream:
        stopping = asyncio.create_task(service.__aexit__(None, None, None))
        assert await stream.socket.closed() == 1012
        await stopping


def _at(value: object) -> Any:
    return {"at": value}


@strawberry.type
class _Odd:
    @strawberry.subscription
    async def moments(self, info: Info) -> AsyncIterator[strawberry.scalars.JSON]:
        for each in (1, datetime.now(UTC), float("nan"), 2):  # the two in the middle are no JSON
            yield _at(each)

    @strawberry.subscription
    async def waits(self, info: Info) -> AsyncIterator[int]:
        info.context.require_viewer()
        left = info.context.resource(_Left)
        left.begun += 1
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            left.left += 1


class _Left:
    begun = left = 0


@strawberry.type
class _Query:
    @strawberry.field
    def moment(self) -> strawberry.scalars.JSON:
        return strawberry.scalars.JSON(_at(datetime.now(UTC)))


@pytest.fixture
async def odd(server: Running) -> AsyncIterator[str]:
    server.app.resources = {**server.app.resources, _Left: _Left()}
    schema = strawberry.Schema(_Query, subscription=_Odd)
    async with serving_schema(schema, server.app, signed_in=True) as url:
        yield url


async def test_what_is_no_json_costs_its_event_only(odd: str, people: People) -> None:
    ada = Client(odd, people.ada.token)
    async with ada.socket() as socket:
        stream = await socket.subscribe("subscription { moments }")
        found = [(await stream.message())["payload"] for _ in range(4)]
        assert (found[0]["data"], found[3]["data"]) == ({"moments": {"at": 1}}, {"moments": {"at": 2}})
        assert [each["errors"][0]["extensions"]["code"] for each in found[1:3]] == ["INTERNAL"] * 2
        assert (await stream.message())["type"] == "complete"
    assert await ada.error("{ moment }") == "INTERNAL"


@pytest.mark.parametrize("accept", [SSE, MULTIPART])
async def test_a_generator_is_closed_when_its_client_has_gone(
    odd: str, people: People, server: Running, accept: str
) -> None:
    left = server.app.resource(_Left)
    for number in range(1, 4):
        async with streaming(Client(odd, people.ada.token), "subscription { waits }", accept) as wire:
            await wire.until(b"1}")
        async with asyncio.timeout(PATIENCE):
            while left.left < number:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    assert left.begun == 3


async def test_a_generator_ends_with_the_session(odd: str, people: People, server: Running) -> None:
    ada = Client(odd, people.ada.token)
    async with ada.socket() as socket:
        stream = await socket.subscribe("subscription { waits }")
        assert (await stream.message())["payload"]["data"] == {"waits": 1}
        assert (await people.ada.data("mutation { logOut { errors { code } } }"))["errors"] == []
        assert await stream.error() == "UNAUTHENTICATED"
        assert await socket.closed() == 4401
    async with asyncio.timeout(PATIENCE):
        while server.app.resource(_Left).left < 1:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
