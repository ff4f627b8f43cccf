"""Small transactions and look-ups for the tests of single cases."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from gql_app.accounts.models import User
from gql_app.app import App
from gql_app.audiences.conditions import Holder, visible
from gql_app.changes.watch import BUFFER
from gql_app.viewer import Viewer, with_keys
from tests.audiences.acting import act
from tests.audiences.generator import ORGANISATIONS
from tests.audiences.models import BY_NAME
from tests.audiences.world import PUBLIC, Create, Step
from tests.things import caught_up, logged

ORGANISATION = ORGANISATIONS[0]
MEMBERSHIP, OTHER, TALK, RENTAL = 1, 2, 3, 4
FIRST_BOAT = 100
BOATS = BUFFER + 6


def join(user: User, number: int = MEMBERSHIP) -> Step:
    values = {"status": "a", "user_id": user.id, "organisation_id": ORGANISATION, "crew_id": None, "gone": None}
    return Create("Membership", number, values)


def boats(count: int = BOATS, first: int = FIRST_BOAT) -> list[Step]:
    values = {"status": "a", "organisation_id": ORGANISATION, "gone": None}
    return [Create("Boat", first + number, values) for number in range(count)]


async def do(app: App, *steps: Step) -> int:
    """Where the feed stands after these steps, which are one transaction."""
    await app.db.write(act, steps)
    return await caught_up(app)


async def positions(app: App, entity: str, attribute: str = "status", after: int = 0) -> list[int]:
    return [each.position for each in await logged(app.db, entity, after) if each.attribute == attribute]


def _shown(session: Session, kind: str, holder: Holder) -> set[int]:
    model = BY_NAME[kind]
    return {each.int - PUBLIC for each in session.scalars(select(model.public_id).where(visible(model, holder)))}


async def shown(app: App, kind: str, viewer: Viewer) -> set[int]:
    by_rows = await app.db.read(_shown, kind, viewer)
    by_keys = await app.db.read(_shown, kind, (await with_keys(app.db, viewer)).scope)
    assert by_rows == by_keys
    return by_rows
