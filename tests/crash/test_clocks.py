"""Workers whose machines' clocks are wrong: leases, pauses and look-ups go by the database's."""

import asyncio
import glob
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from gql_app.db import Database, now
from gql_app.deliveries.models import Channel, Delivery, DeliveryAttempt, DeliveryState
from gql_app.deliveries.queue import LEASE, RENEWAL
from gql_app.testing.client import PATIENCE, Client
from tests.conftest import require
from tests.crash.process import ServiceProcess
from tests.crash.town import end_waiting, settings
from tests.standins.smtp import SmtpStandIn
from tests.standins.twilio import TwilioFault, TwilioStandIn

AHEAD, BEHIND = "+90s", "-90s"
FAR_AHEAD = "+3600s"
"""More than Twilio's clock and ours may differ when a message is looked up."""
SOON = timedelta(seconds=20)
HOUR = timedelta(hours=1)
MANY = 60
SIGN_UP = """
    mutation {
      signUp(input: {username: "ada", email: "ada@example.test", password: "correct-horse-battery"}) { errors { code } }
    }"""

_deliveries: Any = Delivery.__table__

pytestmark = pytest.mark.crash


@pytest.fixture
async def twilio() -> AsyncIterator[TwilioStandIn]:
    async with TwilioStandIn() as stand_in:
        yield stand_in


@pytest.fixture
async def common(postgres_db: Database, twilio: TwilioStandIn) -> AsyncIterator[dict[str, str]]:
    """The settings of every worker."""
    async with SmtpStandIn() as smtp:
        broadcast = postgres_db.url.render_as_string(hide_password=False).replace("+asyncpg", "", 1)
        yield {**settings(postgres_db, twilio, smtp), "BROADCAST_URL": broadcast}


