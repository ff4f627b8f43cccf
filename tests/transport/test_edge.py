"""What a connection may send before it is closed: bounds of heads, trailers and pipelines, and deadlines."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from gql_app.testing.client import PATIENCE
from gql_app.testing.server import Running
from gql_app.transport import connections, edge

ASK = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
BODY = b'{"query":"{ __typename }"}'
POST = b"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


class Line:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def flood(self, data: bytes) -> None:
        """All of it, unless the connection is closed before."""
        with contextlib.suppress(ConnectionError):
            for start in range(0, len(data), 65_536):
                self._writer.write(data[start : start + 65_536])
                await self._writer.drain()

    async def answer(self) -> tuple[int, bytes]:
        async with asyncio.timeout(PATIENCE):
            head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            return int(head.split()[1]), await self._reader.readexactly(length)

    async def is_closed(self) -> bool:
        async with asyncio.timeout(PATIENCE):
            with contextlib.suppress(ConnectionError):
                while await self._reader.read(65_536):
                    pass
        return True


@contextlib.asynccontextmanager
async def line(server: Running) -> AsyncIterator[Line]:
    address = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    yield Line(reader, writer)
    writer.transport.abort()


async def test_a_connection_answers_one_request_after_the_other(server: Running) -> None:
    async with line(server) as found:
        for _ in range(3):
            found.send(ASK)
            assert (await found.answer())[0] == 200
        for byte in ASK:  # however it is cut
            found.send(bytes((byte,)))
            await asyncio.sleep(0)
        assert (await found.answer())[0] == 200


@pytest.mark.parametrize("count", [1, 7, 8, 9, 40, 3_000])
async def test_requests_that_wait_behind_each_other_are_all_answered_in_order(server: Running, count: int) -> None:
    async with line(server) as found:
        known, unknown = ASK, ASK.replace(b"/healthz", b"/nothing")
        sending = asyncio.create_task(found.flood((known + unknown) * count))
        for _ in range(count):
            assert (await found.answer())[0] == 200
            assert (await found.answer())[0] == 404
        await sending


async def test_no_more_of_them_are_kept_than_the_bound(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    most = 0
    begin = edge.BoundedProtocol._start_asgi_task

    def count(self: edge.BoundedProtocol, *given: object) -> None:
        nonlocal most
        most = max(most, len(self.pipeline))
        begin(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(edge.BoundedProtocol, "_start_asgi_task", count)
    async with line(server) as found:
        sending = asyncio.create_task(found.flood(ASK * 2_000))
        for _ in range(2_000):
            await found.answer()
        await sending
    assert 0 < most <= edge.MAX_PIPELINED + edge.PIECE // len(ASK) + 1


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 100_000, 431),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 20_000, 431),
        (b"GET /" + b"x" * 100_000, 414),
        (b"\r\n" * 50_000, 431),
        (b"nothing of HTTP\r\n\r\n", 400),
        (ASK.replace(b"Host: localhost", b"Content-Length: 1\r\nContent-Length: 2"), 400),
    ],
    ids=["one header", "many headers", "an address", "empty lines", "malformed", "ambiguous"],
)
async def test_a_head_that_breaks_a_bound_is_refused(server: Running, sent: bytes, status: int) -> None:
    async with line(server) as found:
        await found.flood(sent)
        assert (await found.answer())[0] == status
        assert await found.is_closed()


async def test_a_head_of_usual_size_is_taken(server: Running) -> None:
    async with line(server) as found:
        path, more = b"healthz?" + b"q" * 14_000, b"\r\nX: " + b"x" * 14_000
        found.send(ASK.replace(b"healthz", path).replace(b"\r\n\r\n", more + b"\r\n\r\n"))
        assert (await found.answer())[0] == 200


async def test_chunks_have_a_body_and_trailers_are_bounded(server: Running) -> None:
    chunked = POST + b"Transfer-Encoding: chunked\r\n\r\n"
    pieces = b"".join(b"1;why=%s\r\n%c\r\n" % (b"x" * 100, byte) for byte in BODY)
    async with line(server) as found:
        found.send(chunked.replace(b"Transfer", b"Content-Length: 0\r\nX: y\r\nTransfer"))
        assert (await found.answer())[0] == 400  # smuggling
    async with line(server) as found:
        await found.flood(chunked + b"5\r\nhello\r\n0\r\n" + b"X: y\r\n" * 100_000)
        assert await found.is_closed()
    async with line(server) as found:
        await found.flood(chunked + b"5;" + b"x" * 1_000_000)
        assert await found.is_closed()
    assert pieces


@pytest.mark.parametrize("sent", [b"", b"GET /heal", b"\r\n", ASK + b"GET /"])
async def test_a_head_has_a_deadline(server: Running, monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.2)
    async with line(server) as found:
        found.send(sent)
        if sent.startswith(ASK):
            assert (await found.answer())[0] == 200
        assert (await found.answer())[0] == 408
        assert await found.is_closed()
    async with line(server) as found:
        found.send(ASK)
        assert (await found.answer())[0] == 200
        found.send(b"\r\n")
        assert (await found.answer())[0] == 408


async def test_an_upgrade_to_what_we_do_not_speak_is_ignored(server: Running) -> None:
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
    async with line(server) as found:
        found.send(POST + upgrade + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY + ASK)
        assert await found.answer() == (200, b'{"data":{"__typename":"Query"}}')
        assert (await found.answer())[0] == 200
        found.send(ASK.replace(b"Host", upgrade + b"Host") + ASK)
        assert (await found.answer())[0] == 200
        assert (await found.answer())[0] == 200
