"""How many statements a query costs does not depend on how many rows it shows."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event

from gql_app.settings import Secret, Settings
from gql_app.testing.server import Running, serving
from tests.people import People, decide, submit

USER = "{ id username }"
REQUESTS = f"query ($n: Int!) {{ fuelRequests(first: $n) {{ nodes {{ id requester {USER} decidedBy {USER} }} }} }}"
CHANGES = f"query ($n: Int!) {{ changes(last: $n) {{ nodes {{ cursor actor {USER} owner {USER} }} }} }}"
DELIVERIES = "query ($n: Int!) { deliveries(first: $n) { nodes { id attempts { number outcome } } } }"
NODES = (
    f"query ($ids: [ID!]!) {{ nodes(ids: $ids) {{ id ... on FuelRequest {{ requester {USER} decidedBy {USER} }} }} }}"
)
RUNS = 10
"""The least of them counts: the feed and the workers may have had something to look up meanwhile."""


@pytest.fixture
async def server(settings: Settings) -> AsyncIterator[Running]:
    """With a feed and workers that look only when they are woken, and that by nobody else."""
    alone = replace(settings, poll_interval=timedelta(seconds=30), broadcast_url=Secret("memory://"))
    async with serving(alone) as running:
        yield running


@contextlib.contextmanager
def statements(server: Running) -> Iterator[list[str]]:
    """The statements that are executed in the block, without those that open a transaction."""
    seen: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        # The sequencer of PostgreSQL looks into its outbox all the time.
        if not statement.startswith(("BEGIN", "PRAGMA")) and "change_outbox" not in statement:
            seen.append(statement)

    engines = server.app.db.sync_engines
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", note)


async def cost(server: Running, people: People, query: str, **variables: Any) -> tuple[int, int]:
    """How many statements the query takes, and how many rows it shows."""
    counts, shown = [], 0
    for _ in range(RUNS):
        with statements(server) as seen:
            found = await people.root.data(query, **variables)
        counts.append(len(seen))
        shown = len(found if isinstance(found, list) else found["nodes"])
    return min(counts), shown


@pytest.fixture
async def request_ids(people: People) -> list[str]:
    """Twelve requests by two people, eight of them decided, by two others."""
    made = []
    for number in range(12):
        made.append(await submit(people.ada if number % 2 else people.linus))
        if number < 8:
            await decide(people.grace if number % 3 else people.root, made[-1])
    pending = "{ deliveries(filter: {state: PENDING}) { nodes { id } } }"
    while (await people.root.data(pending))["nodes"]:
        pass
    return made


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (REQUESTS, 3),  # who asks; the page; all requesters and deciders together
        (CHANGES, 3),  # who asks; the page; all actors and owners together
        (DELIVERIES, 3),  # who asks; the page; the attempts of all of them
    ],
    ids=["fuelRequests", "changes", "deliveries"],
)
async def test_a_page_takes_the_same_few_statements_whatever_its_size(
    server: Running, people: People, request_ids: list[str], query: str, expected: int
) -> None:
    few, many = await cost(server, people, query, n=2), await cost(server, people, query, n=50)
    assert (few[1], many[1] >= len(request_ids)) == (2, True)
    assert (few[0], many[0]) == (expected, expected)


async def test_nodes_by_their_ids_take_one_statement_per_kind_whatever_their_number(
    server: Running, people: People, request_ids: list[str]
) -> None:
    assert await cost(server, people, NODES, ids=request_ids[:2]) == (3, 2)
    assert await cost(server, people, NODES, ids=request_ids) == (3, 12)
    viewer = await people.root.data("{ viewer { id } }")
    assert await cost(server, people, NODES, ids=[*request_ids, viewer["id"]]) == (4, 13)


async def test_a_query_of_nobody_takes_no_statement(server: Running, people: People) -> None:
    people.root.token = None
    for _ in range(RUNS):
        with statements(server) as seen:
            assert await people.root.data("{ viewer { id } }") is None
        if not seen:
            return
    pytest.fail(str(seen))


async def test_a_decision_reads_the_requester_with_the_request(server: Running, people: People) -> None:
    """The session forgets what nobody else holds: the rule that writes to her would have to ask again."""
    request_id = await submit(people.ada, litres="5")
    with statements(server) as seen:
        await decide(people.grace, request_id, status="APPROVED")
    asked = [statement.split("FROM ")[1].split()[0] for statement in seen if statement.startswith("SELECT")]
    assert "fuel_requests" in asked
    assert asked.count("users") == 1  # who has decided: the mutation asks for that
