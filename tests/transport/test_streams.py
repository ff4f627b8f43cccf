"""Subscriptions over HTTP: what comes, how it is framed, and how it ends."""

import asyncio
import contextlib
import json
import re
from typing import Any

import pytest

from gql_app.changes.cursors import parse_cursor
from gql_app.settings import Settings
from gql_app.testing.client import PATIENCE, Client
from gql_app.testing.server import Running, serving
from tests.people import People, decide, submit
from tests.transport.wire import COMPLETE, MULTIPART, SSE, streaming

WATCH = "subscription ($after: String) { fuelRequestStatusChanged(after: $after) { cursor status fuelRequest { id } } }"


async def no_watch_is_left(server: Running) -> None:
    async with asyncio.timeout(PATIENCE):
        while server.app.feed.watches:  # noqa: ASYNC110
            await asyncio.sleep(0)


async def test_server_sent_events_carry_the_event_and_its_cursor(people: People) -> None:
    async with streaming(people.ada, WATCH, SSE) as wire:
        assert wire.response.status_code == 200
        assert wire.response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert wire.response.headers["cache-control"] == "no-store"
        begin = (await wire.until(b"\n\n")).decode()
        assert begin.startswith("id: ")
        assert parse_cursor(begin[4:-2]) <= parse_cursor(await people.ada.data("{ position }"))
        request_id = await submit(people.ada)
        event = await wire.event()
        assert list(event) == ["event", "id", "data"]
        assert event["event"] == "next"
        value = json.loads(event["data"])["data"]["fuelRequestStatusChanged"]
        assert value == {"cursor": event["id"], "status": "PENDING", "fuelRequest": {"id": request_id}}


async def test_line_ends_within_a_value_do_not_break_the_framing(people: People) -> None:
    query = "subscription { fuelRequestStatusChanged { fuelRequest { note } } }"
    note = "one\ntwo\r\nthree\rfour\u2028five\n\nevent: complete\ndata:\n\nsix 🤖 --graphql--"
    async with streaming(people.ada, query, SSE) as events, streaming(people.ada, query, MULTIPART) as parts:
        await submit(people.ada, note=note)
        assert (await events.value())["fuelRequest"]["note"] == note
        assert (await parts.part())["payload"]["data"]["fuelRequestStatusChanged"]["fuelRequest"]["note"] == note


async def test_last_event_id_resumes_after_the_event_that_was_seen(people: People) -> None:
    async with streaming(people.ada, WATCH, SSE) as wire:
        first = await submit(people.ada)
        seen = await wire.event()
    second, third = await submit(people.ada), await submit(people.ada)
    async with streaming(people.ada, WATCH, SSE, Last_Event_ID=seen["id"]) as wire:
        fourth = await submit(people.ada)
        assert [(await wire.value())["fuelRequest"]["id"] for _ in range(3)] == [second, third, fourth]
    # An EventSource repeats its old address when it comes back.
    async with streaming(people.ada, WATCH, SSE, {"after": "0"}, Last_Event_ID=seen["id"]) as wire:
        assert [(await wire.value())["fuelRequest"]["id"] for _ in range(3)] == [second, third, fourth]
    async with streaming(people.ada, WATCH, SSE, {"after": "0"}) as wire:
        assert (await wire.value())["fuelRequest"]["id"] == first


async def test_what_commits_after_the_headers_came_is_in_the_stream(people: People) -> None:
    for _ in range(5):
        async with streaming(people.ada, WATCH, SSE) as wire:
            request_id = await submit(people.ada)
            assert (await wire.value())["fuelRequest"]["id"] == request_id


@pytest.mark.parametrize(
    ("query", "variables", "code"),
    [
        ("subscription {", {}, "GRAPHQL_PARSE_FAILED"),
        ("subscription { nothing }", {}, "GRAPHQL_VALIDATION_FAILED"),
        (WATCH, {"after": "nonsense"}, "INVALID"),
        (WATCH, {"after": [1]}, "BAD_USER_INPUT"),
        (WATCH, {"after": "9" * 18}, "CURSOR_EXPIRED"),
        ('subscription { fuelRequestStatusChanged(id: "x") { status } }', {}, "INVALID"),
    ],
)
@pytest.mark.parametrize("accept", [SSE, MULTIPART])
async def test_an_error_comes_as_the_last_event(
    people: People, server: Running, query: str, variables: dict[str, Any], code: str, accept: str
) -> None:
    async with streaming(people.ada, query, accept, variables) as wire:
        assert wire.response.status_code == 200
        if accept == SSE:
            event = await wire.event()
            assert event["event"] == "next"
            found = json.loads(event["data"])
            assert await wire.rest() == COMPLETE
        else:
            found = await wire.part()
            assert await wire.rest() == b"--\r\n"
    assert [error["extensions"]["code"] for error in found["errors"]] == [code]
    await no_watch_is_left(server)


@pytest.mark.parametrize(
    ("last_event_id", "code"),
    [
        ("nonsense", "INVALID"),
        ("-1", "INVALID"),
        ("1-00", "INVALID"),
        ("9" * 5_000, "INVALID"),
        ("", "INVALID"),
        ("9" * 18, "CURSOR_EXPIRED"),
        ("1-000000", "CURSOR_EXPIRED"),
    ],
)
async def test_a_last_event_id_from_elsewhere_is_told_so(people: People, last_event_id: str, code: str) -> None:
    async with streaming(people.ada, WATCH, SSE, Last_Event_ID=last_event_id) as wire:
        event = await wire.event()
        assert json.loads(event["data"])["errors"][0]["extensions"]["code"] == code
        assert (await wire.event())["event"] == "complete"


