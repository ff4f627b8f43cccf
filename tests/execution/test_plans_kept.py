"""Plans are kept with their document: they serve whoever executes it next, and hold nothing of who did."""

import asyncio
import gc
import json
import weakref
from typing import Any, cast

import pytest
import strawberry
from strawberry.types import Info

from gql_app.execution import plans
from gql_app.execution.direct import resolve_directly
from gql_app.execution.engine import Engine, GraphQLRequest, Operation
from tests.execution.executing import executor, performed, prepare
from tests.execution.nasty import Bag, Box, Later, Query, Raised, made
from tests.fast import about_a_short_cut

pytestmark = about_a_short_cut("plans")

GREETED = "query ($name: String!) { person(name: $name) { name greeting late other { greeting late } } }"
CONDITIONAL = [
    "query ($yes: Boolean!) { __typename readBox @if { lid } readThings { name } }",
    "query ($yes: Boolean!) { readBox { name lid @if readBox { name } } }",
    "query ($yes: Boolean!) { readBox { name ... @if { lid readBox { __typename } } } readThings { name } }",
    "query ($yes: Boolean!) { readThings { name ... on Box @if { lid readBox { name } } } }",
    "query ($yes: Boolean!) { readThings { ...Part } } fragment Part on Thing { name ... on Box { lid @if } }",
    "query ($yes: Boolean!) { readBox { ...Part @if name } } fragment Part on Box { lid readBox { name } }",
    "query ($yes: Boolean!) { readBox { readBox { name } readBox @if { __typename } } }",
]


@strawberry.type
class Person:
    name: str

    @strawberry.field
    def greeting(self, info: Info[Any, Any]) -> str:
        return f"{info.context} greets {self.name}"

    @strawberry.field
    async def late(self, info: Info[Any, Any]) -> str:
        await asyncio.sleep(0)
        return f"{info.context} greets {self.name} ({info.variable_values})"

    @strawberry.field
    async def other(self, info: Info[Any, Any]) -> "Person":
        await asyncio.sleep(0)
        return Person(name=f"{self.name} of {info.context}")


@strawberry.type(name="Query")
class People:
    @strawberry.field
    async def person(self, name: str) -> Person:
        await asyncio.sleep(0)
        return Person(name=name)


@pytest.fixture
def engine() -> Engine:
    schema = strawberry.Schema(People)
    resolve_directly(schema)
    return Engine(schema)


async def run(engine: Engine, query: str, context: str, name: str | None = None, variables: Any = None) -> Any:
    operation = await engine.prepare(GraphQLRequest(query, variables, name))
    assert isinstance(operation, Operation)
    return json.loads((await engine.run(operation, cast(Any, context))).body)


def greetings(context: str, name: str) -> dict[str, Any]:
    def of(whom: str) -> dict[str, Any]:
        return {"greeting": f"{context} greets {whom}", "late": f"{context} greets {whom} ({{'name': '{name}'}})"}

    return {"data": {"person": {"name": name, **of(name), "other": of(f"{name} of {context}")}}}


async def test_executions_of_a_document_at_the_same_time_do_not_mix(engine: Engine) -> None:
    pairs = [(f"c{index}", f"n{index}") for index in range(50)]
    found = await asyncio.gather(*(run(engine, GREETED, context, variables={"name": name}) for context, name in pairs))
    assert found == [greetings(context, name) for context, name in pairs]


async def test_operations_of_a_document_have_plans_of_their_own(engine: Engine) -> None:
    text = 'query A { person(name: "a") { name } } query B { person(name: "b") { greeting } }'
    a, b = {"data": {"person": {"name": "a"}}}, {"data": {"person": {"greeting": "c greets b"}}}
    assert [await run(engine, text, "c", name) for name in "ABAB"] == [a, b, a, b]


async def test_fields_are_selected_by_the_variables_of_each_execution(engine: Engine) -> None:
    text = 'query ($is: Boolean!) { person(name: "a") { ...A @skip(if: $is) greeting @include(if: $is) } }'
    text += " fragment A on Person { name }"
    yes, no = {"data": {"person": {"greeting": "c greets a"}}}, {"data": {"person": {"name": "a"}}}

    async def said(value: bool) -> Any:
        return await run(engine, text, "c", variables={"is": value})

    assert [await said(value) for value in (True, False, True)] == [yes, no, yes]
    assert list(await asyncio.gather(said(True), said(False))) == [yes, no]


