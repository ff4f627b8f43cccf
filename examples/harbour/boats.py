"""Boats in the schema, what people can do with them, and who is told."""

from collections.abc import Iterator

from sqlalchemy.orm import Session

from gql_app import Change, Node, Owed, Viewer, clean_text, entity, mutation, on_change, related, sms
from gql_app.errors import Forbidden, UserFault
from harbour import models
from harbour.models import BoatStatus


@entity(models.Skipper)
class Skipper(Node):
    """Somebody with boats."""

    name: str


@entity(
    models.Boat,
    many="boats",
    filters=[models.Boat.status, models.Boat.berth, models.Boat.skipper_id],
    orders=[models.Boat.created_at, models.Boat.name, models.Boat.berth],
    streams=[models.Boat.status],
)
class Boat(Node):
    """A boat of the harbour."""

    name: str
    berth: str | None
    status: BoatStatus
    skipper: Skipper | None = related(models.Boat.skipper_id)


@mutation(Boat)
def register_boat(session: Session, viewer: Viewer, name: str) -> models.Boat:
    """Register a boat of one's own. For skippers."""
    if session.get(models.Skipper, viewer.id) is None:
        raise Forbidden("You are no skipper of this harbour.")
    boat = models.Boat(skipper_id=viewer.id, name=clean_text(name, field="name", longest=80, shortest=1))
    session.add(boat)
    return boat


class AtSea(UserFault):
    """The boat has left the harbour."""

    code = "AT_SEA"


@mutation(Boat)
def put_to_sea(session: Session, viewer: Viewer, boat: models.Boat) -> models.Boat:
    """Leave the harbour with a boat of one's own; AT_SEA if it has left already."""
    if boat.status is BoatStatus.AT_SEA:
        raise AtSea(field="id")
    boat.status, boat.berth = BoatStatus.AT_SEA, None
    return boat


@mutation(Boat, roles=["HARBOUR_MASTER"])
def assign_berth(session: Session, viewer: Viewer, boat: models.Boat, berth: str) -> models.Boat:
    """Say where a boat lies. For the harbour master."""
    boat.berth, boat.status = clean_text(berth, field="berth", longest=40, shortest=1), BoatStatus.IN_HARBOUR
    return boat


@on_change(models.Boat.berth, propagate=True, when=lambda change: change.new is not None)
def tell_skipper(change: Change[models.Boat]) -> Iterator[Owed]:
    """The skipper is told where the boat lies."""
    skipper = change.session.get_one(models.Skipper, change.subject.skipper_id)
    yield sms(skipper, f"{change.subject.name} lies at {change.new}.")
