"""Errors keep their reason, and lose the values that were sent."""

import pytest
from graphql import GraphQLError

from gql_app.execution.answers import present
from gql_app.testing.client import Client

SECRET = "correct-horse 'battery' \"staple\""
SUBMIT = "mutation ($i: SubmitFuelRequestInput!) { submitFuelRequest(input: $i) { errors { code } } }"
PAGE = "query ($n: Int) { fuelRequests(first: $n) { nodes { id } } }"
DECIDE = "mutation ($i: DecideFuelRequestInput!) { decideFuelRequest(input: $i) { errors { code } } }"


@pytest.mark.parametrize(
    ("query", "variables", "said"),
    [
        ("query ($i: ID!) { fuelRequest(id: $i) { id } }", {}, "Variable '$i' … non-null type 'ID!' to be provided"),
        ("query ($i: ID!) { fuelRequest(id: $i) { id } }", {"i": None}, "Variable '$i' … 'ID!' not to be None"),
        (SUBMIT, {"i": {"liters": "5"}}, "unknown field 'liters'"),
        (SUBMIT, {"i": {}}, "required field 'litres'"),
        (SUBMIT, {"i": "x"}, "type 'SubmitFuelRequestInput' to be an object"),
        (
            SUBMIT,
            {"i": {"litres": "x"}},
            "Variable '$i' … at .litres: Value cannot represent a Decimal",
        ),
        (DECIDE, {"i": {"id": "x", "status": "OK"}}, "Value 'OK' does not exist in 'FuelRequestStatus' enum"),
        (
            "query ($n: Int) { fuelRequests(first: $n) { nodes { id } } }",
            {"n": "1"},
            "Int cannot represent non-integer value",
        ),
        ("{ viewer { username }", {}, "Expected Name, found <EOF>"),
        ("{ viewer { username } } }", {}, "Unexpected '}'"),
        ("{ viewer(x: 1) { id } }", {}, "Unknown argument 'x' on field 'Query.viewer'"),
    ],
)
async def test_a_refusal_says_what_is_wrong(
    anybody: Client, query: str, variables: dict[str, object], said: str
) -> None:
    errors = (await anybody.send(query, **variables))["errors"]
    assert any(all(part in error["message"] for part in said.split(" … ")) for error in errors), errors
    assert all(error["extensions"]["retryable"] is False for error in errors)


@pytest.mark.parametrize(
    "message",
    [
        f"Expected value of type 'X' not to include unknown field '{SECRET}', found: {{}}.",
        f"Variable '$i' has invalid value at .a: String cannot represent a non string value: {{'{SECRET}'}}",
        f"Expected value of type 'X', but encountered error 'no: {SECRET}'; found: {SECRET}.",
        f"Value '{SECRET}' does not exist in 'X' enum.",
        f"Enum 'X' cannot represent non-enum value: {SECRET}.",
        f"Syntax Error: Expected Name, found String '{SECRET}'.",
        f"Syntax Error: Unexpected BlockString '{SECRET}'.",
        f"A scalar of somebody else's: {SECRET}",
        f"Value cannot represent a Decimal: '{SECRET}'. {SECRET}",
    ],
)
def test_no_value_is_told(message: str) -> None:
    assert "correct-horse" not in present(GraphQLError(message))["message"]
