"""Streams over HTTP, read as the clients read them: bytes, line by line and part by part."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx

from gql_app.testing.client import PATIENCE, Client

SSE = "text/event-stream"
MULTIPART = "multipart/mixed;boundary=graphql;subscriptionSpec=1.0"
COMPLETE = b"event: complete\nid: complete\ndata:\n\n"


class Wire:
    """The bytes of a response, as they come."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._chunks = response.aiter_raw()
        self._read = b""
        self.position = ""
        """What the last bare id said."""

    @property
    def media_type(self) -> str:
        return str(self.response.headers["content-type"]).partition(";")[0]

    async def until(self, end: bytes) -> bytes:
        """What comes up to and with these bytes."""
        async with asyncio.timeout(PATIENCE):
            while end not in self._read:
                self._read += await anext(self._chunks)
        found, _, self._read = self._read.partition(end)
        return found + end

    async def rest(self) -> bytes:
        async with asyncio.timeout(PATIENCE):
            async for chunk in self._chunks:
                self._read += chunk
        return self._read

    async def event(self) -> dict[str, str]:
        """The next server-sent event; comments and bare ids are passed over."""
        while True:
            block = (await self.until(b"\n\n")).decode()
            assert "\r" not in block
            lines = [line.partition(":") for line in block.splitlines() if line and not line.startswith(":")]
            found = {name: value.removeprefix(" ") for name, _, value in lines}
            if found.keys() - {"id"}:
                return found
            self.position = found.get("id", self.position)

    async def value(self) -> Any:
        """The value of the only field of the next event."""
        event = await self.event()
        assert event["event"] == "next", event
        (value,) = json.loads(event["data"])["data"].values()
        return value

    async def part(self) -> Any:
        """The next part, as Apollo's clients cut them; heartbeats are passed over."""
        while True:
            raw = await self.until(b"\r\n--graphql")
            head, _, body = raw.removesuffix(b"\r\n--graphql").partition(b"\r\n\r\n")
            if not head.strip():
                continue
            assert b"content-type: application/json" in head.lower()
            found = json.loads(body)
            if found != {}:
                return found


@contextlib.asynccontextmanager
async def streaming(
    client: Client, query: str, accept: str, variables: dict[str, Any] | None = None, **headers: str
) -> AsyncIterator[Wire]:
    sent = {**client.headers, "Accept": accept, **{name.replace("_", "-"): value for name, value in headers.items()}}
    body = {"query": query, "variables": variables or {}}
    async with (
        httpx.AsyncClient(timeout=PATIENCE) as http,
        http.stream("POST", client.url + "/graphql", json=body, headers=sent) as response,
    ):
        yield Wire(response)
