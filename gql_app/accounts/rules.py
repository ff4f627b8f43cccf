"""Who is told when an account changes."""

from collections.abc import Iterator

from gql_app.accounts.models import PremiumUser, User
from gql_app.deliveries.messages import Owed, email
from gql_app.deliveries.rules import Change, on_change, on_create
from gql_app.deliveries.templates import Templates

TEMPLATES = Templates("gql_app.accounts")


@on_create(User, propagate=False)
def welcome(change: Change[User]) -> Iterator[Owed]:
    yield email(change.subject, TEMPLATES, "welcome", username=change.subject.username)


@on_create(PremiumUser, propagate=True)
def welcome_premium(change: Change[PremiumUser]) -> Iterator[Owed]:
    yield email(change.subject, TEMPLATES, "welcome_premium", username=change.subject.username)


@on_change(User.email, propagate=True)
def warn_old_address(change: Change[User]) -> Iterator[Owed]:
    """The old address hears of it: if somebody else did this, only there can the owner learn of it."""
    username = change.subject.username
    yield email(
        change.subject, TEMPLATES, "email_changed", address=change.old, username=username, new_address=change.new
    )


@on_change(User.password_hash, propagate=True)
def warn_of_new_password(change: Change[User]) -> Iterator[Owed]:
    yield email(change.subject, TEMPLATES, "password_changed", username=change.subject.username)
