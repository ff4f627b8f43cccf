"""SIGINT and SIGTERM: streams end as their protocols say, nobody holds the process up, nothing owed is lost."""

import asyncio
import contextlib
import json
import signal
import socket
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest
import websockets
from sqlalchemy import select
from sqlalchemy.orm import Session

from gql_app.accounts.models import User
from gql_app.db import Database
from gql_app.deliveries.models import Channel, Delivery, DeliveryAttempt, DeliveryState
from gql_app.demo.fuel_requests.models import FuelRequest
from gql_app.testing.client import PATIENCE, Client
from tests.crash.process import ServiceProcess
from tests.crash.town import ALL_CHANGES, settings, sign_up
from tests.people import DECIDE, SUBMIT
from tests.standins.smtp import SmtpStandIn
from tests.standins.twilio import TwilioFault, TwilioStandIn

LONGEST_STOP = 15.0
"""Seconds. It is promised within 10, on a machine that has time; what would hold it up takes 20."""
MUCH = 400
"""Events of 20 kB each: more than sockets buffer for a client that does not read."""
SIGNALS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)

pytestmark = pytest.mark.crash


def fill(session: Session) -> None:
    owner = session.scalars(select(User.id)).first()
    session.add_all(FuelRequest(requester_id=owner, litres=Decimal(1), note="x" * 20_000) for _ in range(MUCH))


def sms(session: Session) -> tuple[Delivery, list[DeliveryAttempt]]:
    """The only SMS, and the attempts to send it."""
    delivery = session.scalars(select(Delivery).where(Delivery.channel == Channel.SMS)).one()
    attempts = session.scalars(select(DeliveryAttempt).where(DeliveryAttempt.delivery_id == delivery.id))
    return delivery, list(attempts)


def narrow_socket(url: str) -> socket.socket:
    """A connected socket that takes in little that is not read from it."""
    host, port = url.removeprefix("http://").split(":")
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect((host, int(port)))
    connection.setblocking(False)
    return connection


async def left_unread(url: str, streams: int, sockets: Path = Path("/proc/net/tcp")) -> None:
    """Until so many connections of the service have bytes that nobody takes (Linux: proc_net_tcp.rst, tx_queue)."""
    port = f":{int(url.rpartition(':')[2]):04X}"
    before: list[tuple[str, str]] = []
    async with asyncio.timeout(PATIENCE):
        while True:
            lines = await asyncio.to_thread(sockets.read_text)
            rows = [line.split() for line in lines.splitlines()[1:]]
            queues = [(row[2], row[4]) for row in rows if row[1].endswith(port) and not row[4].startswith("00000000:")]
            if len(queues) >= streams and queues == before:
                return
            before = queues
            await asyncio.sleep(0.2)  # a queue that still moves has moved by then


