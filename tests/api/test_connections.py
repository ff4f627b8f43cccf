"""Walking through a connection shows every row once and in order, whatever happens to other rows meanwhile."""

import base64
import itertools
from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from gql_app.accounts.models import User
from gql_app.api import connections
from gql_app.changes.cursors import parse_cursor
from gql_app.demo.fuel_requests.models import FuelRequest
from gql_app.testing.client import Client
from gql_app.testing.server import Running
from tests.people import People, decide, submit
from tests.things import caught_up

PAGE = """
    query ($first: Int, $after: String, $last: Int, $before: String, $filter: FuelRequestFilter,
           $orderBy: FuelRequestOrder) {
      fuelRequests(first: $first, after: $after, last: $last, before: $before, filter: $filter, orderBy: $orderBy) {
        edges { cursor node { id litres status createdAt updatedAt } }
        pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
      }
    }"""
ROWS = 25
FIELDS = {"CREATED_AT": "createdAt", "UPDATED_AT": "updatedAt", "LITRES": "litres"}


def _fill(session: Session) -> None:
    """25 requests of ada's; of each five litres and moments are equal."""
    ada = session.scalars(select(User).where(User.username == "ada")).one()
    for number in range(ROWS):
        moment = ada.created_at + timedelta(seconds=number // 5)
        session.add(
            FuelRequest(requester_id=ada.id, litres=Decimal(2 + number % 5 * 3), created_at=moment, updated_at=moment)
        )
        session.flush()


@pytest.fixture
async def rows(people: People, server: Running) -> list[str]:
    """The ids of the rows, in the order in which they were made."""
    await server.app.db.write(_fill)
    found = await people.ada.data(PAGE, first=100, orderBy={"field": "CREATED_AT", "direction": "ASC"})
    return [edge["node"]["id"] for edge in found["edges"]]


async def forward(client: Client, size: int, **variables: Any) -> AsyncIterator[Any]:
    """The pages, from the first one on."""
    after = None
    while True:
        page = await client.data(PAGE, first=size, after=after, **variables)
        yield page
        if not page["pageInfo"]["hasNextPage"]:
            return
        after = page["pageInfo"]["endCursor"]


async def backward(client: Client, size: int, **variables: Any) -> AsyncIterator[Any]:
    """The pages, from the last one on."""
    before = None
    while True:
        page = await client.data(PAGE, last=size, before=before, **variables)
        yield page
        if not page["pageInfo"]["hasPreviousPage"]:
            return
        before = page["pageInfo"]["startCursor"]


def ids(page: Any) -> list[str]:
    return [edge["node"]["id"] for edge in page["edges"]]


@pytest.mark.parametrize("size", [1, 4, 5, 24, 25, 26, 100])
@pytest.mark.parametrize("direction", ["ASC", "DESC"])
async def test_a_walk_shows_each_row_once_and_in_order(
    people: People, rows: list[str], size: int, direction: str
) -> None:
    order = {"field": "CREATED_AT", "direction": direction}
    expected = rows if direction == "ASC" else rows[::-1]
    walked = [ids(page) async for page in forward(people.ada, size, orderBy=order)]
    assert list(itertools.chain(*walked)) == expected
    walked = [ids(page) async for page in backward(people.ada, size, orderBy=order)]
    assert list(itertools.chain(*walked[::-1])) == expected


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("direction", ["ASC", "DESC"])
async def test_every_order_is_kept_across_pages_also_among_equal_values(
    people: People, rows: list[str], field: str, direction: str
) -> None:
    order = {"field": field, "direction": direction}
    whole = (await people.ada.data(PAGE, first=100, orderBy=order))["edges"]
    values = [edge["node"][FIELDS[field]] for edge in whole]
    if field == "LITRES":
        values = [Decimal(value) for value in values]
    assert values == sorted(values, reverse=direction == "DESC")
    assert len(set(values)) == 5
    expected = [edge["node"]["id"] for edge in whole]
    assert sorted(expected) == sorted(rows)
    walked = [ids(page) async for page in forward(people.ada, 3, orderBy=order)]
    assert list(itertools.chain(*walked)) == expected
    walked = [ids(page) async for page in backward(people.ada, 3, orderBy=order)]
    assert list(itertools.chain(*walked[::-1])) == expected


@pytest.mark.parametrize("direction", ["ASC", "DESC"])
@pytest.mark.parametrize("walk", [forward, backward])
async def test_rows_that_come_and_are_decided_meanwhile_neither_hide_nor_repeat_others(
    people: People, rows: list[str], direction: str, walk: Any
) -> None:
    seen: list[str] = []
    pages = 0
    async for page in walk(people.ada, 4, orderBy={"field": "CREATED_AT", "direction": direction}):
        seen += ids(page) if walk is forward else ids(page)[::-1]
        pages += 1
        if pages <= 6:  # new ones go on coming, but the walk is to end
            await submit(people.ada)
            await submit(people.linus)
            await decide(people.grace, rows[pages * 3])
    ours = [each for each in seen if each in rows]
    ascending = (direction == "ASC") == (walk is forward)
    assert ours == (rows if ascending else rows[::-1])
    assert len(seen) == len(set(seen))


async def test_has_next_and_has_previous_tell_whether_there_is_more(people: People, rows: list[str]) -> None:
    def flags(page: Any) -> tuple[bool, bool]:
        return page["pageInfo"]["hasPreviousPage"], page["pageInfo"]["hasNextPage"]

    pages = [page async for page in forward(people.ada, 10)]
    assert [flags(page) for page in pages] == [(False, True), (True, True), (True, False)]
    pages = [page async for page in backward(people.ada, 10)]
    assert [flags(page) for page in pages] == [
        (True, False),
        (True, True),
        (False, True),
    ]
    assert flags(await people.ada.data(PAGE, first=25)) == (False, False)
    assert flags(await people.ada.data(PAGE, last=25)) == (False, False)
    assert flags(await people.linus.data(PAGE, first=5)) == (False, False)


async def test_an_empty_page_has_no_cursors(people: People) -> None:
    page = await people.linus.data(PAGE)
    assert page["edges"] == []
    assert page["pageInfo"] == {"hasNextPage": False, "hasPreviousPage": False, "startCursor": None, "endCursor": None}


async def test_the_page_info_has_the_cursors_of_the_first_and_the_last_edge(people: People, rows: list[str]) -> None:
    page = await people.ada.data(PAGE, first=5)
    assert page["pageInfo"]["startCursor"] == page["edges"][0]["cursor"]
    assert page["pageInfo"]["endCursor"] == page["edges"][-1]["cursor"]


async def test_a_page_between_two_cursors_has_what_is_between_them(people: People, rows: list[str]) -> None:
    order = {"field": "CREATED_AT", "direction": "ASC"}
    edges = (await people.ada.data(PAGE, first=25, orderBy=order))["edges"]
    between = {"after": edges[4]["cursor"], "before": edges[12]["cursor"], "orderBy": order}
    assert ids(await people.ada.data(PAGE, first=20, **between)) == rows[5:12]
    assert ids(await people.ada.data(PAGE, last=3, **between)) == rows[9:12]
    assert ids(await people.ada.data(PAGE, first=3, **between)) == rows[5:8]


async def test_a_walk_keeps_to_its_filter_and_to_what_one_may_see(people: People, rows: list[str]) -> None:
    await decide(people.grace, rows[3], status="REJECTED")
    await decide(people.grace, rows[20], status="REJECTED")
    await submit(people.linus)
    walked = [ids(page) async for page in forward(people.grace, 1, filter={"status": "REJECTED"})]
    assert list(itertools.chain(*walked)) == [rows[20], rows[3]]
    walked = [ids(page) async for page in forward(people.ada, 7)]
    assert list(itertools.chain(*walked)) == rows[::-1]


CHANGES = """
    query ($first: Int, $after: String, $last: Int, $before: String) {
      changes(first: $first, after: $after, last: $last, before: $before) {
        edges { cursor node { cursor } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
      }
    }"""


async def test_a_walk_through_the_changes_shows_each_once_in_the_order_of_commits(
    people: People, rows: list[str]
) -> None:
    whole: list[int] = []
    after = None
    while True:
        page = await people.root.data(CHANGES, first=7, after=after)
        whole += [parse_cursor(edge["cursor"]).position for edge in page["edges"]]
        if len(whole) < 30:
            await submit(people.ada)
        if not page["pageInfo"]["hasNextPage"]:
            break
        after = page["pageInfo"]["endCursor"]
    assert whole == sorted(set(whole))
    back: list[int] = []
    before = None
    while True:
        page = await people.root.data(CHANGES, last=7, before=before)
        back = [parse_cursor(edge["cursor"]).position for edge in page["edges"]] + back
        if not page["pageInfo"]["hasPreviousPage"]:
            break
        before = page["pageInfo"]["startCursor"]
    assert [cursor for cursor in back if cursor <= whole[-1]] == whole  # a mail may have gone out meanwhile


async def test_a_subscription_goes_on_where_a_page_of_changes_ended(server: Running, people: People) -> None:
    await submit(people.ada)
    await caught_up(server.app)
    page = await people.ada.data(CHANGES, last=1)
    request_id = await submit(people.ada)
    query = 'subscription ($after: String) { changes(after: $after, filter: {entityType: "FuelRequest"}) { entityId } }'
    async with people.ada.subscribed(query, after=page["pageInfo"]["endCursor"]) as stream:
        assert await stream.next() == {"entityId": request_id}


async def test_a_cursor_of_another_order_or_connection_is_refused(people: People, rows: list[str]) -> None:
    page = await people.root.data(PAGE, first=3, orderBy={"field": "UPDATED_AT"})
    users = await people.root.data("{ users(first: 2) { pageInfo { endCursor } } }")
    crafted = base64.urlsafe_b64encode(b'["FuelRequest.litres","1E9999999",1]').decode().rstrip("=")
    for cursor, field in (
        (page["pageInfo"]["endCursor"], "CREATED_AT"),
        (users["pageInfo"]["endCursor"], "CREATED_AT"),
        (crafted, "LITRES"),
    ):
        for name in ("after", "before"):
            response = await people.root.send(PAGE, **{name: cursor}, first=3, orderBy={"field": field})
            (error,) = response["errors"]
            assert error["extensions"] == {"code": "INVALID", "retryable": False, "field": [name]}


COUNT = """
    query ($after: String, $filter: FuelRequestFilter) {
      fuelRequests(first: 2, after: $after, filter: $filter) { %s }
    }"""


async def test_a_list_says_how_many_there_are_on_all_pages(
    people: People, rows: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    await decide(people.grace, rows[0])
    query = COUNT % "totalCount pageInfo { endCursor }"
    first = await people.ada.data(query)
    assert first["totalCount"] == ROWS
    assert (await people.grace.data(query, after=first["pageInfo"]["endCursor"]))["totalCount"] == ROWS
    assert (await people.ada.data(query, filter={"status": "APPROVED"}))["totalCount"] == 1
    assert (await people.linus.data(query))["totalCount"] == 0
    assert (await people.ada.data("{ changes { totalCount } }"))["totalCount"] is None
    assert (await people.ada.data("{ deliveries { totalCount } }"))["totalCount"] > 0
    monkeypatch.setattr(connections, "MOST_COUNTED", ROWS - 1)
    assert (await people.ada.data(query))["totalCount"] is None


async def test_counts_are_dear(people: People) -> None:
    many = " ".join(f"n{each}: totalCount" for each in range(41))
    assert await people.ada.error(COUNT % many) == "LIMIT_EXCEEDED"
