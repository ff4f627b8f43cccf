"""Fuel requests in the schema."""

from datetime import datetime
from decimal import Decimal

from gql_app import Node, entity, related
from gql_app.accounts.graphql import User, users_by_id
from gql_app.demo.fuel_requests import models
from gql_app.demo.fuel_requests.models import FuelRequestStatus


@entity(
    models.FuelRequest,
    many="fuel_requests",
    filters=[models.FuelRequest.status, models.FuelRequest.requester_id],
    orders=[models.FuelRequest.created_at, models.FuelRequest.updated_at, models.FuelRequest.litres.desc()],
    streams=[models.FuelRequest.status],
    actor=(User, users_by_id),
)
class FuelRequest(Node):
    """Somebody has asked for fuel. It is hers; approvers and admins see everybody's."""

    status: FuelRequestStatus
    litres: Decimal
    note: str | None
    decided_at: datetime | None
    decision_note: str | None
    created_at: datetime
    updated_at: datetime
    requester: User = related(models.FuelRequest.requester_id, by=users_by_id)
    decided_by: User | None = related(models.FuelRequest.decided_by_id, by=users_by_id)
