"""Accounts in the schema."""

import enum
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import strawberry
from sqlalchemy import select
from sqlalchemy.orm import Session as DbSession

from gql_app.accounts import models, service
from gql_app.accounts.passwords import Passwords
from gql_app.accounts.service import NewUser
from gql_app.accounts.sessions import NewSession
from gql_app.accounts.throttle import Throttle
from gql_app.api.connections import Connection, Order, PageArgs, load_page
from gql_app.api.context import Context, Info
from gql_app.api.ids import id_of
from gql_app.api.nodes import Node, node_finder
from gql_app.api.payloads import UserError, faults_as
from gql_app.changes.models import ChangeEvent
from gql_app.changes.topics import Topic
from gql_app.errors import BadCredentials
from gql_app.viewer import Role, Viewer

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
        return self.private_email if self._is_open_to(info.context.viewer) else None

    @strawberry.field
    def phone_number(self, info: Info) -> str | None:
        return self.private_phone_number if self._is_open_to(info.context.viewer) else None

    def _is_open_to(self, viewer: Viewer | None) -> bool:
        return self.revealed or (viewer is not None and (viewer.is_admin or viewer.id == self.key))

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


@strawberry.type
class StandardUser(User):
    pass


@strawberry.type
class PremiumUser(User):
    premium_since: datetime


def users_by_id(session: DbSession, ids: Sequence[int]) -> Mapping[int, User]:
    """For `Context.load`."""
    found = session.scalars(select(models.User).where(models.User.id.in_(ids)))
    return {user.id: User.of(user) for user in found}


@node_finder("User")
def _users_by_public_id(session: DbSession, viewer: Viewer, ids: Sequence[UUID]) -> Mapping[UUID, User]:
    query = select(models.User).where(models.User.public_id.in_(ids))
    if not viewer.is_admin:
        query = query.where(models.User.id == viewer.id)
    return {user.public_id: User.of(user) for user in session.scalars(query)}


def _own(session: DbSession, user_id: int) -> models.User | None:
    return session.get(models.User, user_id)


def _page_of_users(session: DbSession, args: PageArgs) -> Connection[User]:
    order = Order(models.User.created_at, models.User.id)
    return load_page(session, select(models.User), order, args).connection(User.of)