class Stream:
    """A subscription over HTTP, read as bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def until(self, end: bytes) -> bytes:
        async with asyncio.timeout(PATIENCE):
            return await self.reader.readuntil(end)

    async def rest(self) -> bytes:
        async with asyncio.timeout(PATIENCE + LONGEST_STOP):
            return await self.reader.read()


def without_chunks(raw: bytes) -> bytes:
    """The body of a response whose chunks have all come (RFC 9112, section 7.1)."""
    body = b""
    while raw:
        size, _, raw = raw.partition(b"\r\n")
        length = int(size, 16)
        body, raw = body + raw[:length], raw[length + 2 :]
    return body


@contextlib.asynccontextmanager
async def stream(url: str, token: str, accept: str, *, after: str | None = None) -> AsyncIterator[Stream]:
    """A subscription to all changes, whose headers have been read."""
    body = json.dumps({"query": ALL_CHANGES, "variables": {"after": after}}).encode()
    head = (
        f"POST /graphql HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {token}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection(sock=narrow_socket(url))
    try:
        writer.write(head.encode() + body)
        found = Stream(reader, writer)
        assert (await found.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        yield found
    finally:
        writer.transport.abort()


@contextlib.asynccontextmanager
async def stalled_socket(url: str, token: str) -> AsyncIterator[None]:
    """A WebSocket that has asked for everything, and reads nothing of it."""
    connection = await websockets.connect(
        url.replace("http", "ws", 1) + "/graphql",
        sock=narrow_socket(url),
        subprotocols=[websockets.Subprotocol("graphql-transport-ws")],
        max_queue=1,
        ping_interval=None,
        proxy=None,
    )
    try:
        init = {"type": "connection_init", "payload": {"Authorization": f"Bearer {token}"}}
        await connection.send(json.dumps(init))
        await connection.recv()
        payload = {"query": ALL_CHANGES, "variables": {"after": "0"}}
        await connection.send(json.dumps({"type": "subscribe", "id": "1", "payload": payload}))
        yield
    finally:
        connection.transport.abort()


@contextlib.asynccontextmanager
async def serving(directory: Path, environment: dict[str, str]) -> AsyncIterator[tuple[ServiceProcess, str]]:
    async with ServiceProcess(directory, environment, "serve", "--port", "0") as process:
        yield process, await process.url()


async def stopped(process: ServiceProcess, number: signal.Signals) -> float:
    """Seconds that the process takes to stop after this signal; it must leave as one that was asked to."""
    begin = time.monotonic()
    process.send(number)
    code = await process.ended()
    took = time.monotonic() - begin
    assert code == 0, f"exit code {code}\n{process.output}"
    assert "Traceback" not in process.output, process.output
    return took


@SIGNALS
async def test_an_idle_service_stops_at_once(db: Database, tmp_path: Path, number: signal.Signals) -> None:
    environment = {"DATABASE_URL": db.url.render_as_string(hide_password=False)}
    async with serving(tmp_path, environment) as (process, _):
        assert await stopped(process, number) < LONGEST_STOP / 2


@SIGNALS
async def test_open_streams_end_as_with_a_lost_line(db: Database, tmp_path: Path, number: signal.Signals) -> None:
    token = (await sign_up(db))["root"]
    environment = {"DATABASE_URL": db.url.render_as_string(hide_password=False)}
    async with (
        serving(tmp_path, environment) as (process, url),
        Client(url, token).socket() as client,
        stream(url, token, "text/event-stream") as events,
        stream(url, token, "multipart/mixed;subscriptionSpec=1.0") as parts,
    ):
        await client.subscribe(ALL_CHANGES)
        took = await stopped(process, number)
        assert await client.closed() == 1012
        assert b"event: complete" not in without_chunks(await events.rest())
        told = without_chunks(await parts.rest())
        assert b'"code":"STOPPING","retryable":true' in told
        assert told.endswith(b"\r\n--graphql--\r\n")
        assert took < LONGEST_STOP / 2


@SIGNALS
async def test_neither_a_client_that_reads_nothing_nor_a_message_in_the_air_holds_it_up(
    db: Database, tmp_path: Path, number: signal.Signals
) -> None:
    tokens = await sign_up(db)
    await db.write(fill)
    async with (
        TwilioStandIn() as twilio,
        SmtpStandIn() as smtp,
        serving(tmp_path, settings(db, twilio, smtp)) as (process, url),
        stream(url, tokens["root"], "text/event-stream", after="0"),
        stalled_socket(url, tokens["root"]),
    ):
        twilio.faults.default = TwilioFault.HANG_AFTER
        asker, grace = Client(url, tokens["asker0"]), Client(url, tokens["grace"])
        submitted = await asker.data(SUBMIT, litres="5")
        await grace.data(DECIDE, id=submitted["fuelRequest"]["id"], status="APPROVED")
        await twilio.wait_for(1)
        await left_unread(url, streams=2)
        assert await stopped(process, number) < LONGEST_STOP
        assert "left unread and is cut off" in process.output, "the client was not stalled"
        delivery, (attempt,) = await db.read(sms)
        # It is not known to have failed and not sent again by itself: its lease ends, and it is looked up.
        assert (delivery.state, attempt.outcome) == (DeliveryState.PENDING, None)
        assert delivery.lease is not None