def wrong(offset: str) -> Mapping[str, str]:
    """The environment of a process whose clock is off by so much; how long something takes it measures well."""
    found = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")
    require("libfaketime", bool(found), "no libfaketime.so.1 (Debian's package faketime)")
    return {"LD_PRELOAD": found[0], "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


def owed(number: int, **values: Any) -> Delivery:
    return Delivery(
        **{
            "channel": Channel.SMS,
            "state": DeliveryState.PENDING,
            "recipient": f"+1500555{number:04}",
            "body": f"text {number}",
            "rule": "test",
            "change_set": uuid4(),
            "attempt_count": 0,
            "failure_count": 0,
            **values,
        }
    )


def owe(session: Session, first: int, count: int = 1, since: timedelta = SOON) -> None:
    session.add_all(owed(number, due_at=now(session) - since) for number in range(first, first + count))


def hold(session: Session, number: int) -> None:
    """Another worker has this one, for as long as a lease lasts."""
    session.add(owed(number, due_at=now(session) + LEASE, lease=uuid4(), attempt_count=1))
    session.flush()
    query = select(_deliveries.c.id).where(_deliveries.c.body == f"text {number}")
    session.add(DeliveryAttempt(delivery_id=session.scalars(query).one(), number=1, started_at=now(session)))


async def sent(db: Database, count: int) -> None:
    """Until so many messages are sent."""
    query = select(func.count()).where(_deliveries.c.state == DeliveryState.SENT)
    async with asyncio.timeout(PATIENCE):
        while await db.read(lambda session: session.scalar(query)) != count:  # noqa: ASYNC110  (it happens elsewhere)
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("offset", [AHEAD, BEHIND])
async def test_what_another_holds_is_left_alone_and_what_is_due_is_sent(
    postgres_db: Database, twilio: TwilioStandIn, common: dict[str, str], tmp_path: Path, offset: str
) -> None:
    await postgres_db.write(hold, 1)
    await postgres_db.write(owe, 2)
    async with ServiceProcess(tmp_path, common, "worker", variables=wrong(offset)) as worker:
        await worker.line("delivers messages")
        await sent(postgres_db, 1)  # from here on it takes as many at a time as it has room for
        await postgres_db.write(owe, 3)
        await sent(postgres_db, 2)
        assert "Traceback" not in worker.output
    assert [message.body for message in twilio.messages] == ["text 2", "text 3"]


@pytest.mark.parametrize("offset", [AHEAD, BEHIND])
async def test_a_lease_lasts_and_is_renewed_as_it_should(
    postgres_db: Database, twilio: TwilioStandIn, common: dict[str, str], tmp_path: Path, offset: str
) -> None:
    twilio.faults.extend([TwilioFault.HANG_BEFORE])
    await postgres_db.write(owe, 1)
    async with ServiceProcess(tmp_path, common, "worker", variables=wrong(offset)) as worker:
        await twilio.wait_for_attempts(1)
        first, lasts = await lease(postgres_db)
        assert LEASE - SOON < lasts <= LEASE
        async with asyncio.timeout(RENEWAL + PATIENCE):
            while (renewed := await lease(postgres_db))[0] == first:  # noqa: ASYNC110  (it happens elsewhere)
                await asyncio.sleep(0.1)
        assert "Traceback" not in worker.output
    assert LEASE - SOON < renewed[1] <= LEASE


async def lease(db: Database) -> tuple[datetime, timedelta]:
    """Until when it lasts, and how long that is by the database's clock."""
    left = text("SELECT due_at, due_at - statement_timestamp() FROM deliveries WHERE lease IS NOT NULL")
    until, lasts = await db.read(lambda session: session.execute(left).one())
    return until, lasts


async def test_two_workers_whose_clocks_are_minutes_apart_send_nothing_twice(
    postgres_db: Database, twilio: TwilioStandIn, common: dict[str, str], tmp_path: Path
) -> None:
    twilio.delay = 0.2
    async with (
        ServiceProcess(tmp_path, common, "worker", variables=wrong(BEHIND)) as behind,
        ServiceProcess(tmp_path, common, "worker", variables=wrong(AHEAD)) as ahead,
    ):
        for worker in (behind, ahead):
            await worker.line("delivers messages")
        for first in range(0, MANY, 10):
            await postgres_db.write(owe, first, 10, HOUR)
        await sent(postgres_db, MANY)
        assert "Traceback" not in behind.output + ahead.output
    assert Counter(form["Body"] for form in twilio.attempts) == Counter(f"text {number}" for number in range(MANY))


async def test_an_unclear_attempt_is_found_at_twilio_whatever_the_clock_here_said(
    postgres_db: Database, twilio: TwilioStandIn, common: dict[str, str], tmp_path: Path
) -> None:
    """It was begun an hour from now, by that clock; Twilio took it before that."""
    twilio.faults.extend([TwilioFault.RESET_AFTER_ACCEPT])
    await postgres_db.write(owe, 1)
    unclear = select(_deliveries.c.id).where(_deliveries.c.state == DeliveryState.UNKNOWN)
    async with ServiceProcess(tmp_path, common, "worker", variables=wrong(FAR_AHEAD)) as worker:
        async with asyncio.timeout(PATIENCE):
            while not await postgres_db.read(lambda session: session.scalar(unclear)):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        await end_waiting(postgres_db)
        await sent(postgres_db, 1)
        assert "Traceback" not in worker.output
    assert len(twilio.messages) == len(twilio.attempts) == 1


async def test_a_message_is_due_by_the_databases_clock(
    postgres_db: Database, common: dict[str, str], tmp_path: Path
) -> None:
    """A server whose clock is an hour ahead owes it."""
    serve = ("serve", "--port", "0", "--no-deliveries")
    async with ServiceProcess(tmp_path, common, *serve, variables=wrong(FAR_AHEAD)) as server:
        payload = await Client(await server.url()).data(SIGN_UP)
        assert payload["errors"] == []
        assert "Traceback" not in server.output
    due = select(_deliveries.c.due_at <= func.statement_timestamp())
    assert await postgres_db.read(lambda session: session.scalars(due).all()) == [True]
