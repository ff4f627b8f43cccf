"""A decision in a process that is killed at a chosen step, and another process that takes over."""

import asyncio
import signal
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import select
from sqlalchemy.orm import Session

from gql_app.accounts.models import User
from gql_app.api.ids import encode_id
from gql_app.changes.cursors import parse_cursor
from gql_app.changes.models import ChangeRecord
from gql_app.changes.sequencer import move
from gql_app.db import Database
from gql_app.deliveries import queue
from gql_app.deliveries.claims import Result
from gql_app.deliveries.models import AttemptOutcome, Channel, DeliveryState
from gql_app.deliveries.retry import Next
from gql_app.demo.fuel_requests.models import FuelRequest
from gql_app.reconcile import Finding, reconcile
from gql_app.testing.client import PATIENCE, Client
from tests.crash.breaking import Step
from tests.crash.forked import ForkedProcess
from tests.crash.town import Place, Subscriber, cancelled, end_waiting, settings, sign_up
from tests.people import DECIDE, decide
from tests.standins.smtp import SmtpFault, SmtpMail, SmtpStandIn
from tests.standins.twilio import TwilioFault, TwilioStandIn

StatusEvent = tuple[str, str | None, str | None]
"""The request's id, its old and its new status."""


@dataclass(frozen=True)
class Outcome:
    """What was true when the other process had finished all that was owed.

    `first` is the request whose decision was interrupted. `second`, of the same requester, was decided after that:
    her messages go out in their order, so what had not been sent of the first by then never will be.
    """

    first: str
    second: str
    answered: bool
    sent_before: tuple[int, int]
    status_events: list[StatusEvent]
    positions: list[int]
    cursors: list[int]
    seen: list[StatusEvent]
    connections: int
    sms: list[str]
    mails: list[SmtpMail]
    findings: list[Finding]


async def interrupted(
    step: Step, db: Database, broadcast_url: str, starter: ForkServerContext, directory: Path
) -> Outcome:
    tokens = await sign_up(db, ["asker"])
    first, second = await db.write(_two_requests)
    await db.write(_send_welcomes)
    await move(db)
    place = Place()
    subscriber = Subscriber(place, tokens["root"], db)
    async with TwilioStandIn() as twilio, SmtpStandIn() as smtp:
        environment = {**settings(db, twilio, smtp), "BROADCAST_URL": broadcast_url}
        serve = (starter, directory, environment, "serve", "--port", "0")
        following = asyncio.create_task(subscriber.follow())
        async with ForkedProcess(*serve, step=step.name if step.arm else "") as process:
            place.moved_to(await process.url())
            await subscriber.until_finished(PATIENCE)
            if step.hangs is Channel.SMS:
                twilio.faults.extend([TwilioFault.HANG_AFTER])
            if step.hangs is Channel.EMAIL:
                smtp.faults.extend([SmtpFault.HANG_AFTER_ACCEPT])
            asking = asyncio.create_task(_is_answered(Client(place.url, tokens["grace"]), first))
            if step.hangs:
                await (twilio if step.hangs is Channel.SMS else smtp).wait_for(1)  # it answers nothing
                process.send(signal.SIGKILL)
            assert await process.ended() == -signal.SIGKILL, f"it did not come to {step.name}:\n{process.output}"
            place.closed()
            assert "Traceback" not in process.output, process.output
            answered = await asking
        sent_before = len(twilio.messages), len(smtp.mails)
        await end_waiting(db, leases=True)
        async with ForkedProcess(*serve) as process:
            place.moved_to(await process.url())
            await subscriber.until_finished(PATIENCE)  # nothing is committed from outside that could wake anybody
            await decide(Client(place.url, tokens["grace"]), second, status="REJECTED")
            await subscriber.until_finished(PATIENCE)
            assert "Traceback" not in process.output, process.output
        await cancelled([following])
        return Outcome(
            first,
            second,
            answered,
            sent_before,
            await db.read(_status_events),
            await db.read(lambda s: list(s.scalars(select(ChangeRecord.position).order_by(ChangeRecord.position)))),
            [parse_cursor(event["cursor"]).position for event in subscriber.events],
            [_status_event(event) for event in subscriber.events if _is_status(event)],
            subscriber.connections,
            [message.body for message in twilio.messages],
            smtp.mails,
            await db.read(reconcile),
        )


async def _is_answered(client: Client, request_id: str) -> bool:
    """Whether the client hears that it was decided."""
    try:
        payload = await client.data(DECIDE, id=request_id, status="APPROVED")
    except httpx.TransportError:
        return False
    assert payload["errors"] == [], payload
    return True


def _two_requests(session: Session) -> tuple[str, str]:
    asker = session.scalars(select(User.id).where(User.username == "asker")).one()
    requests = [FuelRequest(requester_id=asker, litres=Decimal(number)) for number in (1, 2)]
    session.add_all(requests)
    session.flush()
    first, second = (encode_id("FuelRequest", request.public_id) for request in requests)
    return first, second


def _send_welcomes(session: Session) -> None:
    """What was owed before is done with: the first message from here on is about the decision."""
    now = datetime.now(UTC)
    claims = queue.claim(session, Channel.EMAIL, now, 100)
    sent = Next(DeliveryState.SENT, None)
    assert queue.finish(session, [Result(claim, AttemptOutcome.SENT, sent, now) for claim in claims]) == len(claims)


def _status_events(session: Session) -> list[StatusEvent]:
    query = select(ChangeRecord).where(ChangeRecord.entity_type == "FuelRequest", ChangeRecord.attribute == "status")
    rows = session.scalars(query.order_by(ChangeRecord.position))
    return [(encode_id("FuelRequest", row.entity_id), row.old_value, row.new_value) for row in rows]


def _is_status(event: dict[str, Any]) -> bool:
    return (event["entityType"], event["attribute"]) == ("FuelRequest", "status")


def _status_event(event: dict[str, Any]) -> StatusEvent:
    return event["entityId"], event["oldValue"], event["newValue"]
