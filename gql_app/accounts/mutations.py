"""What people can do with accounts, in the schema."""

import enum
from datetime import datetime, timedelta

import strawberry
from sqlalchemy.orm import Session as DbSession

from gql_app.accounts import devices, models, names, service, tickets
from gql_app.accounts.graphql import User
from gql_app.accounts.passwords import Passwords
from gql_app.accounts.roles import Role
from gql_app.accounts.service import NewUser
from gql_app.accounts.sessions import NewSession
from gql_app.accounts.throttle import PER_ADDRESS, attempt
from gql_app.api.context import Context, Info
from gql_app.api.ids import id_of
from gql_app.api.once import takes_a_key, write_once
from gql_app.api.payloads import UserError, faults_as
from gql_app.errors import BadCredentials
from gql_app.limiter import Limiter, network_of
from gql_app.limiter.security import note
from gql_app.viewer import Viewer


@strawberry.type(description="A session that was just begun. The token is shown this once.")
class Session:
    token: str
    expires_at: datetime

    @classmethod
    def of(cls, new: NewSession) -> "Session":
        return cls(token=new.token, expires_at=new.expires_at)


_KEEP_IT = (
    "Keep it on this device beside the session, and send it with the next `logIn`. It lets nobody in: it says that "
    "somebody has signed in here before, and so is not locked out by others' guesses at the password."
)


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
    device_token: str | None = strawberry.field(
        default=None, description="The `deviceToken` that an earlier sign-in on this device was given."
    )


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
    device_token: str | None = strawberry.field(default=None, description=_KEEP_IT)
    errors: list[UserError] = strawberry.field(default_factory=list)


@strawberry.type
class LogInPayload:
    session: Session | None = None
    viewer: User | None = None
    device_token: str | None = strawberry.field(default=None, description=_KEEP_IT)
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
    device_token: str | None = strawberry.field(default=None, description=_KEEP_IT)
    errors: list[UserError] = strawberry.field(default_factory=list)


@strawberry.type
class UpdateProfilePayload:
    user: User | None = None
    errors: list[UserError] = strawberry.field(default_factory=list)


@strawberry.type
class StreamTicket:
    ticket: str = strawberry.field(description="Pass it as `ticket` in the URL of the stream. It is shown only here.")
    expires_at: datetime = strawberry.field(description="A stream must begin before this time.")


