"""Plans answer as graphql-core does: the same data and errors, after the same calls, with nothing left behind."""

from random import Random
from typing import Any

import pytest
import strawberry
from graphql import Undefined

from tests.execution.executing import assert_same, performed, prepare
from tests.execution.invented import invented_document, inventing
from tests.execution.nasty import (
    KINDS,
    OBJECTS,
    WAYS,
    Awaited,
    Bag,
    Box,
    Cursed,
    Later,
    Made,
    Mutation,
    Query,
    Raised,
    Shade,
    Thing,
    camel,
    each,
    made,
)
from tests.fast import about_a_short_cut

pytestmark = about_a_short_cut("plans")

FAILS = Raised(lambda: ValueError("failed"))


OUTCOMES: dict[str, Any] = {
    "nothing": None,
    "undefined": Undefined,
    "a text": "text",
    "a number": 7,
    "a shade": Shade.DARK,
    "what a scalar makes nothing of": "nothing",
    "what a scalar makes undefined": "undefined",
    "what a scalar refuses": "refused",
    "an unknown object": Made(object),
    "raised": FAILS,
    "raised later": Later(FAILS),
    "an exception as a value": Made(lambda: ValueError("returned")),
    "an object": made(Box),
    "an object of another type": made(Bag),
    "an object of a type that is nowhere possible": made(Query),
    "an object cast to another type": Made(lambda: strawberry.cast(Bag, made(Box))),
    "an object without a type of its own": made(Thing),
    "an object that is an exception": Made(lambda: made(Cursed)),
    "an object to be awaited": Made(lambda: made(Awaited)),
    "an object of which a part fails": made(Box, awaited_must=Later(FAILS)),
    "an empty list": [],
    "a list": [made(Box), made(Bag), made(Box)],
    "a list of texts": ["a", "b"],
    "a list with nothing in it": [made(Box), None, made(Box)],
    "a list with an exception in it": [made(Box), Made(lambda: ValueError("item")), made(Box)],
    "a list with an object that is an exception": [made(Box), Made(lambda: made(Cursed))],
    "a list with an unknown object": [made(Box), "text", 7],
    "a list of which a part fails": [made(Box, awaited_must="a"), made(Box), made(Box, read_text=FAILS)],
    "a list to be awaited": Later([made(Box, awaited_must="a"), made(Bag, awaited_must="b")]),
    "a list of what is to be awaited": [Later(made(Box), 2), made(Box), Later(made(Bag)), Later(None)],
    "a list of what fails later": [Later(FAILS), Later(made(Box), 3)],
    "a list of lists": [[made(Box)], None, [made(Box), None], [Later(made(Box))], ()],
    "a tuple": (made(Box), "text"),
    "a generator": each(made(Box), "text", made(Bag)),
    "a generator that raises": each(Later(made(Box)), FAILS, Later("text")),
}


@pytest.mark.parametrize("outcome", OUTCOMES)
async def test_a_field_of_any_type_ends_as_with_graphql_core(outcome: str) -> None:
    """Beside others that are still to come when it fails: at once, in a list, and in one that was awaited."""
    parts = "{ __typename ... on Thing { name readText awaitedMust } ... on Box { lid } }"
    for kind in KINDS:
        below = parts if kind in OBJECTS else ""
        for way in WAYS:
            selection = f"... on Box {{ awaitedText found: {camel(way, kind)} {below} askedText readText }}"
            box = made(Box, "box", **{f"{way}_{kind}": OUTCOMES[outcome], "awaited_text": Later("slow", 3)})
            root = made(Query, read_box=box, asked_things_must=Later([box, made(Bag), box]))
            await assert_same(f"{{ readBox {{ {selection} }} askedThingsMust {{ name {selection} }} }}", root)


@pytest.mark.parametrize("seed", range(60))
async def test_any_operation_on_any_data_is_answered_as_by_graphql_core(seed: int) -> None:
    random = Random(seed)
    for _ in range(3):
        text = invented_document(random)
        root = made(Mutation if text.startswith("mutation") else Query, "", inventing(random.random()))
        for yes in (True, False):
            await assert_same(text, root, yes=yes)


