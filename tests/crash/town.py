"""A small town at work: people who ask for fuel and decide, a subscriber, and the two services outside.

All of it lives in the test's process or in stand-ins of their own, so it survives the service that is killed.
"""

import asyncio
import contextlib
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import websockets
from sqlalchemy import func, select, text, update

from gql_app.accounts import service
from gql_app.accounts.roles import Role
from gql_app.accounts.service import NewUser
from gql_app.changes.cursors import parse_cursor
from gql_app.changes.models import ChangeOutbox, ChangeRecord
from gql_app.db import ANNOUNCED, Database
from gql_app.deliveries.models import Delivery, DeliveryState
from gql_app.testing.client import PATIENCE, Client
from tests.people import DECIDE, SUBMIT
from tests.standins.process import StandInProcess
from tests.standins.smtp import SmtpStandIn
from tests.standins.twilio import ACCOUNT_SID, AUTH_TOKEN, TwilioStandIn

ALL_CHANGES = """
    subscription ($after: String) {
      changes(after: $after) { cursor kind entityType entityId attribute oldValue newValue }
    }"""
ASKING = tuple(f"asker{number}" for number in range(9))
HASH = "$2b$04$" + "." * 53
"""A hash in form only: nobody signs in by password here."""

_AT_WORK = text("""
    SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
    AND backend_type = 'client backend' AND state <> 'idle'""")

_deliveries: Any = Delivery.__table__
_log: Any = ChangeRecord.__table__


async def sign_up(db: Database, asking: Sequence[str] = ASKING) -> dict[str, str]:
    """The tokens of the people who ask, of grace who decides and of root who sees everything."""
    tokens = {}
    roles = {**dict.fromkeys(asking, Role.USER), "grace": Role.APPROVER, "root": Role.ADMIN}
    for number, (name, role) in enumerate(roles.items()):
        new = NewUser(name, f"{name}@example.test", HASH, f"+150055501{number:02}", role=role)
        _, session = await db.write(service.sign_up, new, timedelta(days=1))
        assert session is not None
        tokens[name] = session.token
    return tokens


def settings(
    db: Database, twilio: TwilioStandIn | StandInProcess, smtp: SmtpStandIn | StandInProcess
) -> dict[str, str]:
    """The environment of a service on this database that sends by these stand-ins."""
    return {
        "DATABASE_URL": db.url.render_as_string(hide_password=False),
        "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
        "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
        "TWILIO_FROM": "+15005550006",
        "TWILIO_BASE_URL": twilio.url,
        "SMTP_URL": f"smtp://127.0.0.1:{smtp.port}",
        "BCRYPT_COST": "4",
        "POLL_INTERVAL_MS": "50",
    }


@contextlib.asynccontextmanager
async def drained(*stand_ins: StandInProcess) -> AsyncIterator[None]:
    """Read on what the stand-ins announce, lest they wait for it to be read."""
    tasks = [asyncio.create_task(each.wait_for(10**9)) for each in stand_ins]
    try:
        yield
    finally:
        await cancelled(tasks)


async def cancelled(tasks: Sequence["asyncio.Task[Any]"]) -> None:
    """End tasks that go on for ever; one that has failed meanwhile says so now."""
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception):
            raise result


async def end_waiting(db: Database, *, leases: bool = False) -> None:
    """What is to be looked up at the provider is due now, and with ``leases`` what a killed worker held, too.

    This stands for waiting until the pause (`retry.LOOK_UP_AFTER`) or the lease (`queue.LEASE`) is over.
    """
    if leases and not db.is_sqlite:  # the server still carries out what a killed process had sent
        async with asyncio.timeout(PATIENCE):
            while await db.read(lambda session: session.scalar(_AT_WORK)):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    waiting = (_deliveries.c.state == DeliveryState.UNKNOWN) & _deliveries.c.lease.is_(None)
    if leases:
        waiting |= _deliveries.c.lease.is_not(None)
    due = update(_deliveries).execution_options(**ANNOUNCED).where(waiting).values(due_at=datetime.now(UTC))
    await db.write(lambda session: session.connection().execute(due))


async def states(db: Database) -> Counter[DeliveryState]:
    """How many deliveries there are in each state."""
    rows = await db.read(lambda session: session.scalars(select(Delivery)).all())
    return Counter(row.shown_state for row in rows)


