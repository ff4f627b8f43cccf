"""For the tests of verticals (`pip install gql-app[testing]`).

server        an application behind a real socket
client        talks GraphQL to it: over HTTP, and over graphql-transport-ws with subscriptions
databases     a database of a test's own, on SQLite or PostgreSQL
looks         the messages that are owed, what `gql-app check` finds, and what was written past the log
descriptions  which parts of a schema say nothing about themselves

    async def test_a_boat_is_registered(tmp_path):
        async with empty_database(tmp_path) as url, serving(Settings(database_url=Secret(url)), ALL) as server:
            ada = Client(server.url, token)
            boat = await ada.data("mutation { registerBoat(input: {name: \"Fram\"}) { boat { id } } }")
            assert [each.body for each in await messages(server.app)] == ["Fram is registered."]
            assert await findings(server.app) == []
"""

from gql_app.testing.client import Client, Socket, Subscribed
from gql_app.testing.databases import empty_database
from gql_app.testing.descriptions import undescribed
from gql_app.testing.looks import Message, Witness, findings, messages, witness
from gql_app.testing.server import Running, serving

__all__ = [
    "Client",
    "Message",
    "Running",
    "Socket",
    "Subscribed",
    "Witness",
    "empty_database",
    "findings",
    "messages",
    "serving",
    "undescribed",
    "witness",
]
