"""Fuel requests in the schema."""

import enum
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any, cast
from uuid import UUID

import strawberry
from sqlalchemy import Select, select
from sqlalchemy.orm import Session as DbSession
from strawberry.utils.str_converters import to_camel_case

from gql_app import (
    ChangeEvent,
    Connection,
    Holder,
    Info,
    Lookup,
    Node,
    Order,
    OrderDirection,
    Page,
    PageArgs,
    Topic,
    UserError,
    Viewer,
    accounts,
    as_values,
    faults_as,
    id_of,
    mentioned,
    of_values,
    seen,
    value_of,
)
from gql_app.accounts import Role
from gql_app.accounts.graphql import User, users_by_id
from gql_app.demo.fuel_requests import models, service
from gql_app.demo.fuel_requests.models import FuelRequestStatus
from gql_app.errors import NotFound

strawberry.enum(FuelRequestStatus)

NOBODY: Mapping[int, User] = MappingProxyType({})


@strawberry.type
class FuelRequest(Node):
    _kind: strawberry.Private[str] = "FuelRequest"
    requester_id: strawberry.Private[int]
    decided_by_id: strawberry.Private[int | None]
    status: FuelRequestStatus
    litres: Decimal
    note: str | None
    decided_at: datetime | None
    decision_note: str | None
    created_at: datetime
    updated_at: datetime

    people: strawberry.Private[Mapping[int, User]]

    @strawberry.field
    def requester(self, info: Info) -> User:
        return self._person(info, self.requester_id)

    @strawberry.field
    def decided_by(self, info: Info) -> User | None:
        return self._person(info, self.decided_by_id) if self.decided_by_id else None

    def _person(self, info: Info, user_id: int) -> User:
        return self.people.get(user_id) or cast(User, info.context.load(users_by_id, user_id))  # GraphQL awaits it

    @classmethod
    def of(cls, request: models.FuelRequest) -> "FuelRequest":
        return cls(
            people=NOBODY,
            public_id=request.public_id,
            requester_id=request.requester_id,
            decided_by_id=request.decided_by_id,
            status=request.status,
            litres=request.litres,
            note=request.note,
            decided_at=request.decided_at,
            decision_note=request.decision_note,
            created_at=request.created_at,
            updated_at=request.updated_at,
        )

    @classmethod
    def of_values(cls, values: dict[str, Any], people: Mapping[int, User] = NOBODY) -> "FuelRequest":
        """``people``: users who have been looked up already, by their keys."""
        values["people"] = people
        return of_values(cls, values)


def seen_by_public_id(session: DbSession, holder: Holder, ids: Sequence[UUID]) -> Mapping[UUID, FuelRequest]:
    query = seen(models.FuelRequest, holder).where(models.FuelRequest.public_id.in_(ids))
    return {row.public_id: FuelRequest.of(row) for row in session.scalars(query)}


_table: Any = models.FuelRequest.__table__
fuel_requests_by_public_id: Lookup[UUID, FuelRequest] = Lookup(
    _table.c.public_id,
    FuelRequest.of_values,
    select(_table),
    frozenset({"id", "public_id", "requester_id", "decided_by_id", "created_at"}),
    models.FuelRequest,
)
"""For `Context.load` and `Context.find`; `Context.seen` says whether they may be seen."""


@strawberry.input(description="Only the requests for which all that is given holds.")
class FuelRequestFilter:
    status: FuelRequestStatus | None = None
    requester_id: strawberry.ID | None = None


@strawberry.enum
class FuelRequestOrderField(enum.Enum):
    CREATED_AT = "created_at"
    UPDATED_AT = "updated_at"
    LITRES = "litres"


@strawberry.input
class FuelRequestOrder:
    field: FuelRequestOrderField = FuelRequestOrderField.CREATED_AT
    direction: OrderDirection = OrderDirection.DESC


def _page(
    viewer: Viewer, filter: FuelRequestFilter, order_by: FuelRequestOrder, args: PageArgs, fields: frozenset[str]
) -> Page:
    """``fields`` are the names of all that is asked for below."""
    column = getattr(models.FuelRequest, order_by.field.value)
    order = Order(column, models.FuelRequest.id, descending=order_by.direction is OrderDirection.DESC)
    columns = fuel_requests_by_public_id.showing(fields | {to_camel_case(column.key)}).rows.selected_columns
    query: Select[Any] = seen(models.FuelRequest, viewer).with_only_columns(*columns)
    if filter.status is not None:
        query = query.where(models.FuelRequest.status == filter.status)
    if filter.requester_id is not None:
        public_id = id_of("User", filter.requester_id, field="filter.requesterId")
        requester = select(accounts.User.id).where(accounts.User.public_id == public_id)
        query = query.where(models.FuelRequest.requester_id.in_(requester))
    return Page.of(query, order, args)


