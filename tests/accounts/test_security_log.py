"""What those who watch over the service look for is written down, and nothing secret with it."""

import json
import logging
from typing import Any

import pytest

from gql_app.testing.client import Client
from gql_app.testing.server import Running
from tests.people import PASSWORD, People

LOG_IN = """mutation ($name: String!, $password: String!) {
    logIn(input: {username: $name, password: $password}) { session { token } errors { code } } }"""


def told(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [json.loads(each.getMessage()) for each in caplog.records if each.name == "gql_app.security"]


async def test_sign_ins_and_what_admins_do_are_written_down(
    server: Running, people: People, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="gql_app.security")
    anybody = Client(server.url)
    assert (await anybody.data(LOG_IN, name="ada", password=PASSWORD))["errors"] == []
    await anybody.data(LOG_IN, name="ada", password="not-her-password")
    await anybody.data(LOG_IN, name="my-secret-password", password="x")  # typed into the wrong field
    ada = await people.root.data("{ users(first: 9) { nodes { id username } } }")
    ids = {each["username"]: each["id"] for each in ada["nodes"]}
    role = "mutation ($id: ID!) { setRole(input: {userId: $id, role: APPROVER}) { errors { code } } }"
    await people.root.data(role, id=ids["ada"])
    await people.root.data("{ deliveries(first: 1) { nodes { id } } }")
    await people.ada.data("{ deliveries(first: 1) { nodes { id } } }")  # her own
    found = told(caplog)
    assert [each["event"] for each in found] == [
        "signed_in",
        "sign_in_failed",
        "sign_in_failed",
        "role_changed",
        "messages_read_by_admin",
    ]
    assert found[0]["user"] == found[1]["user"] == found[3]["user"]
    assert "user" not in found[2]
    assert (found[3]["role"], found[3]["by"]) == ("APPROVER", found[4]["by"])
    assert {each["address"] for each in found} == {"127.0.0.1"}
    for secret in (PASSWORD, "not-her-password", "my-secret-password"):
        assert secret not in caplog.text


async def test_a_reached_limit_is_written_down(
    server: Running, people: People, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="gql_app.security")
    for _ in range(11):
        await Client(server.url).data(LOG_IN, name="linus", password="wrong")
    last = told(caplog)[-1]
    assert last == {"event": "rate_limited", "address": "127.0.0.1", "limit": "sign_in"}
