"""Whatever value an argument is given: the answer is a result or a typed error, and what fails changes nothing."""

import base64
import json
import logging
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import httpx
import pytest
from graphql import (
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLObjectType,
    get_named_type,
    get_nullable_type,
    is_leaf_type,
    is_list_type,
    is_required_argument,
    is_required_input_field,
)

from gql_app.api.ids import encode_id
from gql_app.demo.verticals import DEMO
from gql_app.schema import build
from gql_app.settings import Settings
from gql_app.testing.client import PATIENCE, Client
from gql_app.testing.server import Running, serving
from tests.people import PASSWORD, People, decide, submit
from tests.things import head_of

SCHEMA = build(DEMO)._schema


def b64(text: str | bytes) -> str:
    return base64.urlsafe_b64encode(text.encode() if isinstance(text, str) else text).decode().rstrip("=")


LONG = "x" * 100_000
TEXTS: list[object] = [
    "", " ", "\0", "a\0b", "🤖" * 40, "\ud800", "a\udc00b", LONG, "ä" * 3_000, "\u202e",
    "'; DROP TABLE users; --", "%", "ﬀ@ﬀ.test",
    "a@" + "b" * 300 + ".test", "a@[127.0.0.1]", "+" + "9" * 5_000,
    "+4915112345678;ext=" + "9" * 5_000, "$2b$04$" + "." * 53,
    1, True, [], {}, ["x"], 1.5,
]  # fmt: skip
IDS: list[object] = [
    *TEXTS[:14],
    "0", 0, -1, 2**70, b64("User:"), b64("User:" + "0" * 32), b64("FuelRequest:" + "f" * 32),
    b64("Nothing:" + "0" * 32),
    b64(b"\xff\xfe:" + b"0" * 32), b64("User:{" + "0" * 32 + "}"), b64("User:" + "٠" * 32), b64("\0:" + "0" * 32),
    encode_id("Delivery", UUID(int=5)), "=" * 50, "VXNlcjo=====",
]  # fmt: skip
CURSORS: list[object] = [
    *TEXTS[:9],
    "0", "-1", "1" * 18, "9" * 18, "9" * 19, "٣", "1.5", "nonsense", b64("null"), b64("[]"), b64("[1]"), b64("[1,2,3]"),
    b64('["2020-01-01T00:00:00+00:00",1]'), b64('["2020-01-01",1]'), b64('["0001-01-01T00:00:00+14:00",1]'),
    b64('["9999-12-31T23:59:59-14:00",1]'), b64('["x",1]'), b64("[1,1]"), b64("[NaN,1]"),
    b64("[1e999,1]"), b64('["1",1]'),
    b64('["2020-01-01T00:00:00",' + "9" * 300 + "]"), b64('["2020-01-01T00:00:00",true]'),
    b64('["2020-01-01T00:00:00",-1]'),
    b64('["NaN",1]'), b64('["sNaN",1]'), b64('["1E+999999",1]'), b64('["0E+999999999",1]'), b64('["1E-999999999",1]'),
    b64('["0.001",1]'), b64('["-5",1]'), b64("[" * 290), b64('{"a":1,"b":2}'), b64('["\\ud800",1]'),
    b64('["2020-01-01T00:00:00",1]') + "=", b64('["9999999999999999",1]'),
]  # fmt: skip
DECIMALS: list[object] = [
    "0", 0, "-1", -1, "-0", "0.001", "1.234", 1e-300, 1e300, "1e999999", "1e-999999",
    "1e999999999999999999", "NaN", "sNaN",
    "-Infinity", "Infinity", "1000000.01", "9" * 5_000, 10**300, "0x10", "1_0", "١", "", " 1 ",
    "\0", "\ud800", LONG, True, [], {},
]  # fmt: skip
INTS: list[object] = [0, -1, 101, 1_000_000, 2**31, -(2**31), 2**63, 10**300, 1.0, 1.5, "1", "x", True, [], {}]
ENUMS: list[object] = ["", "\0", "\ud800", "pending", LONG, 1, True, [], {}]
BOOLEANS: list[object] = ["", "true", 1, [], {}]


def values_for(name: str, kind: str) -> list[object]:
    if name in ("after", "before"):
        return CURSORS
    by_kind = {"String": TEXTS, "ID": IDS, "Decimal": DECIMALS, "Int": INTS, "Boolean": BOOLEANS}
    return by_kind.get(kind, ENUMS)


GOOD: dict[str, object] = {
    "username": "mallory",
    "email": "mallory@example.test",
    "newEmail": "new@example.test",
    "password": "not-ada's-password-1",
    "currentPassword": PASSWORD,
    "newPassword": "quite-another-horse-7",
    "litres": "10",
    "status": "APPROVED",
    "role": "USER",
}


def leaves(name: str, type_: GraphQLInputType) -> Iterator[tuple[list[str], str, object]]:
    """Every place below an argument where a value can be put: its path, its kind, and a value around it."""
    named = get_named_type(type_)
    if is_leaf_type(named):
        yield [], named.name, None
    elif isinstance(named, GraphQLInputObjectType):
        others = {key: GOOD.get(key, "x") for key, each in named.fields.items() if is_required_input_field(each)}
        for key, each in named.fields.items():
            for path, kind, _ in leaves(key, each.type):
                yield [key, *path], kind, others


