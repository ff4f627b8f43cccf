"""What one may have computed: told as RATE_LIMITED, before anything is computed for who has spent it."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import httpx
import pytest

from gql_app.errors import RateLimited
from gql_app.execution import documents
from gql_app.limiter import budget
from gql_app.limiter.budget import Budget, Budgets
from gql_app.settings import Settings
from gql_app.testing.server import Running, serving
from tests.people import People

SMALL = "{ __typename }"


def large(name: str) -> str:
    """A document that nobody has sent before, within all limits."""
    return "{" + f"{name}: viewer {{ id username email role createdAt }} " * 40 + "}"


async def ask(server: Running, query: str, address: str = "10.6.6.6", token: str | None = None) -> httpx.Response:
    headers = {"X-Forwarded-For": address, **({"Authorization": f"Bearer {token}"} if token else {})}
    async with httpx.AsyncClient(headers=headers) as http:
        return await http.post(server.url + "/graphql", json={"query": query})


@contextlib.asynccontextmanager
async def limited(settings: Settings, **budgets: Any) -> AsyncIterator[Running]:
    trusting = replace(settings, trusted_proxies=(ip_network("127.0.0.1"),), **budgets)
    async with serving(trusting) as server:
        yield server


async def test_who_asks_for_too_much_is_told_when_to_ask_again(settings: Settings) -> None:
    async with limited(settings, address_budget=20_000) as server:
        number = 0
        while (refused := await ask(server, large(f"a{number}"))).status_code == 200:
            number += 1
            assert number < 200
        (error,) = refused.json()["errors"]
        assert (refused.status_code, error["extensions"]["code"]) == (429, "RATE_LIMITED")
        assert error["extensions"]["retryable"]
        assert int(refused.headers["Retry-After"]) == error["extensions"]["retryAfter"] >= 1
        assert (await ask(server, large("b"), "10.0.0.1")).status_code == 200  # others have theirs
        assert (await ask(server, SMALL)).status_code == 200  # so have small things behind that address
        async with httpx.AsyncClient() as http:
            assert 'gql_app_rate_limited_total{limit="address"}' in (await http.get(server.url + "/metrics")).text


async def test_nothing_is_computed_for_who_has_spent_it(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str] = []
    check = documents.Documents._read

    def note(self: documents.Documents, text: str) -> Any:
        checked.append(text)
        return check(self, text)

    async with limited(settings, address_budget=2_000) as server:
        while (await ask(server, large(f"a{len(checked)}"))).status_code == 200:
            pass
        monkeypatch.setattr(documents.Documents, "_read", note)
        for number in range(5):
            assert (await ask(server, large(f"c{number}"))).status_code == 429
        assert not checked


async def test_a_person_has_a_budget_wherever_she_comes_from(settings: Settings) -> None:
    async with limited(settings, viewer_budget=1_000) as server:
        people = await People.sign_in(server)
        token = people.ada.token
        query = "{ fuelRequests(first: 50) { nodes { id status litres note requester { username } } } }"
        codes = [(await ask(server, query, f"10.0.0.{number}", token)).status_code for number in range(8)]
        assert (codes[0], codes[-1]) == (200, 429)
        assert (await ask(server, query, "10.0.0.1", people.grace.token)).status_code == 200


async def test_over_a_websocket_an_operation_is_refused_and_the_socket_goes_on(settings: Settings) -> None:
    async with limited(settings, viewer_budget=6_000) as server:
        people = await People.sign_in(server)
        async with people.ada.socket() as socket:
            ended: list[Any] = []
            for number in range(20):
                query = "{ fuelRequests(first: 50) { nodes { id status litres note requester { username } } } }"
                await socket.send({"type": "subscribe", "id": str(number), "payload": {"query": query}})
                message = await socket.receive()
                if message["type"] == "error":
                    ended.append(message["payload"][0]["extensions"])
                else:
                    await socket.receive()
            assert {each["code"] for each in ended} == {"RATE_LIMITED"}
            await socket.send({"type": "subscribe", "id": "small", "payload": {"query": SMALL}})
            assert (await socket.receive())["type"] == "next"


async def test_an_introspection_that_is_known_costs_nothing(settings: Settings) -> None:
    query = "{ __schema { types { name fields { name } } } }"
    async with limited(settings, address_budget=20_000) as server:
        for _ in range(50):
            assert (await ask(server, query)).status_code == 200


def test_a_budget_comes_back_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(budget, "monotonic", lambda: now[0])
    found = Budget("test", 1_000)
    found.spend("ada", 1_500)  # more than there is may be done once
    with pytest.raises(RateLimited) as refused:
        found.spend("ada", 1)
    assert refused.value.retry_after == 5
    now[0] += 5.1
    found.spend("ada", 1)  # a small thing
    with pytest.raises(RateLimited):
        found.spend("ada", 500)
    now[0] += 2.5
    found.spend("ada", 500)
    found.owe("ada", 10_000)
    with pytest.raises(RateLimited):
        found.spend("ada", 1)
    now[0] += 1_000
    found.spend("ada", 1)
    found.spend("grace", 1)


def test_budgets_of_addresses_that_strangers_invent_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "MOST", 100)
    found = Budget("test", 1_000)
    for number in range(1_000):
        found.spend(f"2001:db8::{number}", 1)
    assert len(found._spent) == 100
    Budgets(0, 0).spend("10.0.0.1", 1, 10**9)  # no limits
