"""A GraphQL client as a frontend would have it: HTTP by httpx, graphql-transport-ws by websockets."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import websockets

PATIENCE = 10.0
"""Seconds after which something that should have come counts as missing."""


class Client:
    """Talks to one server, as somebody or (without a token) as nobody."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self.url = url
        self.token = token

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    async def send(self, query: str, **variables: Any) -> Any:
        """The whole response of a query or mutation, errors too."""
        # No check of certificates: to read them takes longer than most requests of a test.
        async with httpx.AsyncClient(timeout=PATIENCE, verify=False) as http:  # noqa: S501
            body = {"query": query, "variables": variables}
            response = await http.post(self.url + "/graphql", json=body, headers=self.headers)
        assert response.status_code == 200, response.text
        return response.json()

    async def data(self, query: str, **variables: Any) -> Any:
        """The value of the only field of the data; there must be no errors."""
        response = await self.send(query, **variables)
        assert "errors" not in response, response["errors"]
        (value,) = response["data"].values()
        return value

    async def error(self, query: str, **variables: Any) -> str:
        """The code of the only error."""
        response = await self.send(query, **variables)
        (error,) = response["errors"]
        return str(error["extensions"]["code"])

    @contextlib.asynccontextmanager
    async def socket(self, **payload: Any) -> AsyncIterator["Socket"]:
        """A WebSocket that has been acknowledged."""
        url = self.url.replace("http", "ws", 1) + "/graphql"
        protocol = [websockets.Subprotocol("graphql-transport-ws")]
        async with websockets.connect(url, subprotocols=protocol, proxy=None) as connection:
            socket = Socket(connection)
            await socket.send({"type": "connection_init", "payload": {**self.headers, **payload}})
            acknowledged = await socket.receive()
            assert acknowledged["type"] == "connection_ack"
            socket.position = acknowledged["payload"]["position"]
            yield socket

    @contextlib.asynccontextmanager
    async def subscribed(self, query: str, **variables: Any) -> AsyncIterator["Subscribed"]:
        """A running subscription on a socket of its own."""
        async with self.socket() as socket:
            yield await socket.subscribe(query, **variables)


class Socket:
    """An open graphql-transport-ws connection."""

    def __init__(self, connection: websockets.ClientConnection) -> None:
        self.connection = connection
        self.position = ""
        """The cursor up to which the server has told everything, as it said last."""
        self._ids = itertools.count(1)

    async def send(self, message: Any) -> None:
        await self.connection.send(message if isinstance(message, str | bytes) else json.dumps(message))

    async def receive(self) -> Any:
        """The next message; a ping of the server's is answered and passed over."""
        async with asyncio.timeout(PATIENCE):
            while (message := json.loads(await self.connection.recv()))["type"] == "ping":
                self.position = message["payload"]["position"]
                await self.send({"type": "pong"})
            return message

    async def closed(self) -> int | None:
        """The close code; what comes before it is passed over."""
        async with asyncio.timeout(PATIENCE):
            with contextlib.suppress(websockets.ConnectionClosed):
                while True:
                    await self.connection.recv()
        return self.connection.close_code

    async def subscribe(self, query: str, **variables: Any) -> "Subscribed":
        """Begin an operation; returns when the server has taken note of it."""
        operation_id = str(next(self._ids))
        payload = {"query": query, "variables": variables}
        await self.send({"type": "subscribe", "id": operation_id, "payload": payload})
        await self.send({"type": "ping"})
        subscribed = Subscribed(self, operation_id)
        while (message := await self.receive())["type"] != "pong":
            subscribed.early.append(message)
        return subscribed


class Subscribed:
    """One operation on a socket."""

    def __init__(self, socket: Socket, operation_id: str) -> None:
        self.socket = socket
        self.id = operation_id
        self.early: list[Any] = []

    async def message(self) -> Any:
        """The next message of this operation."""
        return self.early.pop(0) if self.early else await self.socket.receive()

    async def next(self) -> Any:
        """The value of the only field of the next event."""
        message = await self.message()
        assert message["type"] == "next", message
        assert "errors" not in message["payload"], message
        (value,) = message["payload"]["data"].values()
        return value

    async def take(self, count: int) -> list[Any]:
        return [await self.next() for _ in range(count)]

    async def error(self) -> str:
        """The code of the error that ends the operation; events before it are passed over."""
        while (message := await self.message())["type"] == "next":
            pass
        assert message["type"] == "error", message
        return str(message["payload"][0]["extensions"]["code"])
