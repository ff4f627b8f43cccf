"""The demo: an empty database is filled with people and requests that everybody can sign in as."""

from decimal import Decimal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from gql_app import Process, Vertical, act_as
from gql_app.accounts import ACCOUNTS, NewUser, Passwords, Role, User, sign_up
from gql_app.demo.fuel_requests.models import FuelRequest
from gql_app.demo.fuel_requests.vertical import FUEL_REQUESTS

PASSWORD = "correct-horse-battery"  # noqa: S105  (published on purpose)

PEOPLE = (
    ("ada", Role.USER, True, "+15005550101"),
    ("linus", Role.USER, False, "+15005550102"),
    ("grace", Role.APPROVER, False, "+15005550103"),
    ("root", Role.ADMIN, False, None),
)
REQUESTS = (
    ("ada", "120.50", "North depot"),
    ("linus", "40", "Two canisters for the generator"),
    ("linus", "1000", None),
)


async def fill(process: Process) -> str:
    """Fill an empty database; one that has users is left alone. Returns who can sign in."""
    db = process.db
    if not await db.read(_has_users):
        passwords = process.resource(Passwords)
        hashes = {name: await passwords.hash(PASSWORD) for name, *_ in PEOPLE}
        await db.write(_add_people, hashes)
        for name, litres, note in REQUESTS:
            await db.write(_ask, name, litres, note)
    return _who_can_sign_in()


def _has_users(session: Session) -> bool:
    return bool(session.scalar(select(func.count()).select_from(User)))


def _add_people(session: Session, hashes: dict[str, str]) -> None:
    for name, role, premium, phone in PEOPLE:
        new = NewUser(name, f"{name}@example.test", hashes[name], phone, premium, role)
        sign_up(session, new, None)


def _ask(session: Session, name: str, litres: str, note: str | None) -> None:
    requester = session.scalars(select(User).where(User.username == name)).one()
    act_as(session, requester.id)
    session.add(FuelRequest(requester_id=requester.id, litres=Decimal(litres), note=note))


def _who_can_sign_in() -> str:
    lines = [f"  {name:6} {role.name.lower()}{', premium' if premium else ''}" for name, role, premium, _ in PEOPLE]
    return "\n".join([f"These people can sign in, all with the password {PASSWORD}:", *lines])


PEOPLE_AND_REQUESTS = Vertical("demo", needs=(ACCOUNTS, FUEL_REQUESTS), demo=fill)
