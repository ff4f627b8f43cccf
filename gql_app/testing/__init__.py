"""For the tests of verticals (`pip install gql-app[testing]`).

server        an application behind a real socket
client        talks GraphQL to it: over HTTP, and over graphql-transport-ws with subscriptions
descriptions  which parts of a schema say nothing about themselves

    async def test_a_boat_is_registered(tmp_path):
        settings = Settings(database_url=Secret(f"sqlite+aiosqlite:///{tmp_path}/test.db"))
        async with serving(settings, ALL) as server:
            ada = Client(server.url, token)
            boat = await ada.data("mutation { registerBoat(input: {name: \"Fram\"}) { boat { id } } }")
"""

from gql_app.testing.client import Client, Socket, Subscribed
from gql_app.testing.descriptions import undescribed
from gql_app.testing.server import Running, serving

__all__ = ["Client", "Running", "Socket", "Subscribed", "serving", "undescribed"]
