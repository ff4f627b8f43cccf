"""What an abuser does, from one address, for so many seconds. Each returns what became of it, in a few words."""

import asyncio
import contextlib
import json
import secrets
import struct
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import httpx
import websockets
from websockets.typing import Subprotocol

ADDRESS = "127.0.0.2"
HEAD = b"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
SMALL = b'{"query":"{ __typename }"}'
CONNECTIONS = 20

Attack = Callable[[int, float], Coroutine[Any, Any, str]]


@contextlib.asynccontextmanager
async def line(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(ADDRESS, 0))
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def flood(port: int, seconds: float, begin: bytes, again: bytes) -> str:
    """Send without reading, and come again when the connection is closed."""
    end, sent, closed = time.monotonic() + seconds, 0, 0
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            async with line(port) as (_, writer):
                writer.write(begin)
                while time.monotonic() < end and not writer.transport.is_closing():
                    writer.write(again)
                    sent += len(again)
                    async with asyncio.timeout(0.5):
                        await writer.drain()
                    await asyncio.sleep(0)
        closed += 1
        await asyncio.sleep(0.02)
    return f"{sent / 1e6:.0f} MB sent, {closed} connections closed"


async def pipelined(port: int, seconds: float) -> str:
    request = HEAD + f"Content-Length: {len(SMALL)}\r\n\r\n".encode() + SMALL
    return await flood(port, seconds, b"", request * 400)


async def many_headers(port: int, seconds: float) -> str:
    return await flood(port, seconds, HEAD, b"X-Header: of no use\r\n" * 3_000)


async def one_header(port: int, seconds: float) -> str:
    return await flood(port, seconds, HEAD + b"X: ", b"x" * 65_536)


async def frames(port: int, seconds: float, opcode: int) -> str:
    handshake = (
        b"GET /graphql HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
    )
    frame = struct.pack("!BB", opcode, 0x80) + b"mask"
    return await flood(port, seconds, handshake, frame * 10_000)


async def silent(port: int, seconds: float) -> str:
    """More connections than one address may have, which say nothing."""
    async with contextlib.AsyncExitStack() as stack:
        opened = 0
        with contextlib.suppress(OSError):
            for _ in range(3_000):
                await stack.enter_async_context(line(port))
                opened += 1
                if not opened % 100:
                    await asyncio.sleep(0.01)
        await asyncio.sleep(max(seconds - 1, 0))
    return f"{opened} connections opened"


def _introspection(_: str) -> str:
    kind = "{ kind name ofType { kind name ofType { kind name } } }"
    one = f"__schema {{ types {{ name fields {{ name type {kind} }} }} }}"
    return "{" + " ".join(f"a{n}: {one}" for n in range(3)) + "}"


def _fragments(x: str) -> str:
    spread = " ".join(f"fragment F{n} on Query {{ ...F{n + 1} {x}{n}: __typename }}" for n in range(150))
    return "{ ...F0 } " + spread + " fragment F150 on Query { __typename }"


def _pages(x: str) -> str:
    one = "fuelRequests(first: 100) { nodes { id status requester { username } } }"
    return "{" + " ".join(f"{x}{n}: {one}" for n in range(16)) + "}"


def _ids(x: str) -> str:
    return "{ nodes(ids: [" + ",".join(f'"{x}{n}"' for n in range(1_900)) + "]) { id } }"


DOCUMENTS: dict[str, Callable[[str], str]] = {
    "introspection": _introspection,
    "150 fragments": _fragments,
    "99 times one alias": lambda x: "{" + f"{x}: viewer {{ id }} " * 99 + "}",
    "1,900 ids": _ids,
    "16 pages of 100": _pages,
}


def documents(name: str) -> Attack:
    """A document within all limits, always another one, on twenty connections."""

    async def attack(port: int, seconds: float) -> str:
        found: Counter[int] = Counter()
        end = time.monotonic() + seconds
        transport = httpx.AsyncHTTPTransport(local_address=ADDRESS, limits=httpx.Limits(max_connections=CONNECTIONS))
        async with httpx.AsyncClient(transport=transport, timeout=60, base_url=f"http://127.0.0.1:{port}") as http:
            token = await _token(http)

            async def ask() -> None:
                while time.monotonic() < end:
                    query = DOCUMENTS[name]("x" + secrets.token_hex(3))
                    headers = {"Authorization": f"Bearer {token}"}
                    found[(await http.post("/graphql", json={"query": query}, headers=headers)).status_code] += 1

            await asyncio.gather(*(ask() for _ in range(CONNECTIONS)))
        return ", ".join(f"{count} × {status}" for status, count in sorted(found.items()))

    return attack


async def _token(http: httpx.AsyncClient) -> str:
    query = 'mutation { logIn(input: {username: "ada", password: "correct-horse-battery"}) { session { token } } }'
    answer = (await http.post("/graphql", json={"query": query})).json()
    return str(answer["data"]["logIn"]["session"]["token"])


async def sign_ins(port: int, seconds: float) -> str:
    """One WebSocket with 99 sign-ins of made-up names under way."""
    query = 'mutation ($u: String!) { logIn(input: {username: $u, password: "x"}) { errors { code } } }'
    found: Counter[str] = Counter()
    number = 0

    def one() -> str:
        nonlocal number
        number += 1
        payload = {"query": query, "variables": {"u": "u" + secrets.token_hex(5)}}
        return json.dumps({"id": str(number), "type": "subscribe", "payload": payload})

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(websockets.ConnectionClosed, TimeoutError):
            async with (
                asyncio.timeout(max(end - time.monotonic(), 0.1)),
                websockets.connect(
                    f"ws://127.0.0.1:{port}/graphql",
                    subprotocols=[Subprotocol("graphql-transport-ws")],
                    local_addr=(ADDRESS, 0),
                ) as socket,
            ):
                await socket.send('{"type":"connection_init"}')
                await socket.recv()
                for _ in range(99):
                    await socket.send(one())
                async for text in socket:
                    message: Any = json.loads(text)
                    if message["type"] == "next":
                        found[message["payload"]["data"]["logIn"]["errors"][0]["code"]] += 1
                        await socket.send(one())
    return ", ".join(f"{count} × {code}" for code, count in sorted(found.items()))


ATTACKS: dict[str, Attack] = {
    "nothing": lambda port, seconds: _idle(seconds),
    "pipelined requests": pipelined,
    "heads without end, many headers": many_headers,
    "heads without end, one header": one_header,
    "empty pings": lambda port, seconds: frames(port, seconds, 0x89),
    "empty pongs": lambda port, seconds: frames(port, seconds, 0x8A),
    "empty continuations": lambda port, seconds: frames(port, seconds, 0x00),
    "3,000 silent connections": silent,
    **{f"documents: {name}": documents(name) for name in DOCUMENTS},
    "99 sign-ins on one WebSocket": sign_ins,
}


async def _idle(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return ""
