"""Accounts in the schema."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import strawberry
from sqlalchemy import Select, select
from sqlalchemy.orm import Session as DbSession

from gql_app.accounts import models
from gql_app.accounts.roles import Role
from gql_app.api.connections import Connection, PageArgs, load_page
from gql_app.api.context import Context, Info
from gql_app.api.keyset import Order
from gql_app.api.lookups import Lookup, as_values, of_values
from gql_app.api.nodes import Node
from gql_app.audiences.conditions import Holder, seen
from gql_app.changes.models import ChangeEvent
from gql_app.changes.topics import Topic

__all__ = ["PremiumUser", "StandardUser", "User", "users_by_id"]

strawberry.enum(Role)


@strawberry.interface(description="Somebody with an account. Address and number are hers and the admins' to see.")
class User(Node):
    _kind: strawberry.Private[str] = "User"
    key: strawberry.Private[int]
    username: str
    private_email: strawberry.Private[str]
    private_phone_number: strawberry.Private[str | None]
    role: Role
    created_at: datetime
    updated_at: datetime
    revealed: strawberry.Private[bool] = False

    @strawberry.field
    def email(self, info: Info) -> str | None:
        return self.private_email if self._is_open_to(info.context) else None

    @strawberry.field
    def phone_number(self, info: Info) -> str | None:
        return self.private_phone_number if self._is_open_to(info.context) else None

    def _is_open_to(self, context: Context) -> bool:
        return self.revealed or context.covers("User", self.key)

    @staticmethod
    def of(user: models.User, *, revealed: bool = False) -> "User":
        """``revealed``: to somebody who has just proved to be this user."""
        values: dict[str, Any] = {
            "public_id": user.public_id,
            "key": user.id,
            "username": user.username,
            "private_email": user.email,
            "private_phone_number": user.phone_number,
            "role": user.role,
            "created_at": user.created_at,
            "updated_at": user.updated_at,
            "revealed": revealed,
        }
        if isinstance(user, models.PremiumUser):
            return PremiumUser(**values, premium_since=user.premium_since)
        return StandardUser(**values)

    @staticmethod
    def of_values(values: dict[str, Any]) -> "User":
        return of_values(PremiumUser if values["plan"] == _PREMIUM else StandardUser, values)


@strawberry.type
class StandardUser(User):
    pass


@strawberry.type
class PremiumUser(User):
    premium_since: datetime


_PREMIUM = models.PremiumUser.__mapper_args__["polymorphic_identity"]


_users: Any = models.User.__table__.c
_premium: Any = models.PremiumUser.__table__.c

_KEY = _users.id.label("key")
_ROWS: Select[Any] = select(
    _KEY,
    _users.public_id,
    _users.plan,
    _users.username,
    _users.email.label("private_email"),
    _users.phone_number.label("private_phone_number"),
    _users.role,
    _users.created_at,
    _users.updated_at,
    _premium.premium_since,
).outerjoin_from(models.User.__table__, models.PremiumUser.__table__, _users.id == _premium.id)

users_by_id: Lookup[int, User] = Lookup(
    _KEY, User.of_values, _ROWS, frozenset({"key", "public_id", "plan", "private_email", "private_phone_number"})
)
"""For `Context.load`."""


def users_by_public_id(session: DbSession, holder: Holder, ids: Sequence[UUID]) -> Mapping[UUID, User]:
    query = seen(models.User, holder).where(models.User.public_id.in_(ids))
    return {user.public_id: User.of(user) for user in session.scalars(query)}


def _page_of_users(session: DbSession, args: PageArgs) -> Connection[User]:
    order = Order(models.User.created_at, models.User.id)
    return load_page(
        session, _ROWS.add_columns(_users.id), order, args, lambda rows: list(map(User.of_values, as_values(rows)))
    )


@strawberry.type
class AccountQueries:
    @strawberry.field(description="Who is signed in; null when nobody is.")
    async def viewer(self, info: Info) -> User | None:
        viewer = info.context.viewer
        return await info.context.find(users_by_id, viewer.id) if viewer else None

    @strawberry.field(description="All users, oldest first. For admins.")
    async def users(
        self,
        info: Info,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> Connection[User]:
        info.context.require_admin()
        return await info.context.read(_page_of_users, PageArgs(first, after, last, before))


@strawberry.type(description="Somebody's e-mail address was changed, or given for the first time.")
class EmailChange:
    event: strawberry.Private[ChangeEvent]
    cursor: str
    occurred_at: datetime
    previous_email: str | None
    email: str

    @strawberry.field
    async def user(self, info: Info) -> User | None:
        return await info.context.load(users_by_id, self.event.owner_id or 0)

    @classmethod
    def of(cls, event: ChangeEvent) -> "EmailChange":
        return cls(
            event=event,
            cursor=event.cursor,
            occurred_at=event.occurred_at,
            previous_email=event.old_value,
            email=event.new_value or "",
        )


@strawberry.type
class AccountSubscriptions:
    @strawberry.subscription(description="One's own e-mail address; an admin hears of everybody's.")
    def email_changed(self, info: Info, after: str | None = None) -> AsyncIterator[EmailChange]:
        return info.context.stream([Topic("User", "email")], after, EmailChange.of)
