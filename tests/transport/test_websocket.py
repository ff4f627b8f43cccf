"""graphql-transport-ws: what makes no sense closes the socket with the protocol's code, never with a fault."""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import websockets
from asyncpg import ConnectionDoesNotExistError
from sqlalchemy.exc import DBAPIError

from gql_app.changes import pages
from gql_app.changes.cursors import parse_cursor
from gql_app.execution import patience
from gql_app.testing.client import PATIENCE, Client, Socket
from gql_app.testing.server import Running
from gql_app.transport import frames
from gql_app.transport import socket as sockets
from gql_app.transport.frames import FrameProtocol
from gql_app.transport.socket import MAX_OPERATIONS
from tests.people import DECIDE, SUBMIT, People, submit

WATCH = "subscription { fuelRequestStatusChanged { status fuelRequest { id } } }"
MAILS = "subscription { emailChanged { email } }"
CHANGES = "subscription ($after: String) { changes(after: $after) { cursor } }"


@pytest.fixture(autouse=True)
def _nothing_goes_wrong_on_our_side(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    for when in ("setup", "call"):
        assert not [r.getMessage() for r in caplog.get_records(when) if r.levelno >= logging.ERROR]


BROKEN = DBAPIError("SELECT 1", {}, ConnectionDoesNotExistError("connection was closed in the middle of operation"))
"""What a connection that breaks while it is being made looks like."""


@contextlib.asynccontextmanager
async def connected(url: str, protocols: Sequence[str] | None = ("graphql-transport-ws",)) -> AsyncIterator[Socket]:
    """A WebSocket that has said nothing yet."""
    offered = None if protocols is None else [websockets.Subprotocol(each) for each in protocols]
    address = url.replace("http", "ws", 1) + "/graphql"
    async with websockets.connect(address, subprotocols=offered, proxy=None) as connection:
        yield Socket(connection)


async def until_complete(socket: Socket, operation_id: str) -> list[Any]:
    """The messages of an operation up to its end."""
    messages: list[Any] = []
    while not messages or messages[-1]["type"] == "next":
        message = await socket.receive()
        if message.get("id") == operation_id:
            messages.append(message)
    return messages


async def still_serves(client: Client) -> bool:
    return bool(await client.data("{ __typename }") == "Query")


@pytest.mark.parametrize("protocols", [None, ["graphql-ws"], ["soap", "mqtt"]])
async def test_a_socket_without_our_subprotocol_is_closed_with_4406(
    server: Running, protocols: list[str] | None
) -> None:
    async with connected(server.url, protocols) as socket:
        assert await socket.closed() == 4406


async def test_our_subprotocol_is_chosen_among_others(server: Running) -> None:
    async with connected(server.url, ["graphql-ws", "graphql-transport-ws"]) as socket:
        assert socket.connection.subprotocol == "graphql-transport-ws"


async def test_who_does_not_introduce_itself_in_time_is_closed_with_4408(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "INIT_TIMEOUT", 0.1)
    async with connected(server.url) as socket:
        assert await socket.closed() == 4408


async def test_who_has_introduced_itself_may_be_silent_for_longer(
    server: Running, anybody: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "INIT_TIMEOUT", 1.0)
    async with anybody.socket() as silent:
        async with connected(server.url) as other:
            assert await other.closed() == 4408  # connected later, and the time is over
        await silent.send({"type": "ping"})
        assert await silent.receive() == {"type": "pong"}


@pytest.mark.parametrize(
    "payload",
    [
        {"Authorization": "Bearer nonsense"},
        {"authorization": "Basic eDp5"},
        {"headers": {"Authorization": "Bearer nonsense"}},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer \0"},
        {"Authorization": "Bearer \ud800"},
        {"Authorization": "Bearer " + "x" * 100_000},
        {"Authorization": "Bearer 🤖"},
    ],
)
async def test_a_token_that_is_not_good_is_closed_with_4401(server: Running, payload: dict[str, object]) -> None:
    async with connected(server.url) as socket:
        await socket.send({"type": "connection_init", "payload": payload})
        assert await socket.closed() == 4401


@pytest.mark.parametrize(
    "make",
    [
        lambda token: {"Authorization": token},
        lambda token: {"authorization": token},
        lambda token: {"headers": {"AUTHORIZATION": token}},
        lambda token: {"headers": "x", "Authorization": token},
        lambda token: {"authorization": None, "headers": {"Authorization": token}},
    ],
)
async def test_a_token_is_found_where_clients_put_it(people: People, make: Any) -> None:
    async with connected(people.ada.url) as socket:
        await socket.send({"type": "connection_init", "payload": make(people.ada.headers["Authorization"])})
        assert (await socket.receive())["type"] == "connection_ack"
        subscribed = await socket.subscribe("{ viewer { username } }")
        assert await subscribed.next() == {"username": "ada"}


@pytest.mark.parametrize("message", [{"type": "connection_init"}, {"type": "connection_init", "payload": None}])
async def test_nobody_needs_no_payload(server: Running, message: Any) -> None:
    async with connected(server.url) as socket:
        await socket.send(message)
        assert (await socket.receive())["type"] == "connection_ack"


async def test_a_second_introduction_is_closed_with_4429(anybody: Client) -> None:
    async with anybody.socket() as socket:
        await socket.send({"type": "connection_init"})
        assert await socket.closed() == 4429


async def test_an_operation_before_the_introduction_is_closed_with_4401(server: Running) -> None:
    async with connected(server.url) as socket:
        await socket.send({"type": "subscribe", "id": "1", "payload": {"query": "{ __typename }"}})
        assert await socket.closed() == 4401


@pytest.mark.parametrize("before", [True, False], ids=["before the introduction", "after it"])
@pytest.mark.parametrize(
    "message",
    [
        "",
        "[1]",
        "5",
        '"x"',
        "null",
        "{",
        "{}",
        "NaN",
        "9" * 5_000,
        "[" * 100_000,
        "[" * 100 + "]" * 100,
        b'{"type":"ping"}',
        b"\xff\x00",
        '{"type": 1}',
        '{"type": ["ping"]}',
        '{"type": {}}',
        '{"type": "hello"}',
        '{"type": "connection_ack"}',
        '{"type": "next", "id": "1"}',
        '{"type": "\\ud800"}',
        '{"type": "ping", "payload": NaN}',
    ],
    ids=lambda message: f"{message[:30]!r}…{len(message)}",
)
async def test_a_frame_that_makes_no_sense_is_closed_with_4400(
    anybody: Client, message: str | bytes, before: bool
) -> None:
    async with connected(anybody.url) if before else anybody.socket() as socket:
        await socket.send(message)
        assert await socket.closed() == 4400
    assert await still_serves(anybody)


@pytest.mark.parametrize("payload", ["x", 1, [], True, [{"Authorization": "x"}]])
async def test_an_introduction_whose_payload_is_no_object_is_closed_with_4400(server: Running, payload: object) -> None:
    async with connected(server.url) as socket:
        await socket.send({"type": "connection_init", "payload": payload})
        assert await socket.closed() == 4400


@pytest.mark.parametrize("operation_id", [None, 1, [], ["1"], {}, {"a": []}, "", True, "x" * 100_000])
async def test_an_operation_whose_id_is_no_text_is_closed_with_4400(anybody: Client, operation_id: object) -> None:
    async with anybody.socket() as socket:
        await socket.send({"type": "subscribe", "id": operation_id, "payload": {"query": "{ __typename }"}})
        assert await socket.closed() == 4400


@pytest.mark.parametrize(
    "payload",
    [
        None,
        "{ __typename }",
        1,
        [],
        {},
        {"query": None},
        {"query": 1},
        {"query": ["{ __typename }"]},
        {"query": ""},
        {"query": "{ __typename }", "variables": "{}"},
        {"query": "{ __typename }", "variables": []},
        {"query": "{ __typename }", "operationName": 1},
        {"query": "{ __typename }", "extensions": "x"},
    ],
    ids=lambda payload: json.dumps(payload)[:60],
)
async def test_an_operation_whose_payload_is_none_of_the_protocol_is_closed_with_4400(
    anybody: Client, payload: object
) -> None:
    async with anybody.socket() as socket:
        await socket.send({"type": "subscribe", "id": "wrong", "payload": payload})
        assert await socket.closed() == 4400


@pytest.mark.parametrize(
    "payload",
    [
        {"query": "{ __typename }", "operationName": "Missing"},
        {"query": "{ \ud800 }"},
        {"query": "{"},
        {"query": "{ nothing }"},
        {"query": "subscription { nothing }"},
        {"query": "subscription { a: emailChanged { email } b: emailChanged { email } }"},
        {"query": "query ($x: Int!) { __typename @include(if: true) fuelRequests(first: $x) { nodes { id } } }"},
        {"query": "subscription ($a: String!) { emailChanged(after: $a) { email } }", "variables": {"a": [1]}},
        {"query": "subscription { emailChanged { email } }"},
    ],
    ids=lambda payload: json.dumps(payload)[:60],
)
async def test_an_operation_that_cannot_begin_fails_alone(anybody: Client, payload: object) -> None:
    async with anybody.socket() as socket:
        await socket.send({"type": "subscribe", "id": "wrong", "payload": payload})
        message = await socket.receive()
        assert (message["type"], message["id"]) == ("error", "wrong")
        assert message["payload"]
        assert all(error["extensions"]["code"] != "INTERNAL" for error in message["payload"])
        again = {"type": "subscribe", "id": "wrong", "payload": {"query": "{ __typename }"}}
        await socket.send(again)
        answers = await until_complete(socket, "wrong")
        assert [each["type"] for each in answers] == ["next", "complete"]


async def test_an_operation_without_a_payload_is_closed_with_4400(anybody: Client) -> None:
    async with anybody.socket() as socket:
        await socket.send({"type": "subscribe", "id": "1"})
        assert await socket.closed() == 4400


@pytest.mark.parametrize(
    "message", [{"type": "complete"}, {"type": "complete", "id": 1}, {"type": "complete", "id": ""}]
)
async def test_a_complete_without_an_id_is_closed_with_4400(anybody: Client, message: object) -> None:
    async with anybody.socket() as socket:
        await socket.send(message)
        assert await socket.closed() == 4400


@pytest.mark.parametrize("credentials", [1, ["Bearer x"], {"Bearer": "x"}, True])
@pytest.mark.parametrize("wrap", [dict, lambda given: {"headers": given}])
async def test_credentials_that_are_no_text_are_refused(server: Running, credentials: object, wrap: Any) -> None:
    async with connected(server.url) as socket:
        await socket.send({"type": "connection_init", "payload": wrap({"Authorization": credentials})})
        assert await socket.closed() == 4400


async def test_pings_do_not_extend_the_wait_for_the_introduction(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "INIT_TIMEOUT", 0.3)
    monkeypatch.setattr(frames, "FRAMES_PER_SECOND", 1_000_000)
    async with connected(server.url) as socket:
        with contextlib.suppress(websockets.ConnectionClosed):
            async with asyncio.timeout(PATIENCE):
                while True:
                    await socket.send({"type": "ping"})
                    assert (await socket.receive())["type"] == "pong"
        assert socket.connection.close_code == 4408


async def test_a_pong_repeats_what_the_ping_said(anybody: Client) -> None:
    async with anybody.socket() as socket:
        await socket.send({"type": "ping", "payload": {"a": [1]}})
        assert await socket.receive() == {"type": "pong", "payload": {"a": [1]}}


async def test_a_syntax_error_leaves_other_streams_alone(people: People) -> None:
    async with people.ada.socket() as socket:
        stream = await socket.subscribe(WATCH)
        broken = await socket.subscribe("subscription { emailChanged {")
        (error,) = [*stream.early, *broken.early, *([] if broken.early else [await socket.receive()])]
        assert (error["type"], error["id"]) == ("error", broken.id)
        assert error["payload"][0]["extensions"]["code"] == "GRAPHQL_PARSE_FAILED"
        request_id = await submit(people.ada)
        assert await stream.next() == {"status": "PENDING", "fuelRequest": {"id": request_id}}


@pytest.mark.parametrize("operation_id", ["1", "x" * 128, "ä" * 128, "🤖" * 100, "\ud800", '"\\\n\0'])
async def test_an_id_that_is_in_use_is_closed_with_4409(people: People, operation_id: str) -> None:
    async with people.ada.socket() as socket:
        for _ in range(2):
            await socket.send({"type": "subscribe", "id": operation_id, "payload": {"query": WATCH}})
        assert await socket.closed() == 4409


@pytest.mark.parametrize("operation_id", ["x" * 128, "🤖" * 128, "\ud800", '"\\\n\0'])
async def test_any_text_can_be_an_id(anybody: Client, operation_id: str) -> None:
    async with anybody.socket() as socket:
        await socket.send({"type": "subscribe", "id": operation_id, "payload": {"query": "{ __typename }"}})
        answers = await until_complete(socket, operation_id)
        assert [each["type"] for each in answers] == ["next", "complete"]


async def test_an_id_can_be_used_again_at_once_after_it_was_completed(people: People, server: Running) -> None:
    async with people.ada.socket() as socket:
        subscribe = {"type": "subscribe", "id": "1", "payload": {"query": WATCH}}
        await socket.send(subscribe)
        for _ in range(20):
            await socket.send({"type": "complete", "id": "1"})
            await socket.send(subscribe)
        await socket.send({"type": "ping"})
        assert await socket.receive() == {"type": "pong"}
        request_id = await submit(people.ada)
        message = await socket.receive()
        assert message["payload"]["data"]["fuelRequestStatusChanged"]["fuelRequest"]["id"] == request_id
        await socket.send({"type": "ping"})
        assert await socket.receive() == {"type": "pong"}  # and it came once
        assert server.app.feed.watches == 1


async def test_after_complete_nothing_of_the_operation_comes_any_more(people: People, server: Running) -> None:
    async with people.ada.socket() as socket:
        stopped, other = await socket.subscribe(WATCH), await socket.subscribe(WATCH)
        await socket.send({"type": "complete", "id": stopped.id})
        await socket.send({"type": "ping"})
        assert await socket.receive() == {"type": "pong"}
        await submit(people.ada)
        assert (await socket.receive())["id"] == other.id
        assert server.app.feed.watches == 1


@pytest.mark.parametrize("operation_id", [None, 1, [], {}, "unknown"])
async def test_completing_what_does_not_run_does_no_harm(anybody: Client, operation_id: object) -> None:
    async with anybody.socket() as socket:
        await socket.send({"type": "complete", "id": operation_id})
        await socket.send({"type": "ping"})
        with contextlib.suppress(websockets.ConnectionClosed):
            assert await socket.receive() == {"type": "pong"}
            return
        assert socket.connection.close_code == 4400


async def test_queries_and_mutations_are_answered_and_completed(people: People) -> None:
    async with people.ada.socket() as socket:
        payload = {"query": SUBMIT, "variables": {"litres": "3.5"}}
        await socket.send({"type": "subscribe", "id": "m", "payload": payload})
        answer, end = await until_complete(socket, "m")
        assert answer["payload"]["data"]["submitFuelRequest"]["fuelRequest"]["litres"] == "3.50"
        assert end == {"type": "complete", "id": "m"}
        two = {"query": "query A { __typename } query B { viewer { username } }", "operationName": "B"}
        await socket.send({"type": "subscribe", "id": "q", "payload": two})
        answer, end = await until_complete(socket, "q")
        assert answer == {"id": "q", "type": "next", "payload": {"data": {"viewer": {"username": "ada"}}}}
        assert end == {"type": "complete", "id": "q"}


async def test_an_error_of_a_field_is_part_of_the_answer(people: People) -> None:
    async with people.ada.socket() as socket:
        payload = {"query": DECIDE, "variables": {"id": await submit(people.ada)}}
        await socket.send({"type": "subscribe", "id": "m", "payload": payload})
        answer, end = await until_complete(socket, "m")
        assert (answer["type"], end["type"]) == ("next", "complete")
        assert answer["payload"]["errors"][0]["extensions"]["code"] == "FORBIDDEN"


async def test_a_ping_is_answered_at_any_time_and_a_pong_taken(server: Running) -> None:
    async with connected(server.url) as socket:
        await socket.send({"type": "pong"})
        await socket.send({"type": "ping", "payload": {"a": [1]}})
        assert (await socket.receive())["type"] == "pong"
        await socket.send({"type": "connection_init"})
        assert (await socket.receive())["type"] == "connection_ack"
        await socket.send({"type": "pong", "payload": {}})
        await socket.send({"type": "ping"})
        assert (await socket.receive())["type"] == "pong"


async def test_two_subscriptions_on_one_socket_each_get_their_events(people: People) -> None:
    async with people.ada.socket() as socket:
        requests, changes = await socket.subscribe(WATCH), await socket.subscribe(CHANGES)
        await submit(people.ada)
        found: dict[str, list[Any]] = {requests.id: [], changes.id: []}
        while len(found[requests.id]) < 1 or len(found[changes.id]) < 2:
            message = await socket.receive()
            found[message["id"]].append(message["payload"]["data"])
        cursors = [parse_cursor(each["changes"]["cursor"]).position for each in found[changes.id]]
        assert cursors == sorted(set(cursors))
        assert found[requests.id][0]["fuelRequestStatusChanged"]["status"] == "PENDING"


async def test_a_cursor_from_the_future_fails_its_operation_alone(people: People) -> None:
    async with people.ada.socket() as socket:
        stream = await socket.subscribe(WATCH)
        await socket.send(
            {"type": "subscribe", "id": "future", "payload": {"query": CHANGES, "variables": {"after": "9" * 18}}}
        )
        message = await socket.receive()
        assert (message["type"], message["id"]) == ("error", "future")
        assert message["payload"][0]["extensions"]["code"] == "CURSOR_EXPIRED"
        await submit(people.ada)
        assert (await stream.next())["status"] == "PENDING"


async def test_one_socket_may_have_so_many_operations_and_no_more(people: People, server: Running) -> None:
    async with people.ada.socket() as socket:
        for number in range(MAX_OPERATIONS):
            await socket.send({"type": "subscribe", "id": str(number), "payload": {"query": MAILS}})
        await socket.send({"type": "ping"})
        assert await socket.receive() == {"type": "pong"}
        await socket.send({"type": "complete", "id": "0"})
        await socket.send({"type": "subscribe", "id": "again", "payload": {"query": MAILS}})
        await socket.send({"type": "ping"})
        assert await socket.receive() == {"type": "pong"}
        await socket.send({"type": "subscribe", "id": "one too many", "payload": {"query": MAILS}})
        assert await socket.closed() == 4429
    async with asyncio.timeout(PATIENCE):
        while server.app.feed.watches:  # noqa: ASYNC110
            await asyncio.sleep(0)


async def test_a_message_that_is_too_large_is_not_read(anybody: Client) -> None:
    async with anybody.socket() as socket:
        with contextlib.suppress(websockets.ConnectionClosed):
            await socket.send({"type": "ping", "payload": {"x": "x" * 2**20}})
        assert await socket.closed() == 1009
    assert await still_serves(anybody)


async def test_a_client_that_disconnects_frees_its_watches(people: People, server: Running) -> None:
    async with people.ada.socket() as socket:
        for _ in range(5):
            await socket.subscribe(WATCH)
        socket.connection.transport.abort()
        async with asyncio.timeout(PATIENCE):
            while server.app.feed.watches:  # noqa: ASYNC110
                await asyncio.sleep(0)


def test_a_client_that_takes_no_answers_gets_none_to_its_pings() -> None:
    """Otherwise they would wait for it here, as many as it sends."""
    written: list[bytes] = []
    protocol: Any = SimpleNamespace(
        conn=SimpleNamespace(data_to_send=lambda: [b"pong"]),
        transport=SimpleNamespace(write=written.append),
        writable=asyncio.Event(),
    )
    FrameProtocol.handle_ping(protocol)
    assert written == []
    protocol.writable.set()
    FrameProtocol.handle_ping(protocol)
    assert written == [b"pong"]


async def test_a_client_that_does_not_take_an_error_in_time_is_cut_off(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def too_slow(*args: object) -> None:
        raise TimeoutError

    monkeypatch.setattr(sockets.Socket, "_fail", too_slow)
    async with people.ada.socket() as socket:
        await socket.send({"type": "subscribe", "id": "1", "payload": {"query": "subscription { changes { cursor } }"}})
        await socket.send({"type": "ping"})
        assert (await socket.receive())["type"] == "pong"
        assert await people.ada.data("mutation { logOut { errors { code } } }") == {"errors": []}
        assert await socket.closed() == 1013


@pytest.mark.parametrize("failure", [BROKEN, ConnectionResetError("of another service"), RuntimeError("a bug")])
async def test_an_outage_is_told_from_a_fault_so_that_clients_come_back(
    people: People,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    failure: Exception,
) -> None:
    """graphql-ws takes 1011 as final, and tries again after 1013 (its client.ts, isFatalInternalCloseCode)."""
    monkeypatch.setattr(patience, "LONGEST_WAIT", 0.2)

    def fail(*args: object) -> None:
        raise failure

    monkeypatch.setattr(pages, "page", fail)  # what streams read; the feed and the worker look for themselves
    async with people.root.socket() as socket:
        payload = {"query": 'subscription { changes(after: "0") { cursor } }'}
        await socket.send({"type": "subscribe", "id": "1", "payload": payload})
        assert await socket.closed() == 1013
        is_fault = failure is not BROKEN
        told = [r.levelno for r in caplog.records if r.name in (sockets.__name__, patience.__name__)]
        assert told == [logging.ERROR if is_fault else logging.WARNING]
        caplog.clear()
