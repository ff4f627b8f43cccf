"""Clients that hold on to their cursor: each break is followed by a connection to some other server."""

import asyncio
import contextlib
import json
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import websockets

from gql_app.changes.cursors import parse_cursor
from gql_app.testing.client import Client
from tests.crash.town import Place

CHANGES = """
    subscription ($after: String) {
      changes(after: $after) { cursor occurredAt entityId newValue }
    }"""
LONGEST_STAY = 8.0
"""Seconds until a subscriber drops its connection by itself, at most."""
FINAL = (1011, 4400, 4401, 4403, 4406, 4408, 4409, 4429)
"""Close codes after which a client would give up, or that it would have to blame itself for."""


class Seen(NamedTuple):
    """An event as it arrived."""

    position: int
    entity_id: str
    new_value: str | None


@dataclass
class Met:
    """What all subscribers met: latencies as (moment of the event, seconds), and how connections ended."""

    latencies: list[tuple[float, float]] = field(default_factory=list)
    ends: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


class Subscriber:
    """Sees the log from its beginning. `steady` once it should no longer drop its connection by itself."""

    def __init__(self, name: str, place: Place, token: str, rng: random.Random, met: Met) -> None:
        self.name = name
        self.events: list[Seen] = []
        self.connections = 0
        self.steady = False
        self.told: Callable[[], None] = lambda: None
        self._place = place
        self._token = token
        self._rng = rng
        self._met = met

    @property
    def position(self) -> int:
        """Of the last event that it has seen."""
        return self.events[-1].position if self.events else 0

    async def follow(self) -> None:
        """Connect, read, and start again; for ever."""
        while True:
            try:
                async with Client(await self._place.wait(), self._token).socket() as socket:
                    await self._read_a_while(socket.connection)
            except websockets.ConnectionClosed as error:
                self._ended(error.rcvd.code if error.rcvd else 0)
            except (websockets.WebSocketException, OSError, EOFError) as error:  # TimeoutError is an OSError
                self._met.ends[type(error).__name__] += 1
            await asyncio.sleep(self._rng.uniform(0, 0.1))

    def _ended(self, code: int) -> None:
        self._met.ends[f"closed {code}" if code else "broke off"] += 1
        if code in FINAL:
            self._met.wrong.append(f"the connection of {self.name} was closed with {code}")

    async def _read_a_while(self, connection: websockets.ClientConnection) -> None:
        self.connections += 1
        stay = None if self.steady else self._rng.uniform(0.2, LONGEST_STAY)
        abruptly = self._rng.random() < 0.5
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(stay):
                await self._read(connection)
        if abruptly:
            connection.transport.abort()

    async def _read(self, connection: websockets.ClientConnection) -> None:
        began = time.time()
        payload = {"query": CHANGES, "variables": {"after": str(self.position)}}
        await connection.send(json.dumps({"type": "subscribe", "id": "1", "payload": payload}))
        async for text in connection:
            message = json.loads(text)
            if message["type"] == "ping":
                await connection.send(json.dumps({"type": "pong"}))
                continue
            if message["type"] != "next":
                return self._refused(message)
            if "errors" in message["payload"]:
                self._met.wrong.append(f"{self.name} was sent an event with errors: {message['payload']['errors']}")
                return None
            self._see(message["payload"]["data"]["changes"], began)
        return None

    def _see(self, event: dict[str, str], began: float) -> None:
        self.events.append(Seen(parse_cursor(event["cursor"]).position, event["entityId"], event["newValue"]))
        occurred = datetime.fromisoformat(event["occurredAt"]).timestamp()
        if occurred > began:  # not one that it had missed
            self._met.latencies.append((occurred, time.time() - occurred))
        self.told()

    def _refused(self, message: dict[str, object]) -> None:
        """The subscription failed, on a connection that goes on."""
        errors = message.get("payload") or ()
        codes = {error["extensions"]["code"] for error in errors} if isinstance(errors, list) else {"?"}
        self._met.ends.update(f"{message['type']} {code}" for code in codes)
        if message["type"] != "error" or codes != {"UNAVAILABLE"}:
            self._met.wrong.append(f"{self.name} was sent {message}")
