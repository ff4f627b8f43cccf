"""What operators see of the queue."""

import httpx
import pytest

from gql_app.deliveries.models import BUILT_IN, Channel, DeliveryState
from gql_app.testing.server import Running
from tests.deliveries.room import Room


async def scraped(server: Running) -> dict[str, float]:
    async with httpx.AsyncClient() as http:
        text = (await http.get(server.url + "/metrics")).text
    lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


@pytest.mark.parametrize("channel", BUILT_IN)
@pytest.mark.check_finds("unexplained", reason="begins with a state that no attempt led to")
async def test_what_was_given_up_is_counted_what_was_sent_is_not(server: Running, channel: Channel) -> None:
    room = Room(server.app.db)
    await room.owe_many(3, channel, state=DeliveryState.DEAD, due_at=None)
    await room.owe_many(2, channel, state=DeliveryState.SENT, due_at=None)
    found = await scraped(server)
    assert found[f'gql_app_deliveries{{channel="{channel.name}",state="DEAD"}}'] == 3
    assert not [name for name in found if name.startswith("gql_app_deliveries{") and "DEAD" not in name]


async def test_what_is_known_without_the_database_is_told_while_it_is_away(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*args: object) -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr(server.app.db, "read", away)
    assert "gql_app_watches" in await scraped(server)