@strawberry.type
class CreateStreamTicketPayload:
    stream_ticket: StreamTicket | None = None
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
        username, email = names.clean_username(input.username), names.clean_email(input.email)
        phone_number = names.clean_phone_number(input.phone_number, countries=context.settings.sms_countries)
        await context.resource(Limiter).spend(PER_ADDRESS, network_of(context.client))
        hashed = await context.resource(Passwords).hash(input.password, personal=(username, email), whose=context.whose)
        new = NewUser(username, email, hashed, phone_number, premium=input.plan is Plan.PREMIUM)
        user, session, token = await context.write(_open_account, new, context.settings.session_lifetime)
        note("signed_up", address=context.client, user=user.id)
        shown = Session.of(session) if session else None
        return SignUpPayload(user=User.of(user, revealed=True), session=shown, device_token=token)

    @strawberry.mutation(description="Sign in: send the token as `Authorization: Bearer …` from now on.")
    @faults_as(LogInPayload)
    async def log_in(self, info: Info, input: LogInInput) -> LogInPayload:
        context = info.context
        found = await context.look_up(service.credentials, input.username)
        user_id, hashed = found or (0, None)
        device = None
        if input.device_token:
            device = await context.look_up(devices.known, user_id, input.device_token)
        async with attempt(context.resource(Limiter), input.username.strip(), context.client, device):
            passwords = context.resource(Passwords)
            if not await passwords.matches(input.password, hashed, whose=context.whose) or hashed is None:
                note("sign_in_failed", address=context.client, user=user_id or None)
                raise BadCredentials
        user, session, token = await context.write(
            service.log_in, user_id, hashed, context.settings.session_lifetime, input.device_token
        )
        note("signed_in", address=context.client, user=user.id)
        return LogInPayload(session=Session.of(session), viewer=User.of(user, revealed=True), device_token=token)

    @strawberry.mutation(description="End this session, or all of one's own. Open subscriptions end with it.")
    @faults_as(LogOutPayload)
    @takes_a_key
    async def log_out(self, info: Info, input: LogOutInput | None = None) -> LogOutPayload:
        viewer = info.context.require_viewer()
        await info.context.write(service.log_out, viewer, everywhere=bool(input and input.everywhere))
        return LogOutPayload()

    @strawberry.mutation(description="The old address is told of it.")
    @faults_as(ChangeEmailPayload)
    async def change_email(self, info: Info, input: ChangeEmailInput) -> ChangeEmailPayload:
        viewer = info.context.require_viewer()
        email = names.clean_email(input.new_email, field="newEmail")
        checked = await _checked_hash(info.context, viewer, input.password, field="password")
        user = await info.context.write(service.change_email, viewer, checked, email)
        note("email_changed", address=info.context.client, user=viewer.id)
        return ChangeEmailPayload(user=User.of(user))

    @strawberry.mutation(description="Ends all sessions, and begins a new one.")
    @faults_as(ChangePasswordPayload)
    async def change_password(self, info: Info, input: ChangePasswordInput) -> ChangePasswordPayload:
        context = info.context
        viewer = context.require_viewer()
        checked = await _checked_hash(context, viewer, input.current_password, field="currentPassword")
        new_hash = await context.resource(Passwords).hash(input.new_password, field="newPassword", whose=context.whose)
        user, session, token = await context.write(
            service.change_password, viewer, checked, new_hash, context.settings.session_lifetime
        )
        note("password_changed", address=context.client, user=viewer.id)
        return ChangePasswordPayload(user=User.of(user), session=Session.of(session), device_token=token)

    @strawberry.mutation(description="What is left out stays; a phone number of null is removed, and no SMS are sent.")
    @faults_as(UpdateProfilePayload)
    @takes_a_key
    async def update_profile(self, info: Info, input: UpdateProfileInput) -> UpdateProfilePayload:
        viewer = info.context.require_viewer()
        if input.phone_number is None:
            found = await info.context.look_up(_own, viewer.id)
            return UpdateProfilePayload(user=User.of(found) if found else None)
        number = names.clean_phone_number(input.phone_number.value, countries=info.context.settings.sms_countries)
        user = await write_once(info, models.User, lambda session: service.update_profile(session, viewer, number))
        return UpdateProfilePayload(user=User.of(user))

    @strawberry.mutation(
        description="Creates a ticket for a browser's EventSource, which cannot send a token. Open a subscription with "
        "`GET /graphql?query=…&ticket=…` before the ticket expires. It opens streams of this session, and nothing "
        "else. A stream that has begun goes on after that."
    )
    @faults_as(CreateStreamTicketPayload)
    async def create_stream_ticket(self, info: Info) -> CreateStreamTicketPayload:
        made = await info.context.write(tickets.make, info.context.require_viewer())
        return CreateStreamTicketPayload(stream_ticket=StreamTicket(ticket=made.ticket, expires_at=made.expires_at))

    @strawberry.mutation(description="For admins. The user's open subscriptions end.")
    @faults_as(SetRolePayload)
    @takes_a_key
    async def set_role(self, info: Info, input: SetRoleInput) -> SetRolePayload:
        viewer = info.context.require_admin()
        user_id = id_of("User", input.user_id, field="userId")
        user = await write_once(
            info, models.User, lambda session: service.set_role(session, viewer, user_id, input.role)
        )
        note("role_changed", address=info.context.client, user=user.id, role=user.role.name, by=viewer.id)
        return SetRolePayload(user=User.of(user))


async def _checked_hash(context: Context, viewer: Viewer, password: str, *, field: str) -> str:
    """The hash that this password of the viewer's was found to match. Raises BadCredentials or RateLimited."""
    async with attempt(context.resource(Limiter), f"user:{viewer.id}", context.client):
        hashed = await context.look_up(service.password_hash, viewer.id)
        if not await context.resource(Passwords).matches(password, hashed, whose=context.whose) or hashed is None:
            note("password_wrong", address=context.client, user=viewer.id)
            raise BadCredentials("The password is wrong.", field=field)
    return hashed


def _own(session: DbSession, user_id: int) -> models.User | None:
    return session.get(models.User, user_id)


def _open_account(session: DbSession, new: NewUser, lifetime: timedelta) -> tuple[models.User, NewSession | None, str]:
    user, begun = service.sign_up(session, new, lifetime)
    return user, begun, devices.remember(session, user)
