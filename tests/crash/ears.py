"""A subscription that is listened to, by whichever way it came."""

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any, Protocol

import websockets

from gql_app.testing.client import Client, Subscribed
from tests.transport.wire import COMPLETE, MULTIPART, SSE, Wire, streaming

WAYS = ("websocket", "sse", "multipart")


class Ear(Protocol):
    """Hears one subscription."""

    async def next(self) -> Any:
        """The value of the only field of the next event."""

    async def end(self) -> str:
        """The code of the error that ends it, once it has ended as its protocol says; events are passed over."""


@contextlib.asynccontextmanager
async def listening(way: str, client: Client, query: str, **variables: Any) -> AsyncIterator[Ear]:
    """Runs when the server has taken note of the subscription: what is committed from then on is in it."""
    if way == "websocket":
        async with client.subscribed(query, **variables) as subscribed:
            yield _WebSocket(subscribed)
    elif way == "sse":
        async with streaming(client, query, SSE, variables) as wire:
            yield _Events(wire)
    else:
        async with streaming(client, query, MULTIPART, variables) as wire:
            yield _Parts(wire)


class _WebSocket:
    def __init__(self, subscribed: Subscribed) -> None:
        self._subscribed = subscribed

    async def next(self) -> Any:
        return await self._subscribed.next()

    async def end(self) -> str:
        try:
            code = await self._subscribed.error()
        except websockets.ConnectionClosed as closed:  # after 4403 graphql-ws comes back with a new token
            return closed.rcvd.reason if closed.rcvd is not None and closed.rcvd.code == 4403 else str(closed)
        if code == "UNAUTHENTICATED":  # of no use to that client any more
            assert await self._subscribed.socket.closed() == 4401
        return code


class _Events:
    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def next(self) -> Any:
        return await self._wire.value()

    async def end(self) -> str:
        while "errors" not in (found := json.loads((await self._wire.event())["data"])):
            pass
        assert await self._wire.rest() == COMPLETE
        return _code(found)


class _Parts:
    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def next(self) -> Any:
        found = await self._wire.part()
        assert "payload" in found, found
        (value,) = found["payload"]["data"].values()
        return value

    async def end(self) -> str:
        while "errors" not in (found := await self._wire.part()):
            pass
        assert await self._wire.rest() == b"--\r\n"
        return _code(found)


def _code(found: Any) -> str:
    (error,) = found["errors"]
    return str(error["extensions"]["code"])