class Place:
    """Where the service is at present, for those who want to reach it."""

    def __init__(self) -> None:
        self.url = ""
        self._open = asyncio.Event()

    def moved_to(self, url: str) -> None:
        self.url = url
        self._open.set()

    def closed(self) -> None:
        self._open.clear()

    async def wait(self) -> str:
        await self._open.wait()
        return self.url


@dataclass
class Acknowledged:
    """What clients were told has happened."""

    submitted: set[str] = field(default_factory=set)
    decided: dict[str, str] = field(default_factory=dict)


async def ask_and_decide(
    place: Place, tokens: Mapping[str, str], rng: random.Random, acknowledged: Acknowledged
) -> None:
    """Submit and decide, one after the other for ever; what breaks off is left as it is."""
    limits = httpx.Limits(max_keepalive_connections=0)  # a killed service is met at the next request, not in it
    async with httpx.AsyncClient(timeout=15, verify=False, limits=limits, trust_env=False) as http:

        async def post(name: str, query: str, **variables: Any) -> dict[str, Any]:
            response = await http.post(
                await place.wait() + "/graphql",
                json={"query": query, "variables": variables},
                headers={"Authorization": f"Bearer {tokens[name]}"},
            )
            answer = response.json()
            assert "errors" not in answer, answer
            (payload,) = answer["data"].values()
            assert payload["errors"] == [], payload
            found: dict[str, Any] = payload["fuelRequest"]
            return found

        while True:
            with contextlib.suppress(httpx.TransportError):
                request = await post(rng.choice(ASKING), SUBMIT, litres=str(rng.randint(1, 500)))
                acknowledged.submitted.add(request["id"])
                status = rng.choice(("APPROVED", "REJECTED"))
                decided = await post("grace", DECIDE, id=request["id"], status=status)
                acknowledged.decided[decided["id"]] = decided["status"]
            await asyncio.sleep(0)  # to others, where nothing above had to wait


class Subscriber:
    """Reads the whole log from its beginning, and after each break goes on from the last cursor it saw."""

    def __init__(self, place: Place, token: str, db: Database) -> None:
        self.events: list[dict[str, Any]] = []
        self.connections = 0
        self._place = place
        self._token = token
        self._db = db
        self._news = asyncio.Condition()

    async def follow(self) -> None:
        while True:
            with contextlib.suppress(websockets.WebSocketException, OSError, EOFError):
                async with Client(await self._place.wait(), self._token).socket() as socket:
                    await self._read(socket.connection)
            await asyncio.sleep(0)

    async def _read(self, connection: websockets.ClientConnection) -> None:
        self.connections += 1
        after = self.events[-1]["cursor"] if self.events else "0"
        payload = {"query": ALL_CHANGES, "variables": {"after": after}}
        await connection.send(json.dumps({"type": "subscribe", "id": "1", "payload": payload}))
        async for received in connection:
            message = json.loads(received)
            if message["type"] == "ping":  # the server says where this stream stands
                await connection.send(json.dumps({"type": "pong"}))
                continue
            assert message["type"] == "next", message
            event = message["payload"]["data"]["changes"]
            async with self._news:
                self.events.append(event)
                self._news.notify_all()
            if event["newValue"] == DeliveryState.UNKNOWN.name and event["entityType"] == "Delivery":
                await end_waiting(self._db)

    async def until(self, seen: Callable[[Sequence[dict[str, Any]]], bool]) -> None:
        """Until this is true of the events that have arrived."""
        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(lambda: seen(self.events))

    async def until_finished(self, seconds: float) -> None:
        """Until every message that is owed has been sent, and every event of the log has arrived here."""
        async with asyncio.timeout(seconds), self._news:
            while not await self._finished():
                await self._news.wait()

    async def _finished(self) -> bool:
        if set(await states(self._db)) != {DeliveryState.SENT}:
            return False
        if await self._db.read(lambda s: s.scalar(select(func.count()).select_from(ChangeOutbox))):
            return False
        last = await self._db.read(lambda s: s.execute(select(func.max(_log.c.position))).scalar_one())
        return bool(self.events) and parse_cursor(self.events[-1]["cursor"]).position == last
