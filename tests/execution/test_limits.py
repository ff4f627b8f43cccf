"""What would cost too much is refused before it costs much, and what frontends send is not."""

import gc
import logging
from typing import Any

import pytest
from graphql import Token, get_introspection_query
from graphql.validation import ValidationContext

import gql_app.execution.documents
from gql_app.demo.verticals import DEMO
from gql_app.execution.documents import Documents
from gql_app.execution.engine import Engine, GraphQLRequest, Operation
from gql_app.execution.limits import MAX_DEPTH, MAX_LENGTH, MAX_TOKENS
from gql_app.schema import build
from gql_app.testing.client import Client
from tests.people import DECIDE, LOG_IN, SUBMIT, People

SCHEMA = build(DEMO)
PAGE = "nodes { id status litres requester { id username } decidedBy { id username } }"


def fragments(count: int, body: str = "...F{0} ...F{0}", end: str = "viewer {{ id }}") -> str:
    """A chain in which each fragment spreads the next one twice."""
    chain = [f"fragment F{i} on Query {{ {body.format(i + 1)} }}" for i in range(count)]
    return "{ ...F0 } " + " ".join(chain) + f" fragment F{count} on Query {{ {end.format()} }}"


def nested(depth: int) -> str:
    return "{ viewer " + "{ ... on User " * depth + "{ id }" + " }" * (depth + 1)


def introspected(depth: int) -> str:
    return "{ __schema { types " + "{ fields { type " * depth + "{ name }" + " } }" * depth + " } }"


