"""What a subscriber had not taken when her role changed is not hers any more; an outage is waited for each time."""

import asyncio
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError

from gql_app.changes.models import ChangeEvent
from gql_app.changes.watch import Watch
from gql_app.demo.verticals import DEMO
from gql_app.execution import patience
from gql_app.execution.answers import Answer
from gql_app.execution.engine import Engine, GraphQLRequest, Operation
from gql_app.execution.subscription import INBOX, Subscription
from gql_app.schema import build
from gql_app.testing.client import PATIENCE, Client
from gql_app.testing.server import Running
from tests.fast import FAST
from tests.people import People, submit
from tests.things import caught_up

WATCH = "subscription { fuelRequestStatusChanged { cursor status fuelRequest { id } } }"
SET_ROLE = "mutation ($id: ID!, $role: Role!) { setRole(input: {userId: $id, role: $role}) { errors { code } } }"


async def set_role(people: People, whom: Client, role: str) -> None:
    who = await whom.data("{ viewer { id } }")
    assert (await people.root.data(SET_ROLE, id=who["id"], role=role))["errors"] == []


async def subscribed(server: Running, client: Client) -> Subscription:
    """A subscriber in this process, who takes her answers when the test says so."""
    engine = Engine(build(DEMO, fast=FAST), fast=FAST)
    operation = await engine.prepare(GraphQLRequest(WATCH))
    assert isinstance(operation, Operation)
    found = await engine.subscribe(operation, await server.app.make_context(f"Bearer {client.token}", ""))
    assert isinstance(found, Subscription)
    return found


async def soon(awaitable: Any) -> Answer:
    async with asyncio.timeout(PATIENCE):
        found: Answer = await awaitable
    return found


@pytest.mark.parametrize("count", [INBOX - 1, 2 * INBOX])
async def test_answers_that_she_has_not_taken_are_dropped(server: Running, people: People, count: int) -> None:
    stream = await subscribed(server, people.grace)
    try:
        following = asyncio.ensure_future(anext(stream))
        for _ in range(2):  # then it is in a group
            await submit(people.ada)
            await soon(following)
            following = asyncio.ensure_future(anext(stream))
        await submit(people.ada)
        await soon(following)
        for _ in range(count):
            await submit(people.ada)
        await caught_up(server.app)
        async with asyncio.timeout(PATIENCE):
            while not stream._inbox:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await set_role(people, people.grace, "USER")
        await caught_up(server.app)
        mine = await submit(people.grace)
        assert mine in (await soon(anext(stream))).body
    finally:
        await stream.aclose()


async def test_each_outage_is_waited_for_anew(server: Running, people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also the one of a stream that has waited quietly for long, in a group."""
    now, failures, fetch = 0.0, 0, Watch.fetch

    async def fail(self: Watch) -> ChangeEvent | None:
        nonlocal failures
        if failures and self is stream.watch:
            failures -= 1
            raise DBAPIError("", {}, ConnectionResetError(), connection_invalidated=True)
        return await fetch(self)

    monkeypatch.setattr(patience, "monotonic", lambda: now)
    monkeypatch.setattr(Watch, "fetch", fail)
    stream = await subscribed(server, people.grace)
    try:
        following = asyncio.ensure_future(anext(stream))
        for role in ("USER", "APPROVER", "USER"):
            async with asyncio.timeout(PATIENCE):
                while stream._group is None:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            failures = 1
            await set_role(people, people.grace, role)  # so it looks anew
            async with asyncio.timeout(PATIENCE):
                while failures:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            now += 10 * patience.LONGEST_WAIT
        await submit(people.grace)
        await soon(following)
    finally:
        await stream.aclose()
