"""An event that this version cannot read costs itself, and not its stream."""

import pytest
from sqlalchemy import text

from gql_app.testing.server import Running
from tests.people import People, decide, submit
from tests.transport.wire import SSE, streaming

WATCH = """subscription ($after: String) {
    fuelRequestStatusChanged(after: $after) { cursor previousStatus status fuelRequest { id } } }"""


@pytest.mark.unwitnessed("writes a value of another version into the log")
async def test_a_value_of_another_version_is_an_error_of_its_event(server: Running, people: People) -> None:
    first, second = await submit(people.ada), await submit(people.ada)
    await decide(people.grace, first)
    await decide(people.grace, second)
    async with people.ada.subscribed(WATCH, after="0") as stream:
        seen = await stream.take(4)
    async with server.app.db.writing() as connection:
        position = int(seen[2]["cursor"])
        await connection.execute(text(f"UPDATE change_events SET new_value = 'ESCALATED' WHERE position = {position}"))
    another = WATCH.replace("id }", "id note }")  # answers to the same question are kept for a moment
    async with streaming(people.ada, another, SSE, {"after": seen[1]["cursor"]}) as wire:
        unreadable = await wire.event()
        assert unreadable["id"] == seen[2]["cursor"]
        assert '"UNDECODABLE"' in unreadable["data"]
        assert (await wire.value())["cursor"] == seen[3]["cursor"]
    audit = "subscription ($after: String) { changes(after: $after) { newValue } }"
    async with people.ada.subscribed(audit, after=seen[1]["cursor"]) as stream:
        assert len(await stream.take(2)) == 2
