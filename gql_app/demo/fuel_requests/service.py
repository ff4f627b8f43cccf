"""What people can do with fuel requests. Each function is a unit of work, and a mutation."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated

from sqlalchemy.orm import Session, joinedload

from gql_app import Viewer, clean_text, mutation
from gql_app.accounts import Role
from gql_app.demo.fuel_requests import models
from gql_app.demo.fuel_requests.graphql import FuelRequest
from gql_app.demo.fuel_requests.models import FuelRequestStatus
from gql_app.errors import Conflict, Invalid

MOST_LITRES = Decimal(1_000_000)
NOTE_LENGTH = 2000

Note = Annotated[str | None, f"At most {NOTE_LENGTH} characters."]
WithRequester = Annotated[models.FuelRequest, joinedload(models.FuelRequest.requester, innerjoin=True)]
"""The rules will ask for the requester, and find her in the session: one statement instead of two."""


@mutation(FuelRequest)
def submit_fuel_request(
    session: Session,
    viewer: Viewer,
    litres: Annotated[Decimal, f"More than 0 and at most {MOST_LITRES:,}, with at most two decimals."],
    note: Note = None,
) -> models.FuelRequest:
    """Ask for fuel."""
    request = models.FuelRequest(
        requester_id=viewer.id,
        litres=_clean_litres(litres),
        note=clean_text(note, field="note", longest=NOTE_LENGTH),
    )
    session.add(request)
    return request


@mutation(FuelRequest, roles=[Role.APPROVER])
def decide_fuel_request(
    session: Session,
    viewer: Viewer,
    request: WithRequester,
    status: Annotated[FuelRequestStatus, "APPROVED or REJECTED."],
    note: Note = None,
) -> models.FuelRequest:
    """Approve or reject, once: the second decision gets CONFLICT. For approvers, and not for one's own request."""
    if request.requester_id == viewer.id:
        raise Invalid("Somebody else has to decide your own request.", field="id")
    if status is FuelRequestStatus.PENDING:
        raise Invalid("Decide for APPROVED or REJECTED.", field="status")
    note = clean_text(note, field="note", longest=NOTE_LENGTH)
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
