"""Stream tickets: how a browser's EventSource signs in, and how it is told to stop."""

import contextlib
import json
import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
import strawberry
from sqlalchemy import select

from gql_app.accounts import tickets
from gql_app.accounts.models import StreamTicket
from gql_app.errors import Forbidden
from gql_app.testing.client import PATIENCE, Client
from gql_app.testing.server import Running
from tests.people import People, submit
from tests.things import caught_up
from tests.transport.tiny import serving_schema
from tests.transport.wire import MULTIPART, SSE, Wire

MAKE = "mutation { createStreamTicket { streamTicket { ticket expiresAt } errors { code message } } }"
WATCH = "subscription { fuelRequestStatusChanged { cursor status } }"


async def ticket_of(client: Client) -> str:
    payload = await client.data(MAKE)
    assert payload["errors"] == []
    return str(payload["streamTicket"]["ticket"])


@contextlib.asynccontextmanager
async def source(url: str, query: str = WATCH, *, method: str = "GET", **more: str) -> AsyncIterator[Wire]:
    """A request as an EventSource makes it: no headers but these."""
    headers = {"Accept": more.pop("accept", SSE)}
    if "last" in more:
        headers["Last-Event-ID"] = more.pop("last")
    async with (
        httpx.AsyncClient(timeout=PATIENCE, verify=False) as http,
        http.stream(method, url + "/graphql", params={"query": query, **more}, headers=headers) as response,
    ):
        yield Wire(response)


async def status_of(url: str, query: str = WATCH, **more: Any) -> int:
    async with source(url, query, **more) as wire:
        return int(wire.response.status_code)


async def test_a_ticket_opens_a_stream_and_goes_on_when_it_has_expired(
    people: People, server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket = await ticket_of(people.ada)
    async with source(server.url, ticket=ticket) as wire:
        await submit(people.linus)  # nothing of hers
        await submit(people.ada)
        first = await wire.event()
        assert json.loads(first["data"])["data"]["fuelRequestStatusChanged"]["status"] == "PENDING"
        async with source(server.url, ticket=ticket, last=first["id"]) as again:  # a lost line, soon afterwards
            await submit(people.ada)
            second = await wire.event()
            assert await again.event() == second
    monkeypatch.setattr(tickets, "LIFETIME", timedelta(seconds=-1))
    assert await status_of(server.url, ticket=await ticket_of(people.ada)) == 401


@pytest.mark.parametrize("wrong", ["", "nothing", "é\x00", "x" * 5_000])
async def test_what_is_no_ticket_is_refused(server: Running, wrong: str) -> None:
    assert await status_of(server.url, ticket=wrong) == 401


async def test_a_token_is_no_ticket_and_a_ticket_no_token(people: People, server: Running) -> None:
    assert await status_of(server.url, ticket=str(people.ada.token)) == 401
    mine = Client(server.url, await ticket_of(people.ada))
    assert await mine.error(MAKE) == "UNAUTHENTICATED"
    assert await Client(server.url).error(MAKE) == "UNAUTHENTICATED"


async def test_it_is_good_for_streams_only(people: People, server: Running) -> None:
    ticket = await ticket_of(people.ada)
    assert await status_of(server.url, "{ viewer { id } }", ticket=ticket) == 400
    assert await status_of(server.url, ticket=ticket, accept=MULTIPART) == 400
    assert await status_of(server.url, "mutation { logOut { errors { code } } }", ticket=ticket, accept="*/*") == 405
    async with httpx.AsyncClient(timeout=PATIENCE, verify=False) as http:
        address = f"{server.url}/graphql?ticket={ticket}"
        answer = await http.post(address, json={"query": "{ viewer { id } }"})
        assert answer.json()["data"] == {"viewer": None}


async def test_it_ends_with_its_session(people: People, server: Running) -> None:
    ticket = await ticket_of(people.ada)
    async with source(server.url, ticket=ticket) as wire:
        await people.ada.data("mutation { logOut { errors { code } } }")
        said = await wire.event()
        assert json.loads(said["data"])["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
        end = await wire.event()
        assert end["event"] == "complete"
        await wire.rest()
    assert await status_of(server.url, ticket=ticket) == 401
    assert await status_of(server.url, ticket=ticket, last=end["id"]) == 204


async def test_a_stream_that_has_ended_by_itself_is_not_begun_again(people: People, server: Running) -> None:
    @strawberry.type
    class Subscription:
        @strawberry.subscription
        async def count(self) -> AsyncIterator[int]:
            yield 1

        @strawberry.subscription
        def forbidden(self) -> AsyncIterator[int]:
            raise Forbidden

    @strawberry.type
    class Query:
        nothing: int = 0

    schema = strawberry.Schema(Query, subscription=Subscription)
    async with serving_schema(schema, server.app, signed_in=True) as url:
        async with source(url, "subscription { count }") as wire:
            assert json.loads((await wire.event())["data"]) == {"data": {"count": 1}}
            end = await wire.event()
        assert (end["event"], end["data"]) == ("complete", "")
        assert await status_of(url, "subscription { count }", last=end["id"]) == 204
        assert await status_of(url, "subscription { forbidden }", ticket=await ticket_of(people.ada)) == 403


async def test_without_a_ticket_the_status_says_to_stop(server: Running) -> None:
    async with source(server.url) as wire:
        assert wire.response.status_code == 401
        assert json.loads(await wire.rest())["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    async with (
        httpx.AsyncClient(timeout=PATIENCE, verify=False) as http,
        http.stream("POST", server.url + "/graphql", json={"query": WATCH}, headers={"Accept": SSE}) as response,
    ):
        assert response.status_code == 200  # graphql-sse reads the error there


async def test_only_its_hash_is_kept_and_it_is_never_logged(
    people: People, server: Running, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        ticket = await ticket_of(people.ada)
        async with source(server.url, ticket=ticket):
            pass
        assert await status_of(server.url, ticket=ticket + "x") == 401
    rows = await server.app.db.read(select(StreamTicket.ticket_hash))
    assert ticket.encode() not in rows[0][0]
    ours = [each.getMessage() for each in caplog.records if each.name.startswith(("gql_app", "uvicorn", "sqlalchemy"))]
    assert not [each for each in ours if ticket in each]


async def test_expired_ones_are_forgotten_and_there_are_not_too_many(
    people: People, server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tickets, "MOST", 2)
    for _ in range(2):
        await ticket_of(people.ada)
    payload = await people.ada.data(MAKE)
    assert (payload["streamTicket"], payload["errors"][0]["code"]) == (None, "RATE_LIMITED")
    await ticket_of(people.linus)
    monkeypatch.setattr(tickets, "LIFETIME", timedelta(seconds=-1))
    await ticket_of(people.grace)
    monkeypatch.setattr(tickets, "LIFETIME", timedelta(seconds=60))
    await ticket_of(people.grace)
    await caught_up(server.app)
    assert len(await server.app.db.read(select(StreamTicket.id))) == 4
