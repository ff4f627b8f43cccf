"""Ready-made frames are those that a client's library expects."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from gql_app.settings import Settings
from gql_app.testing.client import PATIENCE, Client
from gql_app.testing.server import Running, serving
from gql_app.transport import frames
from gql_app.transport.frames import FrameProtocol, header
from tests.execution.notes import NOTES, add_notes
from tests.people import People


@pytest.mark.parametrize("length", [1, 60, 126, 65_400, 65_536, 70_000])
async def test_frames_of_every_length_are_read_by_a_real_client(server: Running, people: People, length: int) -> None:
    async with people.root.subscribed(NOTES) as notes:
        await server.app.db.write(add_notes, [1])
        assert len((await notes.next())["newValue"]) == 1
        await server.app.db.write(add_notes, [length])
        assert len((await notes.next())["newValue"]) == length


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (125, b"\x81\x7d"),
        (126, b"\x81\x7e\x00\x7e"),
        (65_535, b"\x81\x7e\xff\xff"),
        (65_536, b"\x81\x7f" + (65_536).to_bytes(8, "big")),
    ],
)
def test_the_length_of_a_frame_has_its_shortest_form(length: int, expected: bytes) -> None:
    """RFC 6455, section 5.2: the minimal number of bytes must be used."""
    assert header(length) == expected


@pytest.mark.parametrize("fast", [True, False])
async def test_frames_are_made_by_uvicorn_alone_without_short_cuts(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, fast: bool
) -> None:
    written: list[bytes] = []
    write = FrameProtocol.write_texts

    def noting(protocol: FrameProtocol, beginning: bytes, endings: Iterable[bytes]) -> bool:
        written.append(beginning)
        return write(protocol, beginning, endings)

    monkeypatch.setattr(FrameProtocol, "write_texts", noting)
    async with serving(replace(settings, fast=fast)) as running:
        people = await People.sign_in(running)
        async with people.root.subscribed(NOTES) as notes:
            await running.app.db.write(add_notes, [1, 2])
            assert [len(found["newValue"]) for found in await notes.take(2)] == [1, 2]
    assert bool(written) == fast


def frame(opcode: int, payload: bytes = b"", *, end: bool = True) -> bytes:
    """As a client sends it, masked with zeros; up to 125 bytes."""
    return bytes((0x80 * end | opcode, 0x80 | len(payload))) + bytes(4) + payload


TEXT, MORE, BINARY, PING, PONG = 1, 0, 2, 9, 10


@contextlib.asynccontextmanager
async def raw(url: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A socket that has been acknowledged, without a client's library."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(
        b"GET /graphql HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Protocol: graphql-transport-ws\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    await reader.readuntil(b"\r\n\r\n")
    writer.write(frame(TEXT, b'{"type":"connection_init"}'))
    await reader.readuntil(b"}}")
    yield reader, writer
    writer.transport.abort()


async def closed_with(reader: asyncio.StreamReader) -> int:
    """The code of the last frame."""
    last = b""
    async with asyncio.timeout(PATIENCE):
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                last = (last + data)[-200:]
    found = last.rpartition(b"\x88")[2]
    return int.from_bytes(found[1:3], "big")


@pytest.mark.parametrize(
    ("begin", "again"),
    [
        (b"", frame(PING)),
        (b"", frame(PONG)),
        (frame(TEXT, end=False), frame(MORE, end=False)),
        (b"", frame(TEXT, b'{"type":"ping"}')),
        (b"", frame(TEXT, b'{"type":"pong"}')),
    ],
    ids=["pings", "pongs", "pieces of a message", "messages with an answer", "messages without"],
)
async def test_who_sends_too_many_frames_is_closed(
    server: Running, begin: bytes, again: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with raw(server.url) as (reader, writer):
        reading = asyncio.create_task(closed_with(reader))
        writer.write(begin)
        some = again * (65_536 // len(again))
        with contextlib.suppress(ConnectionError):
            while not reading.done():
                writer.write(some)
                await writer.drain()
                assert (await Client(server.url).data("{ __typename }")) == "Query"  # others go on
        assert await reading in (frames.TOO_MANY, 0)  # it may be lost where we are still sending
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]  # a client can do no more than this


async def test_a_page_may_ask_a_thousand_times_in_a_row(people: People) -> None:
    async with people.ada.socket() as socket:
        for number in range(1_000):
            await socket.send({"type": "subscribe", "id": str(number), "payload": {"query": "{ __typename }"}})
            assert (await socket.receive())["type"] == "next"
            assert (await socket.receive())["type"] == "complete"


async def test_all_frames_that_come_at_once_are_taken_in_order(server: Running) -> None:
    async with raw(server.url) as (reader, writer):
        sent = [b"%06d" % number for number in range(3_000)]
        writer.write(b"".join(frame(PING, each) for each in sent))
        async with asyncio.timeout(PATIENCE):
            answers = await reader.readexactly(8 * len(sent))
        assert [answers[start + 2 : start + 8] for start in range(0, len(answers), 8)] == sent
        text = b'{"type":"ping","payload":{"of":"%s"}}' % (b"x" * 60)
        pieces = [text[start : start + 1] for start in range(len(text))]
        writer.write(b"".join(frame(MORE if n else TEXT, p, end=n == len(pieces) - 1) for n, p in enumerate(pieces)))
        async with asyncio.timeout(PATIENCE):
            assert b"x" * 60 in await reader.readuntil(b"}}")