def selection(field: GraphQLField) -> str:
    named = get_named_type(field.type)
    if is_leaf_type(named):
        return ""
    assert named is not None
    fields = getattr(named, "fields", {})
    return "{ __typename errors { code message field } }" if "errors" in fields else "{ __typename }"


def cases(root: GraphQLObjectType, keyword: str) -> Iterator[Any]:
    """A document and where its variable takes a value, for every leaf of every argument of every field."""
    for field_name, field in root.fields.items():
        for arg_name, arg in field.args.items():
            required = [n for n, a in field.args.items() if n != arg_name and is_required_argument(a)]
            given = ", ".join([f"{arg_name}: $v", *(f'{name}: "x"' for name in required)])
            query = f"{keyword} ($v: {arg.type}) {{ {field_name}({given}) {selection(field)} }}"
            for path, kind, others in leaves(arg_name, arg.type):
                is_list = is_list_type(get_nullable_type(arg.type))
                leaf = path[-1] if path else arg_name
                yield pytest.param(
                    query, path, others, values_for(leaf, kind), is_list, id=f"{field_name}.{arg_name}.{'.'.join(path)}"
                )


def put(path: list[str], others: object, value: object, is_list: bool) -> object:
    if not path:
        return [value] if is_list else value
    around = dict(others) if isinstance(others, dict) else {}
    around[path[0]] = put(path[1:], None, value, False)
    return around


async def raw(client: Client, query: str, variables: dict[str, object]) -> Any:
    """Sent with escapes, so that lone surrogates arrive as such."""
    async with httpx.AsyncClient(timeout=PATIENCE) as http:
        body = json.dumps({"query": query, "variables": variables})
        headers = {**client.headers, "Content-Type": "application/json"}
        response = await http.post(client.url + "/graphql", content=body, headers=headers)
    assert response.status_code == 200, response.text
    return response.json()


def complaints(answer: Any) -> list[str]:
    """The codes of all errors, those of payloads too."""
    codes = [error["extensions"]["code"] for error in answer.get("errors", ())]
    for value in (answer.get("data") or {}).values():
        if isinstance(value, dict):
            codes += [error["code"] for error in value.get("errors", ())]
    return codes


@pytest.fixture
async def server(settings: Settings) -> AsyncIterator[Running]:
    """Without workers: only what is asked for is written."""
    async with serving(replace(settings, inline_worker=False)) as running:
        yield running


