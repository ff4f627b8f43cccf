"""`gql-app capture` beside a service that runs: what others write reaches those who watch."""

from uuid import UUID

import pytest

from gql_app.api.ids import decode_id
from gql_app.db import Database
from gql_app.testing.client import Client
from gql_app.testing.server import Running
from tests.commands.conftest import Run
from tests.outside.conftest import Outsider
from tests.people import People, submit

STATUS = """subscription { fuelRequestStatusChanged {
    previousStatus status fuelRequest { note requester { username } } } }"""
SIGHT = "subscription { visibilityChanged { kind entityType } }"

pytestmark = pytest.mark.unwitnessed("the witness takes every write for the service's own")


async def test_what_another_program_writes_reaches_those_who_watch(
    server: Running, people: People, run: Run, db: Database
) -> None:
    outsider = Outsider(db)
    assert (await run("capture", "status")).succeeded() == "Writes from outside do not reach the change log.\n"
    assert "from now on" in (await run("capture", "install")).succeeded()
    request = await submit(people.ada)
    where = f"WHERE public_id = {outsider.id(_uuid(request))}"
    async with people.ada.subscribed(STATUS) as stream, people.linus.subscribed(SIGHT) as sight:
        await outsider.run(f"UPDATE fuel_requests SET status = 'APPROVED' {where}")
        event = await stream.next()
        assert (event["previousStatus"], event["status"]) == ("PENDING", "APPROVED")
        assert event["fuelRequest"]["requester"] == {"username": "ada"}
        await outsider.run(
            f"UPDATE fuel_requests SET requester_id = (SELECT id FROM users WHERE username = 'linus') {where}"
        )
        assert await sight.next() == {"kind": "CAME", "entityType": "FuelRequest"}
    assert (await _messages(people.ada)) == 1  # her welcome: no rule has run
    assert (await run("check")).succeeded() == "All is well.\n"
    assert (await run("capture", "status")).succeeded() == "Writes from outside reach the change log.\n"
    assert "any more" in (await run("capture", "remove")).succeeded()
    assert (await run("capture", "status")).succeeded() == "Writes from outside do not reach the change log.\n"


async def _messages(client: Client) -> int:
    return len((await client.data("{ deliveries { nodes { id } } }"))["nodes"])


def _uuid(global_id: str) -> UUID:
    found = decode_id(global_id)
    assert found is not None
    return found[1]
