"""Deliveries in the schema."""

import enum
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any, cast
from uuid import UUID

import strawberry
from sqlalchemy import Row
from sqlalchemy.orm import Session as DbSession

from gql_app.api.connections import Connection, PageArgs, load_page
from gql_app.api.context import Info
from gql_app.api.ids import id_of
from gql_app.api.keyset import Order
from gql_app.api.nodes import Node, as_it_is_now
from gql_app.api.once import takes_a_key, write_once
from gql_app.api.payloads import UserError, faults_as
from gql_app.api.streams import Snapshot, state_of
from gql_app.audiences.conditions import Holder, seen
from gql_app.changes.models import ChangeEvent
from gql_app.changes.topics import Topic
from gql_app.changes.tracking import value_of
from gql_app.deliveries import models, service
from gql_app.deliveries.models import AttemptOutcome, Channel, DeliveryState, Fault
from gql_app.deliveries.texts import Texts
from gql_app.limiter.security import note
from gql_app.vertical import Vertical
from gql_app.viewer import Viewer


@strawberry.enum(name="Channel", description="How a message travels.")
class ChannelName(enum.Enum):
    """Those of every application; `schema` adds those of verticals."""

    SMS = "SMS"
    EMAIL = "EMAIL"


strawberry.enum(
    DeliveryState,
    description="PENDING: owed. SENDING: a worker has it. SENT: the provider (or the development mailbox) took it. "
    "DELIVERED, UNDELIVERED: the provider says that it arrived, or did not. UNKNOWN: it is not clear whether the "
    "provider took it; that is looked up. DEAD: given up; an admin can retry it. SUPPRESSED: not sent (see `reason`).",
)
strawberry.enum(
    AttemptOutcome,
    description="SENT: accepted. TRANSIENT: refused, worth another attempt. PERMANENT: refused for good. REFUSED: our "
    "own credentials were refused. UNKNOWN: may or may not have been accepted. SUPPRESSED: it was not to be sent any "
    "more.",
)
strawberry.enum(
    Fault,
    description="Whose fault it is that a message was not accepted. RECIPIENT: this address or number will never work. "
    "MESSAGE: nobody would take this message. US: the sender's configuration or credentials. LATER: nobody's; it may "
    "be accepted later.",
)


@strawberry.type(description="One attempt to send a message; without an outcome while it runs.")
class DeliveryAttempt:
    number: int
    started_at: datetime
    finished_at: datetime | None
    outcome: AttemptOutcome | None
    provider_id: str | None
    fault: Fault | None = strawberry.field(description="Whose fault it was; null where nobody knows.")
    error_code: str | None
    said: strawberry.Private[str | None] = None

    @strawberry.field(description="What the provider answered, in its own words. For admins; null for others.")
    def error(self, info: Info) -> str | None:
        viewer = info.context.viewer
        return self.said if viewer is not None and viewer.is_admin else None

    @classmethod
    def of(cls, row: models.DeliveryAttempt) -> "DeliveryAttempt":
        return cls(
            number=row.number,
            started_at=row.started_at,
            finished_at=row.finished_at,
            outcome=row.outcome,
            provider_id=row.provider_id,
            fault=row.fault,
            error_code=row.error_code,
            said=row.error,
        )


@strawberry.type(description="A message owed to one person by one channel.")
class Delivery(Node):
    _kind: strawberry.Private[str] = "Delivery"
    row: strawberry.Private[models.Delivery | Row[Any]]
    channel: ChannelName
    state: DeliveryState
    recipient: str
    not_before: datetime | None = strawberry.field(description="It is not sent earlier.")
    expires_at: datetime | None = strawberry.field(description="It is not sent later.")
    fault: Fault | None = strawberry.field(description="Whose fault the last refusal was; null where nobody knows.")
    reason: str | None = strawberry.field(description="Why it was not sent. EXPIRED: its time was over.")
    created_at: datetime
    updated_at: datetime

    @strawberry.field(description="Of a mail: its subject.")
    def subject(self, info: Info) -> str | None:
        return info.context.resource(Texts).shown(self.row).subject

    @strawberry.field(description="The text, as it is sent: of a mail the one without markup.")
    def body(self, info: Info) -> str:
        return info.context.resource(Texts).shown(self.row).body

    @strawberry.field
    async def attempts(self, info: Info) -> list[DeliveryAttempt]:
        found = await info.context.load(service.attempts_of, self.row.id)
        return [DeliveryAttempt.of(row) for row in found or []]

    @classmethod
    def of(cls, row: models.Delivery | Row[Any]) -> "Delivery":
        return cls(
            public_id=row.public_id,
            row=row,
            channel=cast(ChannelName, row.channel.name),
            state=models.shown_state(row.state, row.lease),
            recipient=row.recipient,
            not_before=row.not_before,
            expires_at=row.expires_at,
            fault=row.fault,
            reason=row.reason,
            created_at=row.created_at,
            updated_at=row.updated_at,
        )


