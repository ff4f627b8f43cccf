"""Resolvers are called directly only where nothing of an author's is passed over: the answers are Strawberry's own."""

import json
from functools import partial
from typing import Annotated, Any, cast

import pytest
import strawberry
from strawberry.directive import DirectiveLocation
from strawberry.extensions import SchemaExtension
from strawberry.schema.config import StrawberryConfig

from gql_app.errors import ConfigurationError
from gql_app.execution.direct import PLAIN, resolve_directly
from gql_app.execution.engine import Engine, GraphQLRequest, Operation
from tests.execution.peculiar import SAID, Bicycle, Car, Cat, Dog, MyInfo, Owner, People, Person


async def answered(query: type, text: str, *, fast: bool, **options: Any) -> Any:
    schema = strawberry.Schema(query, **options)
    if fast:
        resolve_directly(schema)
    engine = Engine(schema, fast=fast)
    operation = await engine.prepare(GraphQLRequest(text))
    assert isinstance(operation, Operation), operation
    found = json.loads((await engine.run(operation, cast(Any, "context"))).body)
    for error in found.get("errors", ()):
        error["extensions"].pop("errorId", None)
    return found


async def both_ways(query: type, text: str, **options: Any) -> Any:
    """The answer: the same by plans with resolvers called directly, and all of it Strawberry's and graphql-core's."""
    stock = await answered(query, text, fast=False, **options)
    assert await answered(query, text, fast=True, **options) == stock
    return stock


@pytest.mark.parametrize("field", SAID)
async def test_a_resolver_of_any_form_is_called_as_strawberry_calls_it(field: str) -> None:
    found = await both_ways(People, f"{{ person {{ {field} }} }}")
    assert found == {"data": {"person": {field: SAID[field]}}}


async def test_a_default_resolver_of_the_schemas_own_is_asked() -> None:
    config = StrawberryConfig(default_resolver=lambda source, name: f"{name} by default")
    found = await both_ways(People, "{ person { name } }", config=config)
    assert found == {"data": {"person": {"name": "name by default"}}}


async def test_resolvers_are_handed_the_schemas_own_info() -> None:
    @strawberry.type
    class Query:
        @strawberry.field
        def tone(self, info: MyInfo) -> str:
            return info.tone

    found = await both_ways(Query, "{ tone }", config=StrawberryConfig(info_class=MyInfo))
    assert found == {"data": {"tone": "tone of context"}}


@strawberry.type
class Refused:
    why: str


class Refusing(strawberry.ExceptionHandler[ValueError, Refused]):
    def handle(self, exception: ValueError, *, field: Any, info: Any) -> Refused:
        return Refused(why=str(exception))


async def test_handlers_of_exceptions_are_asked() -> None:
    @strawberry.type
    class Query:
        @strawberry.field
        def person(self) -> Annotated[Person | Refused, strawberry.union("PersonOrRefused")]:
            raise ValueError("nobody")

    text = "{ person { ... on Refused { why } } }"
    assert await both_ways(Query, text, exception_handlers=[Refusing()]) == {"data": {"person": {"why": "nobody"}}}


@pytest.mark.parametrize("field", ["pets", "dogs", "cats", "argued", "awaited", "vehicles", "crates", "boxed"])
async def test_the_type_of_an_object_is_found_as_strawberry_finds_it(field: str) -> None:
    below = {"vehicles": "wheels", "crates": "inside", "boxed": "label"}.get(field, "name")
    found = await both_ways(Owner, f"{{ {field} {{ __typename {below} }} }}", types=[Cat, Dog, Bicycle, Car])
    assert ("errors" in found) == (field in ("pets", "dogs", "cats", "argued")), found


async def test_what_an_author_says_of_a_type_decides() -> None:
    """Said in full, so that both ways cannot be wrong alike."""
    found = await both_ways(Owner, "{ vehicles { __typename } cats { name } }", types=[Bicycle, Car])
    assert found["data"] == {
        "vehicles": [{"__typename": kind} for kind in ("Bicycle", "Car", "Bicycle", "Car")],
        "cats": [{"name": "pet"}, None, {"name": "none"}],
    }
    assert [error["path"] for error in found["errors"]] == [["cats", 1]]


def test_what_is_fully_understood_is_shortened() -> None:
    """Otherwise all of the above would hold of a schema in which nothing is."""
    schema = strawberry.Schema(People)
    resolve_directly(schema)
    fields = cast(Any, schema._schema.type_map["Person"]).fields
    assert PLAIN in fields["name"].extensions
    assert PLAIN in cast(Any, schema._schema.query_type).fields["person"].extensions
    assert [name for name in SAID if PLAIN in fields[name].extensions] == []


class Timing(SchemaExtension):
    pass


@strawberry.directive(locations=[DirectiveLocation.FIELD])
def shout(value: str) -> str:
    return value.upper()


@pytest.mark.parametrize(
    "options", [{"extensions": [Timing]}, {"extensions": [partial(Timing)]}, {"directives": [shout]}]
)
def test_a_schema_with_extensions_that_would_not_be_called_is_refused(options: Any) -> None:
    with pytest.raises(ConfigurationError, match="that would never be called"):
        Engine(strawberry.Schema(People, **options))
