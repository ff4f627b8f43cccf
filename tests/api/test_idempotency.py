"""The same mutation under the same key is done once: also when its answer was lost, and by whatever process."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select, text, update

from gql_app import idempotency
from gql_app.demo.fuel_requests.models import FuelRequest
from gql_app.idempotency import IdempotencyOutcome
from gql_app.settings import Settings
from gql_app.testing.client import Client
from gql_app.testing.server import Running, serving
from tests.people import DECIDE, PASSWORD, SUBMIT, People, decide, submit


async def send(client: Client, key: str | None, query: str, **variables: Any) -> Any:
    headers = {**client.headers, **({} if key is None else {"Idempotency-Key": key})}
    async with httpx.AsyncClient(timeout=10) as http:
        body = {"query": query, "variables": variables}
        return (await http.post(client.url + "/graphql", json=body, headers=headers)).json()


async def requests(server: Running) -> int:
    return await server.app.db.read(lambda session: session.scalar(select(func.count(FuelRequest.id))) or 0)


@pytest.fixture
async def other(settings: Settings) -> AsyncIterator[Running]:
    """A second process on the same database."""
    async with serving(settings) as running:
        yield running


async def test_what_was_done_is_not_done_again_and_shown_as_it_is_now(
    server: Running, other: Running, people: People
) -> None:
    first = await send(people.ada, '"k1"', SUBMIT, note="n")
    made = first["data"]["submitFuelRequest"]["fuelRequest"]
    await decide(people.grace, made["id"])
    for client in (people.ada, Client(other.url, people.ada.token)):
        again = await send(client, "k1", SUBMIT, note="n")
        assert again["data"]["submitFuelRequest"]["fuelRequest"] == {**made, "status": "APPROVED"}
    assert await requests(server) == 1
    assert (await send(people.linus, "k1", SUBMIT, note="n"))["data"]["submitFuelRequest"]["errors"] == []
    assert await requests(server) == 2  # a key is its owner's


async def test_another_request_under_the_same_key_is_refused(server: Running, people: People) -> None:
    await send(people.ada, "k", SUBMIT, note="n")
    refused = (await send(people.ada, "k", SUBMIT, note="other"))["data"]["submitFuelRequest"]
    assert refused["fuelRequest"] is None
    assert refused["errors"][0]["code"] == "CONFLICT"
    assert await requests(server) == 1


async def test_another_request_is_another_one_whatever_its_fields_are_called(server: Running, people: People) -> None:
    one = "%s: submitFuelRequest(input: {litres: 1}) { fuelRequest { id } errors { code } }"
    first = await send(people.ada, "k", "mutation M { %s }" % (one % "a"))
    assert first["data"]["a"]["errors"] == []
    for query, name in (("mutation M { %s }" % (one % "b"), "b"), ("mutation N { %s }" % (one % "a"), "a")):
        assert (await send(people.ada, "k", query))["data"][name]["errors"] == [{"code": "CONFLICT"}]
    assert await requests(server) == 1
    headers = {**people.ada.headers, "Idempotency-Key": "k"}
    async with httpx.AsyncClient(timeout=10) as http:  # the same, and the operation named, too
        body = {"query": "mutation M { %s }" % (one % "a"), "operationName": "M"}
        assert (await http.post(server.url + "/graphql", json=body, headers=headers)).json() == first


async def test_a_failure_is_an_outcome_too(server: Running, people: People) -> None:
    request = await submit(people.ada)
    await decide(people.grace, request)
    found = [await send(people.grace, "d", DECIDE, id=request) for _ in range(2)]
    assert found[0] == found[1]
    assert found[0]["data"]["decideFuelRequest"]["errors"][0]["code"] == "CONFLICT"
    wrong = [await send(people.ada, "w", SUBMIT, litres="-1") for _ in range(2)]
    assert wrong[0] == wrong[1]
    assert wrong[0]["data"]["submitFuelRequest"]["errors"][0]["field"] == ["input", "litres"]


async def test_those_who_ask_at_the_same_time_do_it_once(server: Running, other: Running, people: People) -> None:
    clients = [people.ada, Client(other.url, people.ada.token)] * 5
    found = await asyncio.gather(*(send(each, "k", SUBMIT) for each in clients))
    assert len({each["data"]["submitFuelRequest"]["fuelRequest"]["id"] for each in found}) == 1
    assert await requests(server) == 1


async def test_each_field_of_a_request_has_its_own_outcome(server: Running, people: People) -> None:
    one = "submitFuelRequest(input: {litres: 1}) { fuelRequest { id } }"
    both = f"mutation {{ a: {one} b: {one} }}"
    first, again = await send(people.ada, "k", both), await send(people.ada, "k", both)
    assert first == again
    assert len({each["fuelRequest"]["id"] for each in first["data"].values()}) == 2
    assert await requests(server) == 2


async def test_over_a_websocket_the_key_is_an_extension(server: Running, people: People) -> None:
    payload = {"query": SUBMIT, "variables": {}, "extensions": {"idempotencyKey": "ws"}}
    async with people.ada.socket() as socket:
        seen = []
        for number in range(2):
            await socket.send({"type": "subscribe", "id": str(number), "payload": payload})
            seen.append((await socket.receive())["payload"])
            await socket.receive()
    assert seen[0] == seen[1]
    assert await requests(server) == 1


@pytest.mark.parametrize(
    "query",
    [
        f'mutation {{ logIn(input: {{username: "ada", password: "{PASSWORD}"}}) {{ session {{ token }} }} }}',
        "mutation { createStreamTicket { errors { code } } }",
        "mutation { ...M } fragment M on Mutation { createStreamTicket { errors { code } } }",
    ],
)
async def test_what_hands_out_tokens_refuses_a_key(people: People, query: str) -> None:
    (error,) = (await send(people.ada, "k", query))["errors"]
    assert error["extensions"]["code"] == "INVALID"
    assert "takes no idempotency key" in error["message"]
    assert await people.ada.data("{ viewer { username } }") == {"username": "ada"}


@pytest.mark.parametrize("key", ["", '""', "x" * 256, "a\tb"])
async def test_a_key_that_is_none_is_refused(server: Running, people: People, key: str) -> None:
    assert (await send(people.ada, key, SUBMIT))["errors"][0]["extensions"]["code"] == "INVALID"
    assert await requests(server) == 0


async def test_a_key_is_forgotten_after_a_day(server: Running, people: People) -> None:
    await send(people.ada, "k", SUBMIT)
    async with server.app.db.writing() as connection:
        moment = datetime.now(UTC) - timedelta(hours=25)
        await connection.execute(update(IdempotencyOutcome).values(created_at=moment))
    await send(people.ada, "k", SUBMIT)
    assert await requests(server) == 2
    assert await server.app.db.write(idempotency.forget) == 0
    async with server.app.db.writing() as connection:
        await connection.execute(update(IdempotencyOutcome).values(created_at=moment))
    assert await server.app.db.write(idempotency.forget) == 2  # its field and the request


async def test_no_token_nor_text_is_kept(server: Running, people: People) -> None:
    await send(people.ada, "k", SUBMIT, note="a secret wish")
    async with server.app.db.engine.connect() as connection:
        rows = (await connection.execute(text("SELECT * FROM idempotency_outcomes"))).all()
    assert "a secret wish" not in repr(rows)


PROFILE = """mutation ($number: String) { updateProfile(input: {phoneNumber: $number}) {
    user { phoneNumber } errors { code field } } }"""
ROLE = """mutation ($id: ID!, $role: Role!) { setRole(input: {userId: $id, role: $role}) {
    user { username role } errors { code field } } }"""


async def test_mutations_written_by_hand_take_a_key(server: Running, people: People) -> None:
    first = await send(people.ada, "p", PROFILE, number="+4915112345678")
    assert first["data"]["updateProfile"] == {"user": {"phoneNumber": "+4915112345678"}, "errors": []}
    await send(people.ada, None, PROFILE, number="+4915112345679")
    again = await send(people.ada, "p", PROFILE, number="+4915112345678")
    assert again["data"]["updateProfile"]["user"] == {"phoneNumber": "+4915112345679"}  # not set back
    refused = await send(people.ada, "p", PROFILE, number="+4915112345670")
    assert refused["data"]["updateProfile"]["errors"] == [{"code": "CONFLICT", "field": None}]

    ada = await people.ada.data("{ viewer { id } }")
    for _ in range(2):
        found = await send(people.root, "r", ROLE, id=ada["id"], role="APPROVER")
        assert found["data"]["setRole"] == {"user": {"username": "ada", "role": "APPROVER"}, "errors": []}
    root = await people.root.data("{ viewer { id } }")
    failed = [await send(people.root, "last", ROLE, id=root["id"], role="USER") for _ in range(2)]
    assert failed[0] == failed[1]
    assert failed[0]["data"]["setRole"]["errors"] == [{"code": "CONFLICT", "field": ["input", "role"]}]
    await send(people.root, None, ROLE, id=ada["id"], role="ADMIN")
    assert await send(people.root, "last", ROLE, id=root["id"], role="USER") == failed[0]  # the outcome was kept


async def test_to_log_out_takes_a_key_and_needs_none(people: People) -> None:
    for code in (None, "UNAUTHENTICATED"):
        answer = await send(people.ada, "out", "mutation { logOut { errors { code } } }")
        assert [each["extensions"]["code"] for each in answer.get("errors", [])] == ([] if code is None else [code])
