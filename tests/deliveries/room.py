"""Owing messages in a test, and waiting for what becomes of them: each commit is an occasion to look again."""

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid4

from sqlalchemy import event, func, select, update
from sqlalchemy.orm import Session

from gql_app.changes.models import ChangeRecord
from gql_app.changes.sequencer import move
from gql_app.db import ANNOUNCED, Database, WriteSession
from gql_app.deliveries.models import Channel, Delivery, DeliveryAttempt, DeliveryState
from gql_app.deliveries.senders import Outgoing

NUMBER = "+15005550010"
ADDRESS = "ada@example.test"
PATIENCE = 15.0
"""Seconds after which something that should have happened counts as missing."""
LONG_AGO = timedelta(hours=1)

Found = TypeVar("Found")

_deliveries: Any = Delivery.__table__


class Room:
    """The deliveries of one database."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self._committed = asyncio.Event()
        self._recipients = itertools.count(1)

    @contextlib.contextmanager
    def listening(self) -> Iterator["Room"]:
        """Hear of every commit in this process."""
        loop = asyncio.get_running_loop()

        def hear(session: Session) -> None:
            """On SQLite in the writer's thread."""
            loop.call_soon_threadsafe(self._committed.set)

        event.listen(WriteSession, "after_commit", hear)
        try:
            yield self
        finally:
            event.remove(WriteSession, "after_commit", hear)

    async def next_commit(self) -> None:
        """Until the next transaction in this process is committed."""
        self._committed.clear()
        async with asyncio.timeout(PATIENCE):
            await self._committed.wait()

    async def until(self, look: Callable[[], Awaitable[Found | None]]) -> Found:
        """What `look` finds: it is asked at once, and after every commit until it finds something."""
        async with asyncio.timeout(PATIENCE):
            while True:
                self._committed.clear()
                found = await look()
                if found is not None:
                    return found
                await self._committed.wait()

    async def owe(self, channel: Channel = Channel.SMS, **values: Any) -> int:
        """The id of a message that is now owed."""
        (delivery_id,) = await self.owe_many(1, channel, **values)
        return delivery_id

    async def owe_many(self, count: int, channel: Channel = Channel.SMS, **values: Any) -> list[int]:
        """Owed in one transaction; each has a text and a recipient of its own unless told."""
        rows = [Delivery(**(self._defaults(channel, number) | values)) for number in range(1, count + 1)]
        await self.db.write(lambda session: session.add_all(rows))
        return [row.id for row in rows]

    async def delivery(self, delivery_id: int) -> Delivery:
        return await self.db.read(lambda session: session.get_one(Delivery, delivery_id))

    async def deliveries(self) -> Sequence[Delivery]:
        return await self.db.read(lambda session: session.scalars(select(Delivery).order_by(Delivery.id)).all())

    async def attempts(self, delivery_id: int) -> Sequence[DeliveryAttempt]:
        query = select(DeliveryAttempt).where(DeliveryAttempt.delivery_id == delivery_id)
        return await self.db.read(lambda session: session.scalars(query.order_by(DeliveryAttempt.number)).all())

    async def all_attempts(self) -> Sequence[DeliveryAttempt]:
        query = select(DeliveryAttempt).order_by(DeliveryAttempt.id)
        return await self.db.read(lambda session: session.scalars(query).all())

    async def outcomes(self, delivery_id: int) -> list[str | None]:
        """How the attempts ended, the first one first; None for one that runs."""
        return [attempt.outcome.name if attempt.outcome else None for attempt in await self.attempts(delivery_id)]

    async def attempted(self, delivery_id: int, number: int = 1) -> Delivery:
        """The message once this attempt is written down."""

        async def look() -> Delivery | None:
            attempts = await self.attempts(delivery_id)
            done = [a for a in attempts if a.number == number and a.finished_at is not None]
            row = await self.delivery(delivery_id)
            return row if done and row.shown_state is not DeliveryState.SENDING else None

        return await self.until(look)

    async def reached(self, delivery_id: int, state: DeliveryState) -> Delivery:
        """The message once it is in this state."""

        async def look() -> Delivery | None:
            row = await self.delivery(delivery_id)
            return row if row.state is state else None

        return await self.until(look)

    async def all_reached(self, state: DeliveryState, channel: Channel = Channel.SMS) -> None:
        """Until every message of the channel is in this state."""
        others = select(func.count()).where(Delivery.state != state, Delivery.channel == channel)

        async def look() -> bool | None:
            return True if await self.db.read(lambda session: session.scalar(others)) == 0 else None

        await self.until(look)

    async def make_due(self, *delivery_ids: int, even_if_leased: bool = False) -> None:
        """Let the pause of these messages be over (of all that have one, if none is named), or their lease."""
        where = [_deliveries.c.due_at.is_not(None)]
        if delivery_ids:
            where.append(_deliveries.c.id.in_(delivery_ids))
        if not even_if_leased:
            where.append(_deliveries.c.lease.is_(None))
        statement = update(_deliveries).execution_options(**ANNOUNCED).where(*where).values(due_at=datetime.now(UTC))
        await self.db.write(lambda session: session.connection().execute(statement).rowcount)

    async def states_in_log(self, delivery_id: int) -> list[tuple[str | None, str | None]]:
        """Old and new state of each change that the log holds of this message."""
        public_id = (await self.delivery(delivery_id)).public_id
        await move(self.db)
        query = select(ChangeRecord).where(ChangeRecord.entity_id == public_id, ChangeRecord.attribute == "state")
        rows = await self.db.read(lambda session: session.scalars(query.order_by(ChangeRecord.position)).all())
        return [(row.old_value, row.new_value) for row in rows]

    def _defaults(self, channel: Channel, number: int) -> dict[str, Any]:
        is_mail, person = channel is Channel.EMAIL, next(self._recipients)
        return {
            "channel": channel,
            "state": DeliveryState.PENDING,
            "recipient_id": 1,
            "recipient": f"person{person}@example.test" if is_mail else f"+1500555{person:04}",
            "subject": f"Subject {number}" if is_mail else None,
            "body": f"text {number}",
            "html": f"<p>text {number}</p>" if is_mail else None,
            "rule": "test",
            "change_set": uuid4(),
            "due_at": datetime.now(UTC),
            "attempt_count": 0,
            "failure_count": 0,
        }


def outgoing(channel: Channel = Channel.SMS, **values: Any) -> Outgoing:
    """A message as a sender is handed it."""
    is_mail = channel is Channel.EMAIL
    defaults: dict[str, Any] = {
        "id": uuid4(),
        "attempt_id": uuid4(),
        "recipient": ADDRESS if is_mail else NUMBER,
        "subject": "Grüße" if is_mail else None,
        "body": "Grüße an alle\n",
        "html": "<p>Grüße an alle</p>\n" if is_mail else None,
    }
    return Outgoing(**(defaults | values))


def again(message: Outgoing) -> Outgoing:
    """The same message in another attempt."""
    fields = {name: getattr(message, name) for name in Outgoing.__dataclass_fields__}
    attempt_id: UUID = uuid4()
    return Outgoing(**(fields | {"attempt_id": attempt_id}))