REFUSED = {
    "5000 operations": " ".join(f"query Q{i} {{ __typename }}" for i in range(5_000)),
    "2000 equal fields": "{ " + "viewer { id } " * 2_000 + "}",
    "300 equal fields": "{ " + "viewer { id } " * 300 + "}",
    "equal fields under an alias": "{ " + "v: viewer { id } " * 200 + "}",
    "equal fields in inline fragments": "{ " + "... on Query { viewer { id } } " * 180 + "}",
    "equal fields in a fragment": "{ ...F } fragment F on Query { " + "viewer { id } " * 300 + "}",
    "equal fields in a fragment that is not used": "{ viewer { id } } fragment F on Query { "
    + "__typename " * 1_500
    + "}",
    "equal fields in fragments that spread each other": "{ viewer { id } } fragment F on Query { ...G "
    + "__typename " * 700
    + "} fragment G on Query { ...F "
    + "__typename " * 700
    + "}",
    "2000 aliases": "{ " + " ".join(f"a{i}: __typename" for i in range(2_000)) + " }",
    "fields nested 21 deep": '{ __type(name: "User") { ' + "ofType { " * MAX_DEPTH + "name" + " }" * MAX_DEPTH + " } }",
    "selections nested 600 deep": nested(600),
    "lists nested 900 deep": "{ nodes(ids: " + "[" * 900 + "]" * 900 + ") { id } }",
    "30000 brackets": "{" * 30_000,
    "exponential fragments": fragments(20),
    "exponential fragments with pages": fragments(
        8, end=f"fuelRequests(first: 100) {{{{ {PAGE.replace('{', '{{').replace('}', '}}')} }}}}"
    ),
    "fragments in a circle": "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }",
    "a fragment in itself": "{ ...A } fragment A on Query { viewer { id } ...A }",
    "many huge pages": "{ " + " ".join(f"a{i}: fuelRequests(first: 100) {{ {PAGE} }}" for i in range(30)) + " }",
    "many pages of a variable size": "query ($n: Int) { "
    + " ".join(f"a{i}: fuelRequests(first: $n) {{ {PAGE} }}" for i in range(30))
    + " }",
    "many huge pages paid for by a negative one": "{ "
    + f"z: fuelRequests(first: -100000) {{ {PAGE} }} "
    + " ".join(f"a{i}: fuelRequests(first: 100) {{ {PAGE} }}" for i in range(30))
    + " }",
    "many huge pages paid for by a negative one that is skipped": "{ "
    + f"z: fuelRequests(first: -100000) @skip(if: true) {{ {PAGE} }} "
    + " ".join(f"a{i}: fuelRequests(first: 100) {{ {PAGE} }}" for i in range(30))
    + " }",
    "a size of 5000 digits": "{ fuelRequests(first: " + "9" * 5_000 + ") { nodes { id } } }",
    "a negative size of 5000 digits": "{ fuelRequests(first: -" + "9" * 5_000 + ") { nodes { id } } }",
    "types of types of types": introspected(6),
    "aliases of the schema": "{ __schema { ...S } } fragment S on __Schema { types { fields { "
    + " ".join(f"a{i}: name" for i in range(500))
    + " } } }",
    "the schema by many names": "{ "
    + " ".join(f"s{i}: __schema {{ types {{ fields {{ args {{ name }} }} }} }}" for i in range(130))
    + " }",
    "long texts by many names": "{ projects { nodes { " + " ".join(f"a{i}: body" for i in range(30)) + " } } }",
    "a long comment": "#" + "x" * MAX_LENGTH + "\n{ __typename }",
    "many comments": "#\n" * (MAX_TOKENS + 1) + "{ __typename }",
    "a long string": '{ node(id: "' + "x" * MAX_LENGTH + '") { id } }',
    "many directives": "{ __typename " + "@include(if: true) " * 300 + "}",
    "many variables": "query (" + " ".join(f"$v{i}: Int" for i in range(600)) + ") { __typename }",
    "many unknown fields": "{ " + " ".join(f"x{i}" for i in range(1_500)) + " }",
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_document_that_would_cost_too_much_is_refused(
    people: People, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    response = await people.root.send(REFUSED[name])
    assert "data" not in response
    codes = {error["extensions"]["code"] for error in response["errors"]}
    broken = {"GRAPHQL_VALIDATION_FAILED"} | ({"GRAPHQL_PARSE_FAILED"} if name == "30000 brackets" else set())
    assert codes <= {"LIMIT_EXCEEDED", *broken}
    assert not any(error["message"].startswith("Syntax") for error in response["errors"]) or name == "30000 brackets"
    assert len(response["errors"]) <= 11
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


PROBES = {
    "the usual": get_introspection_query(),
    "all of it": get_introspection_query(
        schema_description=True, input_value_deprecation=True, specified_by_url=True, directive_is_repeatable=True
    ),
    "what __Type and the like can say, by many names": "{ "
    + " ".join(
        f'{name}: __type(name: "{kind}") {{ name fields {{ name args {{ name }} }} }}'
        for name, kind in zip(
            "abcdefg", ("__Schema", "__Type", "__Field", "__Directive", "__InputValue") * 2, strict=False
        )
    )
    + " }",
    "an alias inside": '{ __type(name: "User") { fields { name returns: type { name kind } } } }',
    "the roots": "{ __schema { queryType { name } mutationType { name } subscriptionType { name } } }",
    "the directives": "{ __schema { directives { name locations args { name type { name kind ofType { name } } } } } }",
}
"""What client tools ask before they ask for all."""


@pytest.mark.parametrize("name", PROBES)
async def test_what_tools_ask_of_the_schema_is_answered(anybody: Client, name: str) -> None:
    for _ in range(2):  # the second time from what is kept
        assert "errors" not in await anybody.send(PROBES[name])


@pytest.fixture
def validated(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The documents that came as far as validation."""
    seen: list[Any] = []
    begin = ValidationContext.__init__

    def begin_seen(self: ValidationContext, *args: Any, **kwargs: Any) -> None:
        seen.append(self)
        begin(self, *args, **kwargs)

    monkeypatch.setattr(ValidationContext, "__init__", begin_seen)
    return seen


@pytest.mark.parametrize("name", [n for n in REFUSED if "equal fields" in n or "huge" in n or "exponential" in n])
async def test_what_is_dear_to_validate_is_refused_before_it_is_validated(validated: list[Any], name: str) -> None:
    prepared, _ = await Documents(SCHEMA._schema).prepare(REFUSED[name])
    assert prepared.errors
    assert validated == []


async def test_other_clients_are_answered_while_a_dear_document_is_checked(people: People, anybody: Client) -> None:
    await people.root.send(REFUSED["5000 operations"])
    assert await anybody.data("{ __typename }") == "Query"


async def test_every_type_says_whether_it_is_one_of(anybody: Client) -> None:
    """Strawberry's resolver fails for lists and types that are not null, with an error for each."""
    asked = "{ __schema { types { isOneOf fields { type { isOneOf ofType { isOneOf } } } } } }"
    (types,) = (await anybody.data(asked)).values()
    assert {each["isOneOf"] for each in types} == {False}


async def test_what_is_sent_besides_the_declared_variables_is_not_kept() -> None:
    """A subscription keeps its variables for as long as it goes on."""
    request = GraphQLRequest("query ($id: ID!) { node(id: $id) { id } }", {"id": "x", "other": [[]] * 1_000})
    operation = await Engine(SCHEMA).prepare(request)
    assert isinstance(operation, Operation)
    assert operation.request.variables == {"id": "x"}


@pytest.mark.parametrize("options", [{}, {"input_value_deprecation": True, "specified_by_url": True}])
async def test_the_full_introspection_query_passes(anybody: Client, options: dict[str, bool]) -> None:
    introspected = await anybody.data(get_introspection_query(**options))
    assert introspected["queryType"] == {"name": "Query"} or introspected["queryType"]["name"] == "Query"


async def test_the_documents_of_a_frontend_pass(people: People) -> None:
    user = "id username email role createdAt updatedAt ... on PremiumUser { premiumSince }"
    info = "pageInfo { hasNextPage hasPreviousPage startCursor endCursor }"
    dashboard = f"""
        query ($n: Int = 100) {{
          viewer {{ ...user }}
          fuelRequests(first: $n) {{ edges {{ cursor node {{ ...request }} }} {info} }}
          changes(last: 50) {{ nodes {{ cursor kind attribute oldValue newValue actor {{ ...user }} }} {info} }}
          deliveries {{ nodes {{ id state body attempts {{ number outcome error }} }} {info} }}
        }}
        fragment request on FuelRequest {{
          id status litres note requester {{ ...user }} decidedBy {{ ...user }} decidedAt createdAt updatedAt
        }}
        fragment user on User {{ {user} }}"""
    for text in (dashboard, LOG_IN, SUBMIT, DECIDE):
        prepared, _ = await Documents(SCHEMA._schema).prepare(text)
        assert prepared.errors == ()
    assert "errors" not in await people.grace.send(dashboard)


@pytest.mark.parametrize("count", [2, 10, 50])
async def test_some_equal_fields_pass(anybody: Client, count: int) -> None:
    assert await anybody.data("{ " + "viewer { id } " * count + "}") is None


async def test_a_spread_fragment_counts_where_it_is_spread() -> None:
    page = f"fuelRequests(first: 100) {{ {PAGE} }}"
    documents = Documents(SCHEMA._schema)
    once = "{ ...P } fragment P on Query { " + page + " }"
    often = "{ " + " ".join(f"a{i}: fuelRequests(first: 100) {{ nodes {{ ...N }} }}" for i in range(40))
    often += " } fragment N on FuelRequest { id status litres requester { id username } decidedBy { id username } }"
    assert (await documents.prepare(once))[0].errors == ()
    assert (await documents.prepare(often))[0].errors


async def test_a_connection_whose_entries_are_in_a_fragment_counts_as_one() -> None:
    fields = "{ id status litres note createdAt updatedAt requester { id username } decidedBy { id username } }"
    body = " ".join(f"a{i}: fuelRequests {{ ...C }}" for i in range(100))
    text = f"{{ {body} }} fragment C on FuelRequestConnection {{ nodes {fields} }}"
    inline = "{ " + " ".join(f"a{i}: fuelRequests {{ nodes {{ ...N }} }}" for i in range(100)) + " }"
    inline += f" fragment N on FuelRequest {fields}"
    documents = Documents(SCHEMA._schema)
    assert (await documents.prepare(inline))[0].errors
    assert (await documents.prepare(text))[0].errors


async def test_remembered_documents_are_bounded_by_their_length_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand long ones, with what is known of them, would be two gigabytes."""
    monkeypatch.setattr(gql_app.execution.documents, "CACHED_CHARACTERS", 1_000)
    remembering = Documents(SCHEMA._schema)
    texts = [f"{{ {' '.join(f'a{n}{i}: __typename' for i in range(9))} }}" for n in range(30)]
    latest = [(await remembering.prepare(text))[0] for text in texts for _ in range(2)][-1]
    assert (await remembering.prepare(texts[-1]))[0] is latest
    assert len(remembering._cache) == 1_000 // max(map(len, texts))
    assert remembering._characters == sum(map(len, remembering._cache)) <= 1_000


async def test_what_comes_once_is_not_kept_and_what_runs_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gql_app.execution.documents, "SEEN", 100)
    found = Documents(SCHEMA._schema)
    for number in range(1_000):
        await found.prepare(f"{{ a{number}: __typename }}")
    assert (len(found._cache), len(found._running), len(found._seen)) == (0, 0, 100)
    text = "{ b: __typename }"
    first, points = await found.prepare(text)
    assert points > 0
    assert (await found.prepare(text)) == (first, 0.0)  # it runs still
    del first
    assert text in found._cache


async def test_a_document_that_is_not_kept_leaves_nothing_behind() -> None:
    """Not even until the garbage collector comes: a flood of them took 60 MB in the meantime."""
    found = Documents(SCHEMA._schema)
    await found.prepare("{ a: __typename }")
    gc.collect()
    gc.disable()
    try:
        before = sum(isinstance(each, Token) for each in gc.get_objects())
        for number in range(20):
            await found.prepare(f"{{ a{number}: __typename " + "b: __typename " * 200 + "}")  # too many alike: refused
        assert sum(isinstance(each, Token) for each in gc.get_objects()) == before
    finally:
        gc.enable()
