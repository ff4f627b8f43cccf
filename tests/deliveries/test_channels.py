"""One more way for messages, brought by a vertical: no line of the engine knows it."""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy.orm import Session

from gql_app import Channel, Outgoing, Owed, Receipt, TransientFailure, Vertical, on_change
from gql_app.application import Application
from gql_app.commands.maintenance import settle
from gql_app.deliveries.models import Delivery, DeliveryState
from gql_app.demo.fuel_requests.models import FuelRequest
from gql_app.demo.verticals import DEMO
from gql_app.errors import ConfigurationError
from gql_app.reconcile import reconcile
from gql_app.settings import Settings
from gql_app.testing import serving
from tests.people import People
from tests.things import rows_of

PATIENCE = 20
PIGEON = Channel("PIGEON")


class Loft:
    """Pigeons: the first one gets lost."""

    channel = PIGEON
    concurrency = 1
    resend_is_safe = True

    def __init__(self) -> None:
        self.flown: list[tuple[str, str]] = []
        self.lost = 0

    async def send(self, message: Outgoing) -> Receipt:
        if not self.lost:
            self.lost += 1
            raise TransientFailure("it was eaten", "HAWK", retry_after=0)
        self.flown.append((message.recipient, message.body))
        return Receipt(f"ring {len(self.flown)}")

    async def find(self, message: Outgoing, since: datetime) -> Sequence[Receipt]:
        return ()

    async def close(self) -> None:
        pass


@on_change(FuelRequest.note, propagate=True)
def tell_by_pigeon(change: Any) -> Iterator[Owed]:
    where = None if change.new == "nowhere" else "the north tower"
    yield Owed(PIGEON, change.subject.requester_id, where, f"note: {change.new}")


async def finished(app: Any, count: int) -> list[Delivery]:
    """The pigeons' messages, when so many have ended."""
    async with asyncio.timeout(PATIENCE):
        while True:
            found = [row for row in await rows_of(app.db, Delivery) if row.channel == PIGEON and row.due_at is None]
            if len(found) >= count:
                return found
            await asyncio.sleep(0.02)


@pytest.mark.check_finds("stuck", reason="the check after each test knows no application")
async def test_a_message_goes_by_a_channel_of_a_vertical(settings: Settings) -> None:
    loft = Loft()
    pigeons = Vertical("pigeons", channels={"PIGEON": lambda settings: loft}, rules=(tell_by_pigeon,))
    async with serving(settings, [*DEMO, pigeons]) as server:
        people = await People.sign_in(server)
        submit = 'mutation { submitFuelRequest(input: {litres: "3"}) { fuelRequest { id } } }'
        await people.ada.data(submit)

        def note(session: Session, text: str) -> None:
            session.query(FuelRequest).one().note = text

        await server.app.db.write(note, "come")
        (sent,) = await finished(server.app, 1)
        assert (sent.state, sent.attempt_count) == (DeliveryState.SENT, 2)  # the first one was eaten
        assert loft.flown == [("the north tower", "note: come")]
        await server.app.db.write(note, "nowhere")
        query = """query ($c: Channel) {
            deliveries(filter: {channel: $c}) { nodes { channel body attempts { errorCode } } } }"""
        shown = (await people.ada.data(query, c="PIGEON"))["nodes"]
        assert [(each["channel"], each["body"]) for each in shown] == [("PIGEON", "note: come")]
        assert shown[0]["attempts"][0]["errorCode"] == "HAWK"
        assert {each["channel"] for each in (await people.ada.data(query, c="EMAIL"))["nodes"]} == {"EMAIL"}
        assert await people.ada.error(query, c="RAVEN") == "BAD_USER_INPUT"
        application = server.app.application
        await settle(server.app.db, application.models)
        assert await server.app.db.read(reconcile, application.models, application.channels) == []
        (odd,) = await server.app.db.read(reconcile, application.models)  # for whom does not know it
        assert "goes by PIGEON" in str(odd)


@pytest.mark.parametrize("name", ["pigeon", "A" * 17, "TWO WORDS", "SMS"])
def test_a_name_that_no_channel_can_have_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot be the name of a channel|Two channels have one name"):
        Application([*DEMO, Vertical("x", channels={name: lambda settings: Loft()})])


def test_the_schema_has_the_channels_of_its_application_and_no_others() -> None:
    one_more = Application([*DEMO, Vertical("x", channels={"PIGEON": lambda settings: Loft()})])
    assert "enum Channel {\n  SMS\n  EMAIL\n  PIGEON\n}" in str(one_more.schema)
    assert "PIGEON" not in str(Application(DEMO).schema)
