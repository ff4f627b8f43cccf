"""What Twilio reports of a message after it took it: delivered or not.

Must hold: reports come repeated and out of order, and the state never goes back because of one.
"""

import logging
from urllib.parse import parse_qsl
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from twilio.request_validator import RequestValidator

from gql_app.changes.capture import Entry, record
from gql_app.changes.models import ChangeKind
from gql_app.db import ANNOUNCED, Database, moment
from gql_app.deliveries.models import AttemptOutcome, Delivery, DeliveryAttempt, DeliveryState
from gql_app.settings import Settings

logger = logging.getLogger(__name__)

PATH = "/webhooks/twilio/status"
MAX_BODY = 64 * 1024

STATES = {
    "delivered": DeliveryState.DELIVERED,
    "read": DeliveryState.DELIVERED,
    "undelivered": DeliveryState.UNDELIVERED,
    "failed": DeliveryState.UNDELIVERED,
}
"""Twilio's final message statuses; all others say that it has the message."""
FINAL = (DeliveryState.DELIVERED, DeliveryState.UNDELIVERED)


def report(session: Session, attempt_id: UUID | None, sid: str, status: str, error_code: str | None) -> bool:
    """Note a report; whether it told us anything. The first final status counts, whatever comes later."""
    found = _find(session, attempt_id, sid)
    if found is None:
        return False
    delivery, attempt = found
    if attempt.outcome is AttemptOutcome.SENT and (delivery.due_at is not None or delivery.provider_id != sid):
        return False  # it was queued again since: this is about a round that is over
    _complete(session, attempt, sid, error_code)
    then = STATES.get(status, DeliveryState.SENT)
    if delivery.state in FINAL or delivery.state is then:
        return False
    session.connection().execute(
        update(Delivery)
        .execution_options(**ANNOUNCED)  # recorded below
        .where(Delivery.id == delivery.id)
        # A worker that is still waiting for its answer loses its lease: we know more than it will.
        .values(
            state=then,
            due_at=None,
            lease=None,
            provider_id=sid,
            version=Delivery.version + 1,
            updated_at=moment(session),
        )
    )
    _close_others(session, delivery.id)
    changed = (delivery.state.name, then.name, delivery.recipient_id)
    record(session, [Entry(ChangeKind.UPDATED, "Delivery", delivery.public_id, "state", *changed)])
    return True


def _find(session: Session, attempt_id: UUID | None, sid: str) -> tuple[Delivery, DeliveryAttempt] | None:
    """By the attempt that was named in the callback's address, or else by Twilio's own id."""
    known = DeliveryAttempt.public_id == attempt_id if attempt_id else DeliveryAttempt.provider_id == sid
    attempt = session.scalars(select(DeliveryAttempt).where(known).order_by(DeliveryAttempt.id).limit(1)).first()
    if attempt is None:
        return None
    query = select(Delivery).where(Delivery.id == attempt.delivery_id).with_for_update()
    return session.scalars(query).one(), attempt


def _complete(session: Session, attempt: DeliveryAttempt, sid: str, error_code: str | None) -> None:
    values: dict[str, object] = {"provider_id": sid, "outcome": AttemptOutcome.SENT}
    if attempt.finished_at is None:
        values["finished_at"] = moment(session)
    if error_code:
        values["error_code"] = error_code[:32]
    session.connection().execute(update(DeliveryAttempt).where(DeliveryAttempt.id == attempt.id).values(values))


def _close_others(session: Session, delivery_id: int) -> None:
    """Attempts of workers that have lost their lease to a report: they will not write down what came of them."""
    session.connection().execute(
        update(DeliveryAttempt)
        .where(DeliveryAttempt.delivery_id == delivery_id, DeliveryAttempt.finished_at.is_(None))
        .values(
            finished_at=moment(session),
            outcome=AttemptOutcome.UNKNOWN,
            error="a report about an earlier attempt came in the middle of it",
        )
    )


def report_routes(db: Database, settings: Settings) -> list[Route]:
    """``POST /webhooks/twilio/status``, where SMS go out by Twilio; only what Twilio signed is listened to."""
    if settings.twilio is None:
        return []
    validator = RequestValidator(settings.twilio.auth_token.reveal())

    async def status(request: Request) -> Response:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY:
                return PlainTextResponse("too large\n", 413)
        # The address that Twilio signed is the public one, whatever a proxy has made of it.
        url = settings.public_url + request.url.path + (f"?{request.url.query}" if request.url.query else "")
        form = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
        signature = request.headers.get("x-twilio-signature", "")
        if not signature or not validator.validate(url, form, signature):
            logger.warning("a status report with a wrong signature was refused")
            return PlainTextResponse("wrong signature\n", 403)
        attempt = _uuid(request.query_params.get("attempt", ""))
        sid, told = form.get("MessageSid", "")[:64], form.get("MessageStatus", "")
        await db.write(report, attempt, sid, told, form.get("ErrorCode"))
        return Response(status_code=204)

    return [Route(PATH, status, methods=["POST"])]


def _uuid(value: str) -> UUID | None:
    try:
        return UUID(value)
    except ValueError:
        return None