SHAPES: dict[str, tuple[str, Any]] = {
    "aliases": (
        "{ readBox { b: name a: name name c: __typename } }",
        {"readBox": {"b": "thing", "a": "thing", "name": "thing", "c": "Box"}},
    ),
    "selections of the same field": (
        "{ readBox { lid ...A } ...B } fragment A on Box { name informedBox { lid } }"
        " fragment B on Query { readBox { name informedBox { name } ... on Thing { informedBox { t: __typename } } } }",
        {"readBox": {"lid": "lid", "name": "thing", "informedBox": {"lid": "lid", "name": "thing", "t": "Box"}}},
    ),
    "fragments by type": (
        "{ readThings { __typename ... on Box { lid } ... on Bag { strap } ... on Thing { name } } }",
        {
            "readThings": [
                {"__typename": "Box", "lid": "lid", "name": "thing"},
                {"__typename": "Bag", "strap": "strap", "name": "thing"},
                None,
            ]
        },
    ),
    "unions": (
        "{ readEithers { ... on Box { lid readEither { __typename } } ... on Bag { strap } } }",
        {"readEithers": [{"lid": "lid", "readEither": {"__typename": "Bag"}}, {"strap": "strap"}]},
    ),
    "arguments": (
        "query ($n: Int = 5) { readBox { a: arguedText(times: 2) b: arguedText(times: $n) arguedBox { lid } } }",
        {"readBox": {"a": "text", "b": "text", "arguedBox": {"lid": "lid"}}},
    ),
    "literal conditions": (
        "{ readBox { lid @skip(if: true) name @include(if: false) readText } }",
        {"readBox": {"readText": "text"}},
    ),
    "what is not permitted": (
        "{ readBox { name permittedText permittedBoxes { lid } } }",
        {"readBox": {"name": "thing", "permittedText": None, "permittedBoxes": None}},
    ),
    "introspection": (
        "{ __schema { queryType { name } types { name kind fields(includeDeprecated: true) { name type { name } } } }"
        ' __type(name: "Thing") { possibleTypes { name } interfaces { name } } }',
        None,
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
async def test_an_operation_of_any_shape_is_answered_as_by_graphql_core(shape: str) -> None:
    text, expected = SHAPES[shape]
    inner = made(Box, informed_box=made(Box), argued_box=made(Box), read_either=made(Bag))
    vars(inner)["given"] |= {"read_text": "text", "argued_text": "text"}
    vars(inner)["given"] |= {"permits": False, "permitted_text": "secret", "permitted_boxes": [made(Box)]}
    root = made(Query, read_box=inner, read_things=[made(Box), made(Bag), None], read_eithers=[inner, made(Bag)])
    found = await assert_same(text, root)
    assert expected is None or found["data"] == expected
    assert bool(found.get("errors")) == (shape == "what is not permitted")


async def test_what_is_null_and_must_not_be_takes_its_object_with_it() -> None:
    """Said in full once, so that two executions cannot be wrong in the same way."""
    things = [made(Box, read_must="a", awaited_must="b"), made(Box, awaited_must="b"), made(Box, read_must="a")]
    root = made(Query, read_box=made(Box, read_things=things))
    found = await assert_same("{ readBox { readThings { readMust awaitedMust } } }", root)
    text = "Cannot return null for non-nullable field Box"
    assert found == {
        "data": {"readBox": {"readThings": [{"readMust": "a", "awaitedMust": "b"}, None, None]}},
        "errors": [
            {
                "message": f"{text}.{name}.",
                "locations": [{"line": 1, "column": column}],
                "path": ["readBox", "readThings", index, name],
            }
            for index, name, column in ((1, "readMust", 26), (2, "awaitedMust", 35))
        ],
    }


async def test_mutations_are_executed_one_after_the_other() -> None:
    box = made(Box, "box", awaited_text=Later("slow", 3))
    root = made(Mutation, "root", awaited_box=Later(box, 2), read_box=box, informed_box=Later(box))
    text = "mutation { awaitedBox { awaitedText } a: readBox { awaitedText } informedBox { lid awaitedText } }"
    await assert_same(text, root)
    prepared = await prepare(text)
    seen = await performed(prepared, prepared.plans(prepared.operation(None)), root)
    assert [call for call in seen["calls"] if call != "came" and " at " not in call] == [
        "root.awaited_box",
        "box.awaited_text",
        "root.read_box",
        "box.awaited_text",
        "root.informed_box",
        "box.awaited_text",
    ]
