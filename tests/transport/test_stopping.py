"""Stopping while a client that reads nothing has already said goodbye."""

import asyncio

from gql_app.settings import Settings
from gql_app.testing.server import serving
from tests.execution.notes import add_notes, stalled
from tests.people import People


async def test_a_stop_is_clean_while_a_client_that_reads_nothing_has_said_goodbye(settings: Settings) -> None:
    """Its connection is closing and cannot be told of the stop; this must not break off the stop of the others."""
    service = serving(settings)
    running = await service.__aenter__()
    people = await People.sign_in(running)
    async with stalled(running.url, people.root.token) as slow:
        for _ in range(40):
            await running.app.db.write(add_notes, [20_000] * 10)
        slow.transport.pause_reading()
        slow.protocol.send_close(1000, "")
        slow.transport.write(b"".join(slow.protocol.data_to_send()))
        await asyncio.sleep(0.3)
        try:
            async with asyncio.timeout(30):
                await service.__aexit__(None, None, None)
        finally:
            slow.transport.abort()
