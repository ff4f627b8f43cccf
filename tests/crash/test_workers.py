"""Two `worker` processes on one PostgreSQL share the messages: each goes out once, a recipient's in their order."""

import asyncio
import signal
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from gql_app.db import ANNOUNCED, Database
from gql_app.deliveries.models import Channel, Delivery, DeliveryState
from gql_app.reconcile import reconcile
from gql_app.testing.client import PATIENCE
from tests.crash.breaking import MARK
from tests.crash.forked import ForkedProcess
from tests.crash.town import settings
from tests.standins.smtp import SmtpFault, SmtpStandIn
from tests.standins.twilio import TwilioFault, TwilioStandIn

SMS = [(f"+1500555{person:04}", f"text {number}") for number in range(4) for person in range(36)]
MAILS = [(f"person{person}@example.test", f"mail {number}") for number in range(4) for person in range(14)]
NUMBERS = ("+15005550006", "+15005550007")
"""Each worker sends from a number of its own: by that the messages tell who sent them."""
REFUSED = 3
"""Attempts of each kind that are turned away for the moment."""
TIME_TO_FINISH = 60.0

_deliveries: Any = Delivery.__table__

pytestmark = pytest.mark.crash


@dataclass(frozen=True)
class Workers:
    """The two processes and the world that they send to; the leases of the first one are marked."""

    db: Database
    first: ForkedProcess
    second: ForkedProcess
    twilio: TwilioStandIn
    smtp: SmtpStandIn

    async def stopped(self, *processes: ForkedProcess) -> None:
        """What they have in the air is written down, and they are gone."""
        for process in processes:
            process.send(signal.SIGTERM)
        for process in processes:
            assert await process.ended() == 0, process.output
            assert "Traceback" not in process.output, process.output


@pytest.fixture
async def workers(
    postgres_db: Database, redis_url: str, starter: ForkServerContext, tmp_path: Path
) -> AsyncIterator[Workers]:
    async with TwilioStandIn() as twilio, SmtpStandIn() as smtp:
        twilio.delay = smtp.delay = 0.05  # so that much is in the air at any moment
        common = {**settings(postgres_db, twilio, smtp), "BROADCAST_URL": redis_url}
        environments = [{**common, "TWILIO_FROM": number} for number in NUMBERS]
        async with (
            ForkedProcess(starter, tmp_path, environments[0], "worker", step="marked-leases") as first,
            ForkedProcess(starter, tmp_path, environments[1], "worker") as second,
        ):
            for process in (first, second):
                await process.line("delivers messages")
            yield Workers(postgres_db, first, second, twilio, smtp)


def owe(session: Session) -> None:
    now = datetime.now(UTC)
    for channel, messages in ((Channel.SMS, SMS), (Channel.EMAIL, MAILS)):
        session.add_all(
            Delivery(
                channel=channel,
                state=DeliveryState.PENDING,
                recipient=recipient,
                subject=text if channel is Channel.EMAIL else None,
                body=text,
                rule="test",
                change_set=uuid4(),
                due_at=now,
                attempt_count=0,
                failure_count=0,
            )
            for recipient, text in messages
        )


def marked(session: Session) -> list[tuple[int, UUID]]:
    """What the first worker holds: ids and leases."""
    rows = session.execute(select(_deliveries.c.id, _deliveries.c.lease).where(_deliveries.c.lease.is_not(None)))
    return [(row.id, row.lease) for row in rows if row.lease.int >> 96 == MARK]


async def in_hands(db: Database, *, of_first: int) -> None:
    """Until the first worker holds at least so many messages."""
    async with asyncio.timeout(PATIENCE):
        while len(await db.read(marked)) < of_first:
            pass


async def all_sent(db: Database) -> None:
    others = select(func.count()).where(_deliveries.c.state != DeliveryState.SENT)
    async with asyncio.timeout(TIME_TO_FINISH):
        while await db.read(lambda session: session.scalar(others)):  # noqa: ASYNC110  (that happens elsewhere)
            await asyncio.sleep(0.05)


def in_order(messages: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    """The texts of each recipient, one after the other."""
    found = defaultdict(list)
    for recipient, text in messages:
        found[recipient].append(text)
    return dict(found)


def each_sms_once(twilio: TwilioStandIn) -> None:
    assert in_order([(message.to, message.body) for message in twilio.messages]) == in_order(SMS)
    assert {message.from_ for message in twilio.messages} == set(NUMBERS), "one of them did nothing"


async def test_two_workers_send_each_message_once_and_in_order(workers: Workers) -> None:
    """A message that has to be tried again holds back those behind it, whichever worker would send them."""
    workers.twilio.faults.extend([*[TwilioFault.OK] * 5, *[TwilioFault.ERROR_503] * REFUSED])
    workers.smtp.faults.extend([*[SmtpFault.OK] * 5, *[SmtpFault.LOCAL_ERROR_451_DATA] * REFUSED])
    await workers.db.write(owe)
    await all_sent(workers.db)
    await workers.stopped(workers.first, workers.second)
    each_sms_once(workers.twilio)
    assert len(workers.twilio.attempts) == len(SMS) + REFUSED
    assert in_order([(mail.rcpts[0], mail.subject) for mail in workers.smtp.mails]) == in_order(MAILS)
    assert len(workers.smtp.attempts) == len(MAILS) + REFUSED
    assert await workers.db.read(reconcile) == []


async def test_the_other_finishes_what_a_killed_worker_held(workers: Workers) -> None:
    await workers.db.write(owe)
    await workers.twilio.wait_for(len(SMS) // 4)
    await in_hands(workers.db, of_first=5)
    await workers.first.kill()
    held = await workers.db.read(marked)
    assert held, "it was killed with nothing in its hands"
    ids = [delivery_id for delivery_id, _ in held]
    accepted = len(workers.twilio.messages)
    # This stands for waiting until the leases end; those of the other worker go on.
    due = (
        update(_deliveries)
        .execution_options(**ANNOUNCED)
        .where(_deliveries.c.id.in_(ids))
        .values(due_at=datetime.now(UTC))
    )
    await workers.db.write(lambda session: session.connection().execute(due))
    await all_sent(workers.db)
    print(f"killed after {accepted} SMS with {len(held)} messages in its hands; {len(workers.smtp.mails)} mails in all")
    await workers.stopped(workers.second)
    each_sms_once(workers.twilio)
    first_time = {mail.message_id: (mail.rcpts[0], mail.subject) for mail in reversed(workers.smtp.mails)}
    assert in_order(list(reversed(first_time.values()))) == in_order(MAILS)
    assert len(workers.smtp.mails) - len(MAILS) <= len(held)
    assert await workers.db.read(reconcile) == []
