"""What people can do with deliveries. Each function is a unit of work."""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, bindparam, select, update
from sqlalchemy.orm import Session

from gql_app.db import ANNOUNCED, now
from gql_app.deliveries.models import AttemptOutcome, Channel, Delivery, DeliveryAttempt, DeliveryState
from gql_app.deliveries.texts import Texts, Unrenderable
from gql_app.errors import Conflict, Forbidden, NotFound
from gql_app.viewer import Viewer

_deliveries: Any = Delivery.__table__
_SAY = (
    update(_deliveries)
    .where(_deliveries.c.id == bindparam("delivery"))
    .values({name: bindparam(f"its_{name}") for name in ("subject", "body", "html")})
    .values(template=None, template_values=None)
    .execution_options(**ANNOUNCED)
)


def write_out(session: Session, texts: Texts) -> int:
    """Give each message that is still owed its text, for a version that knows no templates; returns how many.

    Those that cannot be rendered stay as they are.
    """
    owed = select(Delivery).where(Delivery.template.is_not(None), Delivery.due_at.is_not(None))
    written: list[dict[str, object]] = []
    for row in session.scalars(owed.with_for_update()):
        with contextlib.suppress(Unrenderable):
            said = texts.render(row)
            its = {"its_subject": said.subject, "its_body": said.body, "its_html": said.html}
            written.append({"delivery": row.id, **its})
    if written:
        session.connection().execute(_SAY, written)
    return len(written)


def shown_as(state: DeliveryState) -> ColumnElement[bool]:
    """The deliveries that are shown in this state."""
    leased = Delivery.lease.is_not(None)
    return leased if state is DeliveryState.SENDING else (Delivery.state == state) & ~leased


def attempts_of(session: Session, delivery_ids: Sequence[int]) -> Mapping[int, list[DeliveryAttempt]]:
    """The attempts of each delivery, the first one first."""
    query = (
        select(DeliveryAttempt)
        .where(DeliveryAttempt.delivery_id.in_(delivery_ids))
        .order_by(DeliveryAttempt.delivery_id, DeliveryAttempt.number)
    )
    found: dict[int, list[DeliveryAttempt]] = {each: [] for each in delivery_ids}
    for attempt in session.scalars(query):
        found[attempt.delivery_id].append(attempt)
    return found


def retry(session: Session, viewer: Viewer | None, delivery_id: UUID) -> Delivery:
    """Queue a message again that was given up or did not arrive; ``viewer`` is None for the operator's command.

    Raises:
        Forbidden: for admins only.
        NotFound, Conflict: it is still on its way, or has arrived.
    """
    if viewer is not None and not viewer.is_admin:
        raise Forbidden
    delivery = session.scalar(select(Delivery).where(Delivery.public_id == delivery_id).with_for_update())
    if delivery is None:
        raise NotFound(field="id")
    if delivery.state not in (DeliveryState.DEAD, DeliveryState.UNDELIVERED):
        raise Conflict(
            f"This message is {delivery.shown_state.value}; only DEAD and UNDELIVERED ones can be retried.",
            field="id",
        )
    last = (
        select(DeliveryAttempt.outcome)
        .where(DeliveryAttempt.delivery_id == delivery.id)
        .order_by(DeliveryAttempt.number.desc())
        .limit(1)
    )
    unclear = (
        delivery.channel != Channel.EMAIL  # a mail can be sent again: its Message-ID is known
        and delivery.state is DeliveryState.DEAD
        and session.scalar(last) is AttemptOutcome.UNKNOWN
    )
    delivery.state = DeliveryState.UNKNOWN if unclear else DeliveryState.PENDING
    delivery.due_at = now(session)
    delivery.failure_count = 0
    return delivery
