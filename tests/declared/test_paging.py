"""Pages by any column, in either direction, forwards and backwards: each row once and in its order."""

import base64
import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.orm import Session

from gql_app.accounts import NewUser, Passwords, sign_up
from gql_app.testing.client import Client
from gql_app.testing.server import Running
from tests.declared.models import Crane, Parcel, RentalStatus, Truck
from tests.people import PASSWORD, log_in

PAGE = """
    query ($first: Int, $after: String, $last: Int, $before: String, $o: ParcelOrder) {
      parcels(first: $first, after: $after, last: $last, before: $before, orderBy: $o) {
        edges { cursor node { id } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
      }
    }"""
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
FIELDS = (
    "CREATED_AT", "LABEL", "WEIGHT", "PRICE", "DUE", "AT", "SEEN_AT", "FRAGILE", "ROUTE", "PIECES", "STATUS",
    "MASS", "T",
)  # fmt: skip
COUNT = 23


def _parcel(sender: int, number: int) -> Parcel:
    """Of each attribute every fourth is missing, and several have the same value."""
    value = number % 5 - 2
    statuses = list(RentalStatus)
    values: dict[str, Any] = {
        "label": ["b", "B", "a", "ä", ""][value],
        "weight": value / 3,
        "price": Decimal(value) / 4,
        "due": date(2026, 5, 10) + timedelta(days=value),
        "at": time(12 + value, 30, 0, 1),
        "seen_at": NOON + timedelta(microseconds=value),
        "fragile": value > 0,
        "route": UUID(int=value + 2),
        "pieces": value * 10**6,
        "mass": Decimal("1.1234567890123456789") * value,
        "t": "tuple"[: value + 2],
        "status": statuses[value % 3],
    }
    given = {name: each for place, (name, each) in enumerate(values.items()) if (number + place) % 4}
    moment = NOON + timedelta(seconds=number // 3)
    return Parcel(sender_id=sender, created_at=moment, updated_at=moment, **given)


@pytest.fixture
async def ada(site: Running) -> Client:
    hashed = await site.app.resource(Passwords).hash(PASSWORD)

    def fill(session: Session) -> None:
        user, _ = sign_up(session, NewUser("ada", "ada@example.test", hashed), None)
        session.add_all([_parcel(user.id, number) for number in range(COUNT)])
        session.add_all([_parcel(user.id + 1, number) for number in range(3)])  # somebody else's
        session.add_all([Truck(depot=depot, number=n, driver_id=user.id, load=n % 2) for depot in "ab" for n in (1, 2)])
        session.add_all([Crane(depot="c", number=n, driver_id=user.id, reach=2.5 - n, load=None) for n in (1, 2)])

    await site.app.db.write(fill)
    return await log_in(site.url, "ada")


async def walk(client: Client, order: dict[str, str], size: int, *, backward: bool) -> list[str]:
    """All ids, page by page, in the order in which they are shown."""
    found: list[str] = []
    edge, more = None, True
    while more:
        arguments = {"last": size, "before": edge} if backward else {"first": size, "after": edge}
        page = await client.data(PAGE, o=order, **arguments)
        ids = [each["node"]["id"] for each in page["edges"]]
        found = ids + found if backward else found + ids
        info = page["pageInfo"]
        edge, more = info["endCursor"], info["hasNextPage"]
        if backward:
            edge, more = info["startCursor"], info["hasPreviousPage"]
    return found


@pytest.mark.parametrize("field", FIELDS)
async def test_each_row_is_shown_once_and_in_its_order(ada: Client, field: str) -> None:
    for direction in ("ASC", "DESC"):
        order = {"field": field, "direction": direction}
        whole = await walk(ada, order, 100, backward=False)
        assert len(set(whole)) == COUNT
        for size in (1, 4):
            assert await walk(ada, order, size, backward=False) == whole, (field, direction, size)
            assert await walk(ada, order, size, backward=True) == whole, (field, direction, size)
        if direction == "DESC":
            assert whole == (await walk(ada, {"field": field, "direction": "ASC"}, 100, backward=False))[::-1]


async def test_rows_without_a_value_are_last_in_ascending_order(ada: Client) -> None:
    query = "{ parcels(first: 100, orderBy: {field: PIECES, direction: ASC}) { nodes { pieces } } }"
    pieces = [each["pieces"] for each in (await ada.data(query))["nodes"]]
    known = [each for each in pieces if each is not None]
    assert known == sorted(known)
    assert pieces == known + [None] * (COUNT - len(known))


@pytest.mark.parametrize(
    "values",
    [None, [], ["x", "1", "1"], ["Parcel.label", "\0", "x"], ["Parcel.label", None, None], ["Parcel.label", 1, 2]],
)
async def test_a_cursor_that_was_not_given_out_is_refused(ada: Client, values: Any) -> None:
    cursor = base64.urlsafe_b64encode(json.dumps(values).encode()).decode()
    assert await ada.error(PAGE, first=2, after=cursor, o={"field": "LABEL", "direction": "ASC"}) == "INVALID"


async def test_a_cursor_of_another_order_is_refused(ada: Client) -> None:
    page = await ada.data(PAGE, first=2, o={"field": "LABEL", "direction": "ASC"})
    other = {"field": "WEIGHT", "direction": "ASC"}
    assert await ada.error(PAGE, first=2, after=page["pageInfo"]["endCursor"], o=other) == "INVALID"


async def test_filters_by_values_of_every_type(ada: Client) -> None:
    query = "query ($f: ParcelFilter) { parcels(first: 100, filter: $f) { nodes { fragile route due } } }"

    async def found(**filter: Any) -> Sequence[dict[str, Any]]:
        return [dict(each) for each in (await ada.data(query, f=filter))["nodes"]]

    everything = await found()
    assert len(everything) == COUNT
    for name in ("fragile", "route", "due"):
        for value in {each[name] for each in everything}:
            same = [each for each in everything if each[name] == value]
            assert await found(**{name: value}) == same, (name, value)


async def test_a_key_of_two_columns_and_a_subclass(ada: Client) -> None:
    trucks = "query ($first: Int, $after: String) { trucks(first: $first, after: $after) { nodes { id depot number load } pageInfo { endCursor hasNextPage } } }"  # noqa: E501
    whole = (await ada.data(trucks))["nodes"]
    assert len(whole) == 6  # cranes are trucks
    assert [each["load"] for each in whole] == [0, 0, 1, 1, None, None]
    seen: list[Any] = []
    after = None
    while True:
        page = await ada.data(trucks, first=1, after=after)
        seen += page["nodes"]
        if not page["pageInfo"]["hasNextPage"]:
            break
        after = page["pageInfo"]["endCursor"]
    assert seen == whole
    cranes = (await ada.data("{ cranes { nodes { id depot number reach } } }"))["nodes"]
    assert [(each["depot"], each["number"], each["reach"]) for each in cranes] == [("c", 2, 0.5), ("c", 1, 1.5)]
    node = "query ($id: ID!) { node(id: $id) { __typename ... on Truck { number } } }"
    found = await ada.data(node, id=cranes[0]["id"])
    assert found == {"__typename": "Truck", "number": 2}
    assert await ada.data("query ($id: ID!) { crane(id: $id) { reach } }", id=cranes[0]["id"]) == {"reach": 0.5}
