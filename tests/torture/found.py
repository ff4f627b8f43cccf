"""The rows of the database at the end."""

from collections import defaultdict
from collections.abc import Iterator
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from gql_app.accounts.models import User
from gql_app.accounts.roles import Role
from gql_app.api.ids import encode_id
from gql_app.changes.models import ChangeKind, ChangeRecord
from gql_app.deliveries.models import Channel, Delivery
from gql_app.demo.fuel_requests.models import FuelRequest
from gql_app.demo.projects.models import Comment, Project
from tests.torture.subscribers import Seen

OWING = (("FuelRequest", "status"), ("Project", "status"))
"""An update of one of these owes its owner one SMS and one mail."""


class Found:
    """As they are."""

    def __init__(self, session: Session) -> None:
        self.users = {user.username: user for user in session.scalars(select(User))}
        self.log = list(session.scalars(select(ChangeRecord).order_by(ChangeRecord.position)))
        self.requests = {encode_id("FuelRequest", r.public_id): r for r in session.scalars(select(FuelRequest))}
        self.projects = {encode_id("Project", p.public_id): p for p in session.scalars(select(Project))}
        self.comments = {encode_id("Comment", c.public_id) for c in session.scalars(select(Comment))}
        self.deliveries = list(session.scalars(select(Delivery)))

    @property
    def committed(self) -> int:
        """How many mutations have left something in the log (sign-ups and deliveries aside)."""
        return len({row.change_set for row in self.log if row.actor_id is not None})

    def visible_to(self, name: str) -> list[Seen]:
        """The log as this person may see it."""
        user = self.users[name]
        return [
            Seen(row.position, encode_id(row.entity_type, row.entity_id), row.new_value)
            for row in self.log
            if user.role is Role.ADMIN
            or row.owner_id == user.id
            or (user.role is Role.APPROVER and row.entity_type == "FuelRequest")
        ]

    def statuses_of(self) -> dict[str, list[str | None]]:
        """Every status that a request or a project has had, by its id."""
        history = defaultdict(list)
        for row in self.log:
            if (row.entity_type, row.attribute) in OWING:
                history[encode_id(row.entity_type, row.entity_id)].append(row.new_value)
        return history

    def owing(self) -> Iterator[ChangeRecord]:
        """The events that owe messages."""
        for row in self.log:
            if row.kind is ChangeKind.UPDATED and (row.entity_type, row.attribute) in OWING:
                yield row

    def owed_by(self) -> dict[UUID, list[Delivery]]:
        """The deliveries of each change set."""
        owed = defaultdict(list)
        for delivery in self.deliveries:
            owed[delivery.change_set].append(delivery)
        return owed

    def by(self, channel: Channel) -> list[Delivery]:
        return [delivery for delivery in self.deliveries if delivery.channel is channel]
