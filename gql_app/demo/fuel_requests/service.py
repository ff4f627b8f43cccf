"""What people can do with fuel requests. Each function is a unit of work."""

from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session, joinedload

from gql_app import Viewer, clean_text
from gql_app.accounts import Role
from gql_app.demo.fuel_requests.models import FuelRequest, FuelRequestStatus
from gql_app.errors import Conflict, Forbidden, Invalid, NotFound

MOST_LITRES = Decimal(1_000_000)
NOTE_LENGTH = 2000

_WITH_REQUESTER = (
    select(FuelRequest)
    .options(joinedload(FuelRequest.requester, innerjoin=True))
    .where(FuelRequest.public_id == bindparam("public_id"))
)
"""The rules will ask for the requester, and find her in the session: one statement instead of two."""


def submit(session: Session, viewer: Viewer, litres: Decimal, note: str | None) -> FuelRequest:
    """Raises Invalid."""
    request = FuelRequest(
        requester_id=viewer.id,
        litres=_clean_litres(litres),
        note=clean_text(note, field="note", longest=NOTE_LENGTH),
    )
    session.add(request)
    session.flush()
    return request


def decide(
    session: Session, viewer: Viewer, request_id: UUID, status: FuelRequestStatus, note: str | None
) -> FuelRequest:
    """Approve or reject, once. Raises Forbidden, Invalid, NotFound, or Conflict for a second decision."""
    if not viewer.may_act_as(Role.APPROVER):
        raise Forbidden
    if status is FuelRequestStatus.PENDING:
        raise Invalid("Decide for APPROVED or REJECTED.", field="status")
    note = clean_text(note, field="note", longest=NOTE_LENGTH)
    request = session.scalar(_WITH_REQUESTER, {"public_id": request_id})
    if request is None:
        raise NotFound(field="id")
    if request.status is not FuelRequestStatus.PENDING:
        raise Conflict(f"This fuel request is {request.status.label} already.", field="id")
    request.status = status
    request.decided_by_id = viewer.id
    request.decided_at = datetime.now(UTC)
    request.decision_note = note
    return request


def _clean_litres(litres: Decimal) -> Decimal:
    if not litres.is_finite() or not 0 < litres <= MOST_LITRES:
        raise Invalid(f"Ask for more than 0 and at most {MOST_LITRES:,} litres.", field="litres")
    if litres != litres.quantize(Decimal("0.01")):
        raise Invalid("Litres have at most two decimals.", field="litres")
    return litres
