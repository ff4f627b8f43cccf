"""The same as follow.mjs, with the clients of Python: gql over WebSocket, and httpx-sse."""

import asyncio
import contextlib
import json
import random
import sys
from dataclasses import dataclass
from typing import Any

import httpx
from gql import Client, GraphQLRequest
from gql.transport.exceptions import TransportConnectionFailed, TransportError, TransportQueryError
from gql.transport.websockets import WebsocketsTransport
from httpx_sse import aconnect_sse

QUERY = """subscription ($after: String) {
    fuelRequestStatusChanged(after: $after) { cursor status fuelRequest { id } } }"""
UNAUTHORIZED, FORBIDDEN = 4401, 4403
SHORT = 0.5
"""Seconds for a polite goodbye on a line that may be dead."""


class Over(Exception):
    """The server has said something final."""


class Session:
    """The session of the page, and the one that replaces it."""

    def __init__(self, token: str, *, awaits_token: bool) -> None:
        self.token = token
        self.awaits_token = awaits_token
        self._news = asyncio.Condition()

    async def after(self, replaced: str) -> str:
        async with self._news:
            await self._news.wait_for(lambda: not self.awaits_token or self.token != replaced)
            return self.token

    async def read(self) -> None:
        """`token NEW` on standard input; the process ends with it."""
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            async with self._news:
                self.token = line.decode().strip().removeprefix("token ")
                self._news.notify_all()


@dataclass
class Page:
    name: str
    url: str
    session: Session
    cursor: str
    silence: float
    token: str = ""
    replaced: str = ""

    def say(self, line: str) -> None:
        print(self.name, line, flush=True)

    async def follow(self) -> None:
        listen = self.gql if self.name == "gql" else self.httpx_sse
        while True:
            try:
                self.token = await self.session.after(self.replaced)
                await listen()
            except Over as over:
                return self.say(str(over))
            await asyncio.sleep(random.uniform(0.1, 0.2))

    async def gql(self) -> None:
        """Returns when the line was lost."""
        transport = WebsocketsTransport(
            self.url.replace("http", "ws", 1),
            init_payload={"Authorization": f"Bearer {self.token}"},
            subprotocols=[WebsocketsTransport.GRAPHQLWS_SUBPROTOCOL],
            ping_interval=self.silence / 2,
            pong_timeout=self.silence / 2,
            close_timeout=SHORT,
            connect_args={"proxy": None, "close_timeout": SHORT},
        )
        request = GraphQLRequest(QUERY, variable_values={"after": self.cursor})
        try:
            async with Client(transport=transport) as session:
                async for data in session.subscribe(request):
                    self.seen(data)
            raise Over("complete")
        except TransportQueryError as error:
            self.fails(error.errors or [])
        except TransportConnectionFailed as error:
            code = getattr(getattr(error.__cause__, "rcvd", None), "code", None)
            if code == UNAUTHORIZED:
                raise Over(f"error {code}") from error
            if code == FORBIDDEN:
                self.replaced = self.token
        except (TransportError, OSError):
            pass

    async def httpx_sse(self) -> None:
        """Returns when the line was lost."""
        body = {"query": QUERY, "variables": {"after": self.cursor}}
        headers = {"Authorization": f"Bearer {self.token}"}
        timeout = httpx.Timeout(self.silence)
        with contextlib.suppress(httpx.TransportError, httpx.HTTPStatusError):
            async with (
                httpx.AsyncClient(timeout=timeout, verify=False, trust_env=False) as http,
                aconnect_sse(http, "POST", self.url, json=body, headers=headers) as source,
            ):
                source.response.raise_for_status()
                async for event in source.aiter_sse():
                    if event.event == "complete":
                        raise Over("complete")
                    if event.event == "next":
                        result = json.loads(event.data)
                        if "errors" in result:
                            return self.fails(result["errors"])
                        self.seen(result["data"])

    def seen(self, data: dict[str, Any]) -> None:
        event = data["fuelRequestStatusChanged"]
        self.cursor = event["cursor"]
        self.say(self.cursor if event["status"] and event["fuelRequest"]["id"] else f"hollow {self.cursor}")

    def fails(self, errors: list[Any]) -> None:
        """Returns if it is worth another try."""
        found = errors[0]["extensions"]
        if found["code"] == "SESSION_REPLACED":
            self.replaced = self.token
            if self.session.awaits_token:
                return
        if not found["retryable"]:
            raise Over(f"error {found['code']}")


async def main(options: dict[str, Any], names: list[str]) -> None:
    session = Session(options["token"], awaits_token=options["awaitsToken"])
    pages = [Page(name, options["url"], session, options["after"], options["silence"]) for name in names]
    following = asyncio.gather(*(page.follow() for page in pages))
    reading = asyncio.create_task(session.read())
    await asyncio.wait((following, reading), return_when=asyncio.FIRST_COMPLETED)
    reading.cancel()
    following.cancel()
    await asyncio.gather(following, reading, return_exceptions=True)


asyncio.run(main(json.loads(sys.argv[1]), sys.argv[2:]))
