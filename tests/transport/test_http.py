"""GraphQL over HTTP: whatever is sent is answered as the specification says, and nothing more is told than is due."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import strawberry
from asyncpg import ConnectionDoesNotExistError
from graphql import GraphQLError
from sqlalchemy.exc import DBAPIError

from gql_app.api.authentication import Authentication
from gql_app.app import App
from gql_app.errors import Conflict, OutcomeUnknown
from gql_app.testing.client import PATIENCE, Client
from gql_app.testing.server import Running
from gql_app.transport import http
from gql_app.transport.http import MAX_BODY
from tests.people import LOG_IN, People
from tests.transport.tiny import serving_schema

JSON = "application/json"
GRAPHQL_JSON = "application/graphql-response+json"
TYPENAME = '{"query": "{ __typename }"}'
SECRET = "hunter2-hunter2-hunter2"
BROKEN = DBAPIError("SELECT 1", {}, ConnectionDoesNotExistError("closed"), hide_parameters=True)


async def ask(
    url: str, body: str | bytes | AsyncIterator[bytes] | None = TYPENAME, *, method: str = "POST", **headers: str
) -> httpx.Response:
    sent = {"content_type": JSON} | headers if method == "POST" else headers
    async with httpx.AsyncClient(timeout=PATIENCE) as http:
        return await http.request(
            method,
            url if "/graphql" in url else url + "/graphql",
            content=body,
            headers={name.replace("_", "-"): value for name, value in sent.items()},
        )


def media_type(response: httpx.Response) -> str:
    return response.headers["content-type"].partition(";")[0]


def code(response: httpx.Response) -> str:
    """The code of the only error, in a response that has no data."""
    body = response.json()
    assert set(body) == {"errors"}, body
    (error,) = body["errors"]
    return str(error["extensions"]["code"])


def text_of(query: str, **variables: object) -> str:
    return json.dumps({"query": query, "variables": variables})


@pytest.mark.parametrize(
    ("accept", "answered"),
    [
        ("*/*", JSON),
        ("application/*", JSON),
        (JSON, JSON),
        (GRAPHQL_JSON, GRAPHQL_JSON),
        (f"{GRAPHQL_JSON}, {JSON};q=0.9", GRAPHQL_JSON),
        (f"{JSON};q=0.5, {GRAPHQL_JSON}", GRAPHQL_JSON),
        (f"{JSON}, {GRAPHQL_JSON}", JSON),
        (f"{JSON};q=0, {GRAPHQL_JSON}", GRAPHQL_JSON),
        (f"text/plain, {JSON};charset=utf-8", JSON),
        (JSON.upper(), JSON),
    ],
)
async def test_the_answer_has_the_media_type_that_the_client_wants_most(
    server: Running, accept: str, answered: str
) -> None:
    response = await ask(server.url, accept=accept)
    assert (response.status_code, media_type(response)) == (200, answered)
    assert response.json() == {"data": {"__typename": "Query"}}


@pytest.mark.parametrize("accept", ["text/plain", f"{JSON};q=0", "image/*, text/html", f"{JSON};q=much"])
async def test_a_client_that_takes_no_json_gets_406(server: Running, accept: str) -> None:
    response = await ask(server.url, accept=accept)
    assert (response.status_code, code(response)) == (406, "INVALID")


@pytest.mark.parametrize("query", ["{", "{ nothing }", "query A { __typename } query B { __typename }", "#"])
async def test_a_request_error_is_400_in_graphqls_own_media_type_and_200_in_plain_json(
    server: Running, query: str
) -> None:
    for accept, status in ((GRAPHQL_JSON, 400), (JSON, 200)):
        response = await ask(server.url, text_of(query), accept=accept)
        assert (response.status_code, media_type(response)) == (status, accept)
        assert set(response.json()) == {"errors"}


async def test_an_error_of_a_field_is_200_in_both_media_types_and_has_data(server: Running) -> None:
    query = "{ viewer { id } fuelRequests { nodes { id } } }"
    for accept in (GRAPHQL_JSON, JSON):
        response = await ask(server.url, text_of(query), accept=accept)
        assert response.status_code == 200
        assert response.json()["data"] is None
        (error,) = response.json()["errors"]
        assert (error["path"], error["extensions"]["code"]) == (["fuelRequests"], "UNAUTHENTICATED")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"1",
        b'"x"',
        b"true",
        b"[]",
        b"[" + TYPENAME.encode() + b"]",
        b"{}",
        b"{",
        b'{"query": "{ __typename }"} x',
        b"[" * 100_000,
        b"[" * 100 + b"]" * 100,
        b'{"query": "{ __typename }", "variables": {"x": ' + b'{"x":' * 100 + b"1" + b"}" * 101 + b"}",
        b'{"query": "{ __typename }", "variables": {"x": ' + b"[" * 50_000 + b"]" * 50_000 + b"}}",
        b'{"query": "\xff"}',
        b"\xff\xfe{\x00}\x00",
        b'{"query": "{ __typename }", "variables": {"x": ' + b"9" * 5_000 + b"}}",
        b"9" * 5_000,
        b'{"query": "{ __typename }", "variables": {"x": NaN}}',
        b'{"query": "{ __typename }", "variables": {"x": -Infinity}}',
        b"NaN",
    ],
    ids=lambda body: f"{body[:40]!r}…{len(body)}",
)
async def test_what_is_no_request_in_json_is_a_bad_request(server: Running, body: bytes) -> None:
    response = await ask(server.url, body)
    assert (response.status_code, code(response)) == (400, "INVALID")


@pytest.mark.parametrize("value", [1, True, ["{ __typename }"], {"a": 1}, "", " \n", None])
async def test_a_query_that_is_no_text_is_a_bad_request(server: Running, value: object) -> None:
    response = await ask(server.url, json.dumps({"query": value}))
    assert (response.status_code, code(response)) == (400, "INVALID")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("variables", [1, True, "{}", [], [{}], 0, False, ""]),
        ("extensions", [1, True, "{}", [], 0, False, ""]),
        ("operationName", [1, True, {}, [], 0, False]),
    ],
)
async def test_parts_of_a_request_of_the_wrong_type_are_bad_requests(
    server: Running, name: str, values: list[object]
) -> None:
    for value in values:
        response = await ask(server.url, json.dumps({"query": "{ __typename }", name: value}))
        assert (response.status_code, code(response)) == (400, "INVALID"), value


async def test_null_stands_for_left_out(server: Running) -> None:
    body = {"query": "{ __typename }", "variables": None, "operationName": None, "extensions": None, "other": 1}
    assert (await ask(server.url, json.dumps(body))).json() == {"data": {"__typename": "Query"}}


@pytest.mark.parametrize(
    "body",
    [r'{"query": "{ __typename \ud800 }"}', r'{"query": "{ node(id: \"\udc00\") { id } }"}', r'{"query": "\ud83d"}'],
)
async def test_a_lone_surrogate_in_a_document_gets_a_typed_answer(people: People, body: str) -> None:
    response = await ask(people.ada.url, body, **people.ada.headers)
    assert response.status_code == 200
    assert [e["extensions"]["code"] for e in response.json().get("errors", [])] in ([], ["GRAPHQL_PARSE_FAILED"])


@pytest.mark.parametrize(
    "kind",
    ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/xml"],
)
async def test_another_content_type_is_415_so_that_no_form_of_another_site_can_post(server: Running, kind: str) -> None:
    response = await ask(server.url, content_type=kind)
    assert (response.status_code, code(response)) == (415, "INVALID")


async def test_parameters_of_the_content_type_do_not_matter(server: Running) -> None:
    assert (await ask(server.url, content_type="Application/JSON ; charset=UTF-8")).status_code == 200


async def test_a_body_of_the_largest_size_is_read(server: Running) -> None:
    padded = TYPENAME + " " * (MAX_BODY - len(TYPENAME))
    assert (await ask(server.url, padded)).json() == {"data": {"__typename": "Query"}}


async def test_a_body_that_is_declared_too_large_is_413(server: Running) -> None:
    response = await ask(server.url, TYPENAME + " " * (MAX_BODY + 1 - len(TYPENAME)))
    assert (response.status_code, code(response)) == (413, "INVALID")


async def test_a_chunked_body_is_413_as_soon_as_it_is_too_large(server: Running) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(MAX_BODY // 1024 + 1):
            yield b" " * 1024

    response = await ask(server.url, chunks())
    assert (response.status_code, code(response)) == (413, "INVALID")


async def test_a_query_can_be_asked_by_get(people: People) -> None:
    params = {
        "query": "query A { __typename } query B($yes: Boolean!) { viewer @include(if: $yes) { username } }",
        "operationName": "B",
        "variables": '{"yes": true}',
        "extensions": "{}",
    }
    response = await ask(
        str(httpx.URL(people.ada.url + "/graphql", params=params)), None, method="GET", **people.ada.headers
    )
    assert response.json() == {"data": {"viewer": {"username": "ada"}}}


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"query": ""},
        {"query": "{ __typename }", "variables": "[]"},
        {"query": "{ __typename }", "variables": "{"},
        {"query": "{ __typename }", "variables": '{"x":' + "9" * 5_000 + "}"},
        {"query": "{ __typename }", "extensions": "1"},
    ],
)
async def test_a_get_that_is_no_request_is_a_bad_request(server: Running, params: dict[str, str]) -> None:
    response = await ask(str(httpx.URL(server.url + "/graphql", params=params)), None, method="GET", accept=JSON)
    assert (response.status_code, code(response)) == (400, "INVALID")


async def test_a_mutation_by_get_is_405_and_changes_nothing(people: People, server: Running) -> None:
    query = "query Q { __typename } mutation M { logOut { errors { code } } }"
    params = {"query": query, "operationName": "M"}
    address = str(httpx.URL(server.url + "/graphql", params=params))
    response = await ask(address, None, method="GET", accept=JSON, **people.ada.headers)
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert await people.ada.data("{ viewer { username } }") == {"username": "ada"}  # her session goes on


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "QUERY", "OPTIONS"])
async def test_another_method_is_405(server: Running, method: str) -> None:
    response = await ask(server.url, None, method=method)
    assert (response.status_code, response.headers["allow"], code(response)) == (405, "GET, POST", "INVALID")


async def test_a_syntax_error_says_where(anybody: Client) -> None:
    (error,) = (await anybody.send("{ viewer {"))["errors"]
    assert error["extensions"]["code"] == "GRAPHQL_PARSE_FAILED"
    assert error["locations"] == [{"line": 1, "column": 11}]


@pytest.mark.parametrize(
    ("query", "hidden"),
    [
        ("{ fuelRequest(id: 1) { litre } }", "litres"),
        ("{ viewe { id } }", "viewer"),
        ("{ fuelRequest(idd: 1) { id } }", "mean"),
        ('{ fuelRequests(filter: {stats: "x"}) { nodes { id } } }', "status"),
        ("{ fuelRequests(orderBy: {field: LITRE}) { nodes { id } } }", "LITRES"),
        ("{ viewer { ... on StandardUse { id } } }", "StandardUser"),
        ("query ($x: StandardUse) { viewer { id } }", "StandardUser"),
    ],
)
async def test_an_unknown_name_is_refused_and_no_known_one_is_suggested(
    anybody: Client, query: str, hidden: str
) -> None:
    errors = (await anybody.send(query))["errors"]
    assert {error["extensions"]["code"] for error in errors} == {"GRAPHQL_VALIDATION_FAILED"}
    said = " ".join(error["message"] for error in errors)
    assert "mean" not in said
    assert hidden not in said.replace("litre'", "").replace("viewe'", "")


@pytest.mark.parametrize(
    ("query", "variables"),
    [
        (LOG_IN, {"username": "ada", "password": {"value": SECRET}}),
        (LOG_IN, {"username": "ada", "password": [SECRET]}),
        (LOG_IN, {"username": {SECRET: SECRET}, "password": None}),
        ("mutation ($i: LogInInput!) { logIn(input: $i) { errors { code } } }", {"i": {"password": SECRET}}),
        ("mutation ($i: LogInInput!) { logIn(input: $i) { errors { code } } }", {"i": SECRET}),
        ("query ($s: FuelRequestStatus) { fuelRequests(filter: {status: $s}) { nodes { id } } }", {"s": SECRET}),
        ("query ($n: Int) { fuelRequests(first: $n) { nodes { id } } }", {"n": SECRET}),
        ("mutation ($l: Decimal!) { submitFuelRequest(input: {litres: $l}) { errors { code } } }", {"l": SECRET}),
        ('mutation { logIn(input: {username: "ada", password: ["' + SECRET + '"]}) { errors { code } } }', {}),
        ('mutation { logIn(input: {password: "' + SECRET + '"}) { errors { code } } }', {}),
        ('mutation { logIn(input: "' + SECRET + '") { errors { code } } }', {}),
        ('mutation { setRole(input: {userId: "x", role: "' + SECRET + '"}) { errors { code } } }', {}),
        ('mutation { submitFuelRequest(input: {litres: "' + SECRET + '"}) { errors { code } } }', {}),
        ('{ fuelRequests(first: "' + SECRET + '") { nodes { id } } }', {}),
        ('{ viewer { id } } "' + SECRET + '"', {}),
    ],
)
async def test_values_that_were_sent_are_never_echoed(anybody: Client, query: str, variables: dict[str, Any]) -> None:
    answer = await anybody.send(query, **variables)
    assert answer["errors"]
    assert all(error["extensions"]["code"] != "INTERNAL" for error in answer["errors"]), answer
    assert SECRET not in json.dumps(answer)


@strawberry.type
class Query:
    @strawberry.field
    def broken(self) -> str:
        raise RuntimeError(f"the password is {SECRET}")

    @strawberry.field
    def broken_in_graphql(self) -> str:
        try:
            raise KeyError(SECRET)
        except KeyError as error:
            raise GraphQLError(SECRET, original_error=error) from error

    @strawberry.field
    def ours(self) -> str | None:
        raise Conflict("That is decided already.")

    @strawberry.field
    def fine(self) -> str:
        return "fine"


@pytest.mark.parametrize("field", ["broken", "brokenInGraphql"])
async def test_an_unexpected_exception_is_told_only_as_an_id_that_is_in_the_log(
    app: App, caplog: pytest.LogCaptureFixture, field: str
) -> None:
    async with serving_schema(strawberry.Schema(Query), app) as url:
        with caplog.at_level(logging.ERROR, logger="gql_app.execution.answers"):
            response = await ask(url, text_of(f"{{ {field} }}"))
    assert response.status_code == 200
    assert SECRET not in response.text
    (error,) = response.json()["errors"]
    assert (error["path"], error["extensions"]["code"]) == ([field], "INTERNAL")
    (record,) = [r for r in caplog.records if r.name == "gql_app.execution.answers"]
    assert error["extensions"]["errorId"] in record.getMessage()
    assert record.exc_info is not None


async def test_a_body_that_does_not_come_is_not_waited_for_long(
    anybody: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "BODY_TIMEOUT", 0.05)
    address = httpx.URL(anybody.url)
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(
        b"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
    )
    async with asyncio.timeout(PATIENCE):
        assert b" 408 " in await reader.readline()
    writer.close()


async def test_an_outage_of_the_database_is_told_as_one(
    server: Running, people: People, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*args: object) -> None:
        raise BROKEN

    server.app.application.authentication = Authentication(broken)
    with caplog.at_level(logging.WARNING, logger="gql_app.execution.answers"):
        response = await ask(people.ada.url, Authorization=f"Bearer {people.ada.token}")
    assert (response.status_code, code(response), response.headers["retry-after"]) == (503, "UNAVAILABLE", "1")
    (record,) = [r for r in caplog.records if r.name == "gql_app.execution.answers"]
    assert record.levelno == logging.WARNING
    assert record.exc_info is None  # there will be many


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (BROKEN, "UNAVAILABLE"),
        (OutcomeUnknown(), "OUTCOME_UNKNOWN"),
        (FileNotFoundError("no such file"), "INTERNAL"),  # not of the database: it would never come back
    ],
)
async def test_an_outage_in_a_field_is_told_at_its_path(app: App, raised: Exception, told: str) -> None:
    @strawberry.type
    class Breaking:
        @strawberry.field
        def broken(self) -> str | None:
            raise raised

        @strawberry.field
        def fine(self) -> str:
            return "fine"

    async with serving_schema(strawberry.Schema(Breaking), app) as url:
        response = await ask(url, text_of("{ broken fine }"))
    assert response.status_code == 200
    (error,) = response.json()["errors"]
    assert (error["path"], error["extensions"]["code"]) == (["broken"], told)
    assert response.json()["data"] == {"broken": None, "fine": "fine"}


async def test_every_unexpected_exception_has_an_id_of_its_own_and_leaves_other_fields_alone(
    app: App, caplog: pytest.LogCaptureFixture
) -> None:
    @strawberry.type
    class Loose:
        @strawberry.field
        def first(self) -> str | None:
            raise RuntimeError(SECRET)

        @strawberry.field
        def fine(self) -> str:
            return "fine"

    async with serving_schema(strawberry.Schema(Loose), app) as url:
        body = (await ask(url, text_of("{ a: first b: first fine }"))).json()
    assert body["data"] == {"a": None, "b": None, "fine": "fine"}
    ids = {error["extensions"]["errorId"] for error in body["errors"]}
    assert len(ids) == 2
    assert all(any(each in record.getMessage() for record in caplog.records) for each in ids)


async def test_an_error_of_ours_keeps_its_message_and_code(app: App, caplog: pytest.LogCaptureFixture) -> None:
    async with serving_schema(strawberry.Schema(Query), app) as url:
        body = (await ask(url, text_of("{ ours fine }"))).json()
    (error,) = body["errors"]
    assert (error["message"], error["extensions"]["code"]) == ("That is decided already.", "CONFLICT")
    assert body["data"] == {"ours": None, "fine": "fine"}
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR]


async def test_an_answer_is_never_stored_by_caches(server: Running) -> None:
    assert (await ask(server.url)).headers["cache-control"] == "no-store"


async def test_a_token_that_is_none_leaves_one_signed_out(server: Running) -> None:
    for token in ("Bearer nonsense", "Bearer", "Basic eDp5", "nonsense", "Bearer " + "x" * 10_000):
        response = await ask(server.url, text_of("{ viewer { id } }"), authorization=token)
        assert response.json() == {"data": {"viewer": None}}, token