@strawberry.type
class FuelRequestQueries:
    @strawberry.field(
        description="Null for one that does not exist or is not yours to see; what is no such id is INVALID."
    )
    async def fuel_request(self, info: Info, id: strawberry.ID) -> FuelRequest | None:
        info.context.require_viewer()
        found = await info.context.find(fuel_requests_by_public_id, id_of("FuelRequest", id))
        return await info.context.seen(fuel_requests_by_public_id, found)

    @strawberry.field(description="One's own; for approvers and admins everybody's. Newest first unless ordered.")
    async def fuel_requests(
        self,
        info: Info,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
        filter: FuelRequestFilter | None = None,
        order_by: FuelRequestOrder | None = None,
    ) -> Connection[FuelRequest]:
        viewer = info.context.require_viewer()
        args = PageArgs(first, after, last, before)
        order = order_by or FuelRequestOrder()
        fields = mentioned(info)
        page = _page(viewer, filter or FuelRequestFilter(), order, args, fields)
        # As they come an index has them in this order, and a page takes little more than its rows.
        as_they_come = filter is None and order.field is FuelRequestOrderField.CREATED_AT
        rows = await (info.context.look_up if as_they_come else info.context.read)(page.statement)
        people = NOBODY
        if rows and not fields.isdisjoint(("requester", "decidedBy")):
            ids = {row.requester_id for row in rows} | {row.decided_by_id for row in rows} - {None}
            people = await info.context.find_all(users_by_id.showing(fields), ids)
        return page.connection(rows, lambda rows: [FuelRequest.of_values(values, people) for values in as_values(rows)])


@strawberry.input
class SubmitFuelRequestInput:
    litres: Decimal
    note: str | None = None


@strawberry.input
class DecideFuelRequestInput:
    id: strawberry.ID
    status: FuelRequestStatus
    note: str | None = None


@strawberry.type
class SubmitFuelRequestPayload:
    fuel_request: FuelRequest | None = None
    errors: list[UserError] = strawberry.field(default_factory=list)


@strawberry.type
class DecideFuelRequestPayload:
    fuel_request: FuelRequest | None = None
    errors: list[UserError] = strawberry.field(default_factory=list)


@strawberry.type
class FuelRequestMutations:
    @strawberry.mutation(description="Ask for fuel.")
    @faults_as(SubmitFuelRequestPayload)
    async def submit_fuel_request(self, info: Info, input: SubmitFuelRequestInput) -> SubmitFuelRequestPayload:
        viewer = info.context.require_viewer()
        request = await info.context.write(service.submit, viewer, input.litres, input.note)
        return SubmitFuelRequestPayload(fuel_request=FuelRequest.of(request))

    @strawberry.mutation(description="Approve or reject, once: the second decision gets CONFLICT. For approvers.")
    @faults_as(DecideFuelRequestPayload)
    async def decide_fuel_request(self, info: Info, input: DecideFuelRequestInput) -> DecideFuelRequestPayload:
        viewer = info.context.require_role(Role.APPROVER)
        request_id = id_of("FuelRequest", input.id)
        request = await info.context.write(service.decide, viewer, request_id, input.status, input.note)
        return DecideFuelRequestPayload(fuel_request=FuelRequest.of(request))


@strawberry.type(description="A fuel request came in (`previousStatus` is null then) or was decided.")
class FuelRequestStatusChange:
    event: strawberry.Private[ChangeEvent]
    cursor: str
    occurred_at: datetime

    @strawberry.field
    def previous_status(self) -> FuelRequestStatus | None:
        return cast("FuelRequestStatus | None", value_of(models.FuelRequest.status, self.event.old_value))

    @strawberry.field
    def status(self) -> FuelRequestStatus:
        return cast(FuelRequestStatus, value_of(models.FuelRequest.status, self.event.new_value))

    @strawberry.field(description="As it is now; null for those who may not see it any more.")
    async def fuel_request(self, info: Info) -> FuelRequest | None:
        found = await info.context.load(fuel_requests_by_public_id, self.event.entity_id)
        return await info.context.seen(fuel_requests_by_public_id, found)

    @strawberry.field(description="Who did it.")
    async def actor(self, info: Info) -> User | None:
        actor_id = self.event.actor_id
        return await info.context.load(users_by_id, actor_id) if actor_id else None

    @classmethod
    def of(cls, event: ChangeEvent) -> "FuelRequestStatusChange":
        return cls(
            event=event,
            cursor=event.cursor,
            occurred_at=event.occurred_at,
        )


@strawberry.type
class FuelRequestSubscriptions:
    @strawberry.subscription(description="One's own, or the one with this id; for approvers and admins everybody's.")
    async def fuel_request_status_changed(
        self, info: Info, id: strawberry.ID | None = None, after: str | None = None
    ) -> AsyncIterator[FuelRequestStatusChange]:
        viewer = info.context.require_viewer()
        entity_id = id_of("FuelRequest", id) if id is not None else None
        if entity_id is not None and not await info.context.look_up(seen_by_public_id, viewer, [entity_id]):
            raise NotFound
        topic = Topic("FuelRequest", "status", entity_id)
        return info.context.stream([topic], after, FuelRequestStatusChange.of)