@pytest.fixture(autouse=True)
def _nothing_goes_wrong_on_our_side(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert not [r.getMessage() for r in caplog.get_records("call") if r.levelno >= logging.ERROR]


assert SCHEMA.query_type is not None
assert SCHEMA.mutation_type is not None


@pytest.mark.parametrize(("query", "path", "others", "values", "is_list"), [*cases(SCHEMA.query_type, "query")])
async def test_no_value_breaks_a_query(
    people: People, query: str, path: list[str], others: object, values: list[object], is_list: bool
) -> None:
    broken = []
    for value in [*values, None]:
        answer = await raw(people.root, query, {"v": put(path, others, value, is_list)})
        if "INTERNAL" in complaints(answer):
            broken.append(repr(value)[:60])
    assert broken == []


@pytest.mark.parametrize(("query", "path", "others", "values", "is_list"), [*cases(SCHEMA.mutation_type, "mutation")])
async def test_no_value_breaks_a_mutation_and_what_fails_changes_nothing(
    people: People, server: Running, query: str, path: list[str], others: object, values: list[object], is_list: bool
) -> None:
    broken, written = [], []
    for value in [*values, None]:
        before = await head_of(server.app.db)
        answer = await raw(people.root, query, {"v": put(path, others, value, is_list)})
        codes = complaints(answer)
        if "INTERNAL" in codes:
            broken.append(repr(value)[:60])
        if codes and await head_of(server.app.db) != before:
            written.append(repr(value)[:60])
    assert broken == []
    assert written == []


FUEL_REQUESTS = (
    "query ($first: Int, $after: String, $last: Int, $before: String, $orderBy: FuelRequestOrder) {"
    " fuelRequests(first: $first, after: $after, last: $last, before: $before, orderBy: $orderBy) { nodes { id } } }"
)


@pytest.mark.parametrize("field", ["CREATED_AT", "UPDATED_AT", "LITRES"])
@pytest.mark.parametrize("argument", ["after", "before"])
async def test_no_cursor_breaks_any_order(people: People, field: str, argument: str) -> None:
    await submit(people.ada)
    broken = []
    for value in CURSORS:
        answer = await raw(people.ada, FUEL_REQUESTS, {argument: value, "orderBy": {"field": field}})
        if "INTERNAL" in complaints(answer):
            broken.append(value)
    assert broken == []


@pytest.mark.parametrize(
    "variables",
    [{"first": 1, "last": 1}, {"first": 0, "last": 0}, {"first": -1}, {"last": -1}, {"first": 101}, {"last": 10**6}],
)
@pytest.mark.parametrize("field", ["fuelRequests", "changes", "deliveries", "users"])
async def test_a_page_of_an_impossible_size_is_refused(people: People, field: str, variables: dict[str, int]) -> None:
    query = f"query ($first: Int, $last: Int) {{ {field}(first: $first, last: $last) {{ nodes {{ __typename }} }} }}"
    assert await people.root.error(query, **variables) == "INVALID"


@pytest.mark.parametrize("side", ["first", "last"])
@pytest.mark.parametrize("field", ["fuelRequests", "changes", "projects", "deliveries"])
async def test_a_page_of_nothing_is_empty(people: People, side: str, field: str) -> None:
    await submit(people.ada)
    page = await people.ada.data(f"{{ {field}({side}: 0) {{ nodes {{ __typename }} pageInfo {{ endCursor }} }} }}")
    assert page == {"nodes": [], "pageInfo": {"endCursor": None}}


async def test_a_cursor_of_another_connection_or_order_is_refused(people: People) -> None:
    await submit(people.ada)
    cursors = {}
    for field in ("fuelRequests", "changes"):
        page = await people.ada.data(f"{{ {field}(first: 1) {{ edges {{ cursor }} }} }}")
        cursors[field] = page["edges"][0]["cursor"]
    assert await people.ada.error(FUEL_REQUESTS, after=cursors["changes"]) == "INVALID"
    assert (
        await people.ada.error(FUEL_REQUESTS, after=cursors["fuelRequests"], orderBy={"field": "LITRES"}) == "INVALID"
    )
    changes = "query ($after: String) { changes(after: $after) { nodes { cursor } } }"
    assert await people.ada.error(changes, after=cursors["fuelRequests"]) == "INVALID"
    assert await people.ada.error(changes, after="9" * 18) == "CURSOR_EXPIRED"


async def test_what_belongs_to_others_looks_as_if_it_did_not_exist(people: People, server: Running) -> None:
    request_id = await submit(people.ada)
    await decide(people.grace, request_id)
    delivery = (await people.ada.data("{ deliveries(first: 1) { nodes { id } } }"))["nodes"][0]["id"]
    ada = (await people.ada.data("{ viewer { id } }"))["id"]
    for each in (request_id, delivery, ada):
        assert await people.linus.data("query ($id: ID!) { node(id: $id) { id } }", id=each) is None
    assert await people.linus.data("query ($id: ID!) { fuelRequest(id: $id) { id } }", id=request_id) is None
    mine = "query ($id: ID!) { fuelRequests(filter: {requesterId: $id}) { nodes { id } } }"
    assert (await people.linus.data(mine, id=ada))["nodes"] == []
    changes = "query ($id: ID!) { changes(filter: {entityId: $id}) { nodes { cursor } } }"
    assert (await people.linus.data(changes, id=request_id))["nodes"] == []


async def test_what_one_may_not_do_changes_nothing(people: People, server: Running) -> None:
    request_id = await submit(people.ada)
    user_id = (await people.ada.data("{ viewer { id } }"))["id"]
    unknown = encode_id("Delivery", UUID(int=7))
    before = await head_of(server.app.db)
    decide_it = "mutation ($id: ID!) { decideFuelRequest(input: {id: $id, status: APPROVED}) { errors { code } } }"
    set_role = "mutation ($id: ID!) { setRole(input: {userId: $id, role: ADMIN}) { errors { code } } }"
    retry = "mutation ($id: ID!) { retryDelivery(input: {id: $id}) { errors { code } } }"
    assert await people.linus.error(decide_it, id=request_id) == "FORBIDDEN"
    assert await people.linus.error(set_role, id=user_id) == "FORBIDDEN"
    assert await people.linus.error(retry, id=unknown) == "FORBIDDEN"
    assert complaints(await people.root.send(retry, id=unknown)) == ["NOT_FOUND"]
    assert complaints(await people.root.send(decide_it, id=user_id)) == ["INVALID"]
    assert complaints(await people.root.send(set_role, id=request_id)) == ["INVALID"]
    assert await head_of(server.app.db) == before


async def test_litres_are_more_than_nothing_and_have_two_decimals(people: People, server: Running) -> None:
    submit_it = (
        "mutation ($l: Decimal!) { submitFuelRequest(input: {litres: $l}) { fuelRequest { litres } errors { code } } }"
    )
    before = await head_of(server.app.db)
    for wrong in ("0", "-1", "0.001", "1.234", "NaN", "Infinity", "1e999999", "1e-999999", "1000000.01"):
        assert len(complaints(await people.ada.send(submit_it, l=wrong))) == 1, wrong
    assert await head_of(server.app.db) == before
    for right, shown in (
        ("0.01", "0.01"),
        ("1000000", "1000000.00"),
        ("1e2", "100.00"),
        ("2.500", "2.50"),
        (3, "3.00"),
    ):
        payload = await people.ada.data(submit_it, l=right)
        assert payload == {"fuelRequest": {"litres": shown}, "errors": []}