@strawberry.type
class AccountQueries:
    @strawberry.field(description="Who is signed in; null when nobody is.")
    async def viewer(self, info: Info) -> User | None:
        viewer = info.context.viewer
        return await info.context.load(users_by_id, viewer.id) if viewer else None

    @strawberry.field(description="All users, oldest first. For admins.")
    async def users(
        self,
        info: Info,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> Connection[User]:
        info.context.require_role(Role.ADMIN)
        return await info.context.read(_page_of_users, PageArgs(first, after, last, before))


@strawberry.type(description="A session that was just begun. The token is shown this once.")
class Session:
    token: str
    expires_at: datetime

    @classmethod
    def of(cls, new: NewSession) -> "Session":
        return cls(token=new.token, expires_at=new.expires_at)


@strawberry.enum
class Plan(enum.Enum):
    STANDARD = "STANDARD"
    PREMIUM = "PREMIUM"


@strawberry.input
class SignUpInput:
    username: str
    email: str
    password: str
    phone_number: str | None = None
    plan: Plan = Plan.STANDARD


@strawberry.input
class LogInInput:
    username: str
    password: str


@strawberry.input
class LogOutInput:
    everywhere: bool = False


@strawberry.input
class ChangeEmailInput:
    new_email: str
    password: str


@strawberry.input
class ChangePasswordInput:
    current_password: str
    new_password: str


@strawberry.input(description="What is left out stays as it is.")
class UpdateProfileInput:
    phone_number: strawberry.Maybe[str | None]


@strawberry.input
class SetRoleInput:
    user_id: strawberry.ID
    role: Role


@strawberry.type
class SignUpPayload:
    user: User | None = None
    session: Session | None = None
    errors: list[UserError] = strawberry.field(default_factory=list)


@strawberry.type
class LogInPayload:
    session: Session | None = None
    viewer: User | None = None
    errors: list[UserError] = strawberry.field(default_factory=list)


@strawberry.type
class LogOutPayload:
    errors: list[UserError] = strawberry.field(default_factory=list)


@strawberry.type
class ChangeEmailPayload:
    user: User | None = None
    errors: list[UserError] = strawberry.field(default_factory=list)


@strawberry.type(description="All sessions have ended, this one too: go on with the new one.")
class ChangePasswordPayload:
    user: User | None = None
    session: Session | None = None
    errors: list[UserError] = strawberry.field(default_factory=list)


@strawberry.type
class UpdateProfilePayload:
    user: User | None = None
    errors: list[UserError] = strawberry.field(default_factory=list)


@strawberry.type
class SetRolePayload:
    user: User | None = None
    errors: list[UserError] = strawberry.field(default_factory=list)


@strawberry.type
class AccountMutations:
    @strawberry.mutation(description="Open an account, and sign in.")
    @faults_as(SignUpPayload)
    async def sign_up(self, info: Info, input: SignUpInput) -> SignUpPayload:
        context = info.context
        username, email = service.clean_username(input.username), service.clean_email(input.email)
        phone_number = service.clean_phone_number(input.phone_number)
        hashed = await context.resource(Passwords).hash(input.password, personal=(username, email))
        new = NewUser(username, email, hashed, phone_number, premium=input.plan is Plan.PREMIUM)
        user, session = await context.write(service.sign_up, new, context.settings.session_lifetime)
        return SignUpPayload(user=User.of(user, revealed=True), session=Session.of(session) if session else None)

    @strawberry.mutation(description="Sign in: send the token as `Authorization: Bearer …` from now on.")
    @faults_as(LogInPayload)
    async def log_in(self, info: Info, input: LogInInput) -> LogInPayload:
        context = info.context
        throttle = context.resource(Throttle)
        throttle.check(input.username, context.client)
        found = await context.read(service.credentials, input.username)
        user_id, hashed = found or (0, None)
        if not await context.resource(Passwords).matches(input.password, hashed) or hashed is None:
            throttle.failed(input.username, context.client)
            raise BadCredentials
        throttle.succeeded(input.username, context.client)
        user, session = await context.write(service.log_in, user_id, hashed, context.settings.session_lifetime)
        return LogInPayload(session=Session.of(session), viewer=User.of(user, revealed=True))

    @strawberry.mutation(description="End this session, or all of one's own. Open subscriptions end with it.")
    @faults_as(LogOutPayload)
    async def log_out(self, info: Info, input: LogOutInput | None = None) -> LogOutPayload:
        viewer = info.context.require_viewer()
        await info.context.write(service.log_out, viewer, everywhere=bool(input and input.everywhere))
        return LogOutPayload()

    @strawberry.mutation(description="The old address is told of it.")
    @faults_as(ChangeEmailPayload)
    async def change_email(self, info: Info, input: ChangeEmailInput) -> ChangeEmailPayload:
        viewer = info.context.require_viewer()
        email = service.clean_email(input.new_email, field="newEmail")
        checked = await _checked_hash(info.context, viewer, input.password, field="password")
        user = await info.context.write(service.change_email, viewer, checked, email)
        return ChangeEmailPayload(user=User.of(user))

    @strawberry.mutation(description="Ends all sessions, and begins a new one.")
    @faults_as(ChangePasswordPayload)
    async def change_password(self, info: Info, input: ChangePasswordInput) -> ChangePasswordPayload:
        context = info.context
        viewer = context.require_viewer()
        checked = await _checked_hash(context, viewer, input.current_password, field="currentPassword")
        new_hash = await context.resource(Passwords).hash(input.new_password, field="newPassword")
        user, session = await context.write(
            service.change_password, viewer, checked, new_hash, context.settings.session_lifetime
        )
        return ChangePasswordPayload(user=User.of(user), session=Session.of(session))

    @strawberry.mutation(description="What is left out stays; a phone number of null is removed, and no SMS are sent.")
    @faults_as(UpdateProfilePayload)
    async def update_profile(self, info: Info, input: UpdateProfileInput) -> UpdateProfilePayload:
        viewer = info.context.require_viewer()
        if input.phone_number is None:
            user = await info.context.read(_own, viewer.id)
        else:
            number = service.clean_phone_number(input.phone_number.value)
            user = await info.context.write(service.update_profile, viewer, number)
        return UpdateProfilePayload(user=User.of(user) if user else None)

    @strawberry.mutation(description="For admins. The user's open subscriptions end.")
    @faults_as(SetRolePayload)
    async def set_role(self, info: Info, input: SetRoleInput) -> SetRolePayload:
        viewer = info.context.require_role(Role.ADMIN)
        user_id = id_of("User", input.user_id, field="userId")
        user = await info.context.write(service.set_role, viewer, user_id, input.role)
        return SetRolePayload(user=User.of(user))


async def _checked_hash(context: Context, viewer: Viewer, password: str, *, field: str) -> str:
    """The hash that this password of the viewer's was found to match. Raises BadCredentials or RateLimited."""
    throttle, name = context.resource(Throttle), str(viewer.public_id)
    throttle.check(name, context.client)
    hashed = await context.read(service.password_hash, viewer.id)
    if not await context.resource(Passwords).matches(password, hashed) or hashed is None:
        throttle.failed(name, context.client)
        raise BadCredentials("The password is wrong.", field=field)
    throttle.succeeded(name, context.client)
    return hashed


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