async def test_who_is_not_signed_in_gets_no_stream(anybody: Client, server: Running) -> None:
    async with streaming(anybody, WATCH, SSE) as wire:
        event = await wire.event()
        assert json.loads(event["data"])["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
        assert await wire.rest() == COMPLETE
    await no_watch_is_left(server)


async def test_multipart_is_framed_as_apollos_clients_cut_it(people: People) -> None:
    async with streaming(people.ada, WATCH, f"{MULTIPART},{'application/json'}") as wire:
        assert wire.response.headers["content-type"] == 'multipart/mixed; boundary="graphql"; subscriptionSpec="1.0"'
        heartbeat = rb"\r\n--graphql\r\nContent-Type: application/json\r\nGql-App-Position: \d+-\w{6}\r\n\r\n{}\r\n"
        assert re.fullmatch(heartbeat, await wire.until(b"{}\r\n"))
        request_id = await submit(people.ada)
        begin = b'--graphql\r\nContent-Type: application/json\r\n\r\n{"payload":'
        assert await wire.until(begin) == begin
        end = b"}\r\n--graphql"  # they take a part for whole when the next boundary is there: it comes with the part
        payload = json.loads((await wire.until(end)).removesuffix(end))
        assert payload["data"]["fuelRequestStatusChanged"]["fuelRequest"]["id"] == request_id


@pytest.mark.parametrize(
    "accept",
    [
        f"application/json, {SSE}",
        f"{SSE}, application/json",
        f"{SSE}, application/json;q=0.1",
        f"application/graphql-response+json, application/json, {SSE}, multipart/mixed",
        f"{MULTIPART},application/graphql-response+json,application/json;q=0.9",
        f"{SSE}, */*",
    ],
)
async def test_a_query_is_answered_in_json_by_all_clients_that_take_it(people: People, accept: str) -> None:
    async with streaming(people.ada, "{ viewer { username } }", accept) as wire:
        assert wire.media_type in ("application/json", "application/graphql-response+json")
        assert json.loads(await wire.rest()) == {"data": {"viewer": {"username": "ada"}}}


async def test_a_query_is_an_event_stream_for_clients_that_take_nothing_else(people: People) -> None:
    async with streaming(people.ada, "{ viewer { username } }", SSE) as wire:
        assert wire.media_type == SSE
        assert await wire.value() == {"username": "ada"}
        assert await wire.rest() == COMPLETE


@pytest.mark.parametrize("accept", ["application/json", "*/*", "application/graphql-response+json"])
async def test_a_subscription_without_a_streaming_media_type_is_406(
    people: People, server: Running, accept: str
) -> None:
    async with streaming(people.ada, WATCH, accept) as wire:
        assert wire.response.status_code == 406
        assert json.loads(await wire.rest())["errors"][0]["extensions"]["code"] == "INVALID"
    assert server.app.feed.watches == 0


@pytest.mark.parametrize("accept", [SSE, MULTIPART])
async def test_a_stop_looks_like_a_lost_line_after_which_clients_come_back(settings: Settings, accept: str) -> None:
    """`complete` would mean that there is nothing more to come (graphql-sse, PROTOCOL.md)."""
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(serving(settings))
        people = await People.sign_in(server)
        async with streaming(people.ada, WATCH, accept) as wire:
            await wire.until(b"\n\n" if accept == SSE else b"{}\r\n--graphql")
            async with asyncio.timeout(PATIENCE):
                stopped = asyncio.create_task(stack.aclose())
                if accept == MULTIPART:
                    interrupted = await wire.part()
                    assert interrupted["payload"] is None
                    assert interrupted["errors"][0]["extensions"] == {"code": "STOPPING", "retryable": True}
                rest = await wire.rest()
                await stopped
        assert b"complete" not in rest
        assert rest == (b"--\r\n" if accept == MULTIPART else b"")


async def test_a_stream_ends_with_the_session(people: People, server: Running) -> None:
    async with streaming(people.ada, WATCH, SSE) as wire:
        await wire.until(b"\n\n")
        await people.ada.data("mutation { logOut { errors { code } } }")
        event = await wire.event()
        assert json.loads(event["data"])["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
        assert await wire.rest() == COMPLETE
    await no_watch_is_left(server)


@pytest.mark.parametrize("accept", [SSE, MULTIPART])
async def test_a_client_that_disconnects_frees_its_watch(people: People, server: Running, accept: str) -> None:
    async with streaming(people.ada, WATCH, accept) as wire:
        await wire.until(b"\n")
        assert server.app.feed.watches == 1
    await no_watch_is_left(server)


async def test_a_client_that_disconnects_at_once_frees_its_watch(people: People, server: Running) -> None:
    port = int(server.url.rpartition(":")[2])
    body = json.dumps({"query": WATCH}).encode()
    head = (
        f"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAccept: {SSE}\r\n"
        f"Authorization: {people.ada.headers['Authorization']}\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    for turns in range(60):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head + body)
        for _ in range(turns):  # so that it goes at another moment each time
            await asyncio.sleep(0)
        writer.transport.abort()
    await submit(people.ada)
    await no_watch_is_left(server)


async def test_two_streams_of_one_person_both_get_every_event(people: People) -> None:
    async with streaming(people.grace, WATCH, SSE) as one, streaming(people.grace, WATCH, MULTIPART) as other:
        request_id = await submit(people.ada)
        await decide(people.grace, request_id)
        assert [(await one.value())["status"] for _ in range(2)] == ["PENDING", "APPROVED"]
        payloads = [(await other.part())["payload"]["data"] for _ in range(2)]
        assert [each["fuelRequestStatusChanged"]["status"] for each in payloads] == ["PENDING", "APPROVED"]