def deliveries_by_public_id(session: DbSession, holder: Holder, ids: Sequence[UUID]) -> Mapping[UUID, Delivery]:
    query = seen(models.Delivery, holder).where(models.Delivery.public_id.in_(ids))
    return {row.public_id: Delivery.of(row) for row in session.scalars(query)}


@strawberry.input(description="Only the messages for which all that is given holds.")
class DeliveryFilter:
    channel: ChannelName | None = None
    state: DeliveryState | None = None


def _page(session: DbSession, viewer: Viewer, filter: DeliveryFilter, args: PageArgs) -> Connection[Delivery]:
    query = seen(models.Delivery, viewer)
    if filter.channel is not None:
        query = query.where(models.Delivery.channel == Channel(str(filter.channel.value)))
    if filter.state is not None:
        query = query.where(service.shown_as(filter.state))
    order = Order(models.Delivery.created_at, models.Delivery.id, descending=True)
    return load_page(session, query, order, args, lambda rows: list(map(Delivery.of, rows)))


@strawberry.type
class DeliveryQueries:
    @strawberry.field(description="The messages to oneself; for admins to everybody. Newest first.")
    async def deliveries(
        self,
        info: Info,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
        filter: DeliveryFilter | None = None,
    ) -> Connection[Delivery]:
        viewer = info.context.require_viewer()
        args = PageArgs(first, after, last, before)
        if viewer.is_admin:
            note("messages_read_by_admin", address=info.context.client, by=viewer.id)
        return await info.context.read(_page, viewer, filter or DeliveryFilter(), args)


@strawberry.input
class RetryDeliveryInput:
    id: strawberry.ID


@strawberry.type
class RetryDeliveryPayload:
    delivery: Delivery | None = None
    errors: list[UserError] = strawberry.field(default_factory=list)


@strawberry.type
class DeliveryMutations:
    @strawberry.mutation(description="Send a message again that is DEAD or UNDELIVERED. For admins.")
    @faults_as(RetryDeliveryPayload)
    @takes_a_key
    async def retry_delivery(self, info: Info, input: RetryDeliveryInput) -> RetryDeliveryPayload:
        viewer = info.context.require_admin()
        wanted = id_of("Delivery", input.id)
        row = await write_once(info, models.Delivery, lambda session: service.retry(session, viewer, wanted))
        return RetryDeliveryPayload(delivery=Delivery.of(row))


@strawberry.type(description="A message was queued or came into another state.")
class DeliveryUpdate:
    event: strawberry.Private[ChangeEvent]
    cursor: str
    occurred_at: datetime

    @strawberry.field
    def previous_state(self) -> DeliveryState | None:
        return cast("DeliveryState | None", value_of(models.Delivery.state, self.event.old_value))

    @strawberry.field
    def state(self) -> DeliveryState:
        return cast(DeliveryState, value_of(models.Delivery.state, self.event.new_value))

    @strawberry.field(description="As it is now.")
    async def delivery(self, info: Info) -> Delivery | None:
        found: Delivery | None = await as_it_is_now(info.context, "Delivery", self.event.entity_id)
        return found

    @classmethod
    def of(cls, event: ChangeEvent) -> "DeliveryUpdate":
        return cls(
            event=event,
            cursor=event.cursor,
            occurred_at=event.occurred_at,
        )


@strawberry.type
class DeliverySubscriptions:
    @strawberry.subscription(description="The messages to oneself; for admins to everybody.")
    def delivery_updated(
        self, info: Info, after: str | None = None, snapshot: Snapshot = False
    ) -> AsyncIterator[DeliveryUpdate]:
        state = state_of(models.Delivery.state) if snapshot else None
        return info.context.stream([Topic("Delivery", "state")], after, DeliveryUpdate.of, state=state)


DELIVERIES = Vertical(
    "deliveries",
    queries=(DeliveryQueries,),
    mutations=(DeliveryMutations,),
    subscriptions=(DeliverySubscriptions,),
    nodes={"Delivery": deliveries_by_public_id},
)