@pytest.mark.parametrize("condition", ["@include(if: $yes)", "@skip(if: $yes)"])
@pytest.mark.parametrize("text", CONDITIONAL)
async def test_a_condition_anywhere_holds_for_each_execution(text: str, condition: str) -> None:
    prepared = await prepare(text.replace("@if", condition))
    operation = prepared.operation(None)
    root = made(Query, read_box=made(Box, read_box=made(Bag)), read_things=[made(Box), made(Bag)])
    for yes in (True, False, True, False):
        variables = {"yes": yes}
        expected = await performed(prepared, None, root, raw_variable_values=variables)
        assert expected == await performed(prepared, prepared.plans(operation), root, raw_variable_values=variables)


async def test_the_next_execution_finds_the_plans_of_the_last() -> None:
    """Otherwise they would cost more than they save."""
    prepared = await prepare("query A { readBox { name } } query B { readBox { name } }")
    a, b = prepared.operation("A"), prepared.operation("B")
    assert prepared.plans(a) is prepared.plans(a)
    assert prepared.plans(a) is not prepared.plans(b)


async def test_what_was_executed_is_let_go_of() -> None:
    prepared = await prepare(
        "query ($n: Int!) { readBox { name arguedText(times: $n) informedThings { lid: __typename } } }"
    )
    plans = prepared.plans(prepared.operation(None))
    root, box = made(Query), made(Box, informed_things=[made(Box)])
    vars(root)["given"]["read_box"] = box
    execution = executor(prepared, plans, root, raw_variable_values={"n": 1})
    assert execution.execute_operation().data["readBox"]["informedThings"]
    watched = [weakref.ref(each) for each in (root, box, execution)]
    del root, box, execution
    gc.collect()
    assert [each() for each in watched] == [None] * 3


def event(number: int) -> Any:
    """Every third fails in one way, every third in another."""
    fails = Raised(lambda: ValueError(f"event {number}"))
    parts = [made(Box, awaited_must=str(number)), made(Bag, awaited_must=Later(fails if number % 3 == 2 else "late"))]
    return made(Box, f"event {number}", read_text=fails if number % 3 == 1 else f"{number}", informed_things=parts)


EVENTS = "subscription { things { __typename readText informedThings { name awaitedMust ... on Box { lid } } } }"


async def test_a_subscription_does_not_grow_by_its_events() -> None:
    prepared = await prepare(EVENTS)
    execution = executor(prepared, prepared.plans(prepared.operation(None)), None)

    async def size_after(events: int) -> int:
        for number in range(events):
            await execution.build_per_event_executor(event(number)).execute_operation(False)
        gc.collect()
        return len(gc.get_objects())

    before = await size_after(9)
    assert await size_after(1_000) - before < 100  # one list more per event would be 1,000


async def test_the_errors_of_an_event_are_not_those_of_the_next() -> None:
    prepared = await prepare(EVENTS)
    ours, theirs = (executor(prepared, kept, None) for kept in (prepared.plans(prepared.operation(None)), None))
    told = []
    for number in range(9):
        expected, found = [
            await each.build_per_event_executor(event(number)).execute_operation(False) for each in (theirs, ours)
        ]
        assert found.formatted == expected.formatted
        told.append([error["message"] for error in found.formatted.get("errors", [])])
    assert told == [[f"event {number}"] if number % 3 else [] for number in range(9)]


async def test_a_selection_with_many_ways_is_planned_anew_and_answered_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans grow with the types on each way; only so many fields are kept, also while they are followed."""
    monkeypatch.setattr(plans, "LEAST_FIELDS", 3)
    monkeypatch.setattr(plans, "CHARACTERS_PER_FIELD", 1_000)
    deep = "readThings { name informedThings { lid: name ... on Box { readThings { name __typename } } } }"
    prepared = await prepare(f"{{ readBox {{ a: readBox {{ {deep} }} {deep} }} }}")
    things = [made(Box, "thing", read_things=[made(Bag), made(Box)]), made(Bag)]
    box = made(Box, read_things=[made(Box, informed_things=things), made(Bag, informed_things=things)])
    root = made(Query, read_box=made(Box, read_box=box, read_things=things))
    kept = prepared.plans(prepared.operation(None))
    expected = await performed(prepared, None, root)
    for _ in range(3):
        assert await performed(prepared, kept, root) == expected
        assert sum(len(plan) for _, plan in kept._plans.values()) <= 3
