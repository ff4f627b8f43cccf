"""The same three in the schema, as their authors would write them."""

from collections.abc import Iterator
from datetime import date, datetime, time
from decimal import Decimal
from typing import Annotated
from uuid import UUID

import strawberry
from sqlalchemy.orm import Session

from gql_app import (
    ANYBODY,
    Change,
    Node,
    Owed,
    Vertical,
    Viewer,
    clean_text,
    entity,
    mutation,
    on_audience,
    on_change,
    related,
    sms,
)
from gql_app.accounts import ACCOUNTS
from gql_app.errors import Conflict, Forbidden
from tests.declared import models
from tests.declared.models import RentalStatus


@entity(models.Tenant)
class Tenant(Node):
    """Somebody who rents or lets."""

    name: str


@entity(
    models.Rental,
    many="rentals",
    filters=[models.Rental.status, models.Rental.landlord_id, models.Rental.ended_because],
    orders=[models.Rental.updated_at, models.Rental.place, models.Rental.ended_because],
    streams=[models.Rental.status, models.Rental.ended_because],
)
class Rental(Node):
    """A flat between two people."""

    place: str
    status: RentalStatus
    ended_because: str | None
    renter_id: strawberry.Private[int]
    landlord: Tenant | None = related(models.Rental.landlord_id, description="Who lets it.")

    @strawberry.field(description="Whether it is over.")
    def is_over(self) -> bool:
        return self.status is RentalStatus.ENDED


@mutation(Rental)
def offer_rental(
    session: Session, viewer: Viewer, renter: models.Tenant, place: Annotated[str, "Where it is."]
) -> models.Rental:
    """Offer a flat of one's own to somebody."""
    where = clean_text(place, field="place", longest=80, shortest=1)
    rental = models.Rental(landlord_id=viewer.id, renter_id=renter.id, place=where)
    session.add(rental)
    return rental


@mutation(Rental)
def agree(session: Session, viewer: Viewer, rental: models.Rental) -> models.Rental:
    """Take a flat that was offered to oneself; CONFLICT if that is done or over."""
    if viewer.id != rental.renter_id:
        raise Forbidden
    if rental.status is not RentalStatus.OFFERED:
        raise Conflict("It is not on offer any more.", field="id")
    rental.status = RentalStatus.AGREED
    return rental


@mutation(Rental)
def end_rental(session: Session, viewer: Viewer, rental: models.Rental, because: str | None = None) -> models.Rental:
    """End it, from either side."""
    rental.status, rental.ended_because = RentalStatus.ENDED, because
    return rental


@mutation(Rental)
def park(
    session: Session, viewer: Viewer, rental: models.Rental, truck: Annotated[models.Truck, ANYBODY, "Any truck."]
) -> models.Rental:
    """Put a truck before the house."""
    rental.place = f"{rental.place}, at {truck.depot}"
    return rental


@on_change(models.Rental.status, propagate=True, when=lambda change: change.new is RentalStatus.ENDED)
def tell_both(change: Change[models.Rental]) -> Iterator[Owed]:
    for person_id in (change.subject.renter_id, change.subject.landlord_id):
        yield sms(change.session.get_one(models.Tenant, person_id), f"{change.subject.place}: the rental has ended.")


@on_audience(models.Rental, propagate=True)
def tell_the_new_one(change: Change[models.Rental]) -> Iterator[Owed]:
    for person_id in change.people_who_came:
        yield sms(change.session.get_one(models.Tenant, person_id), f"{change.subject.place} is yours.")


@entity(models.Truck, many="trucks", filters=[models.Truck.depot], orders=[models.Truck.load])
class Truck(Node):
    """A truck; cranes are trucks, too."""

    depot: str
    number: int
    load: int | None


@entity(models.Crane, many="cranes", orders=[models.Crane.reach])
class Crane(Node):
    """A truck with an arm."""

    depot: str
    number: int
    reach: float


@entity(
    models.Parcel,
    many="parcels",
    filters=[models.Parcel.fragile, models.Parcel.route, models.Parcel.due],
    orders=[
        models.Parcel.created_at,
        models.Parcel.label,
        models.Parcel.weight,
        models.Parcel.price,
        models.Parcel.due,
        models.Parcel.at,
        models.Parcel.seen_at,
        models.Parcel.fragile,
        models.Parcel.route,
        models.Parcel.pieces,
        models.Parcel.mass,
        models.Parcel.t,
        models.Parcel.status,
    ],
)
class Parcel(Node):
    """Something that is sent."""

    label: str | None
    weight: float | None
    price: Decimal | None
    due: date | None
    at: time | None
    seen_at: datetime | None
    fragile: bool | None
    route: UUID | None
    pieces: int | None
    status: RentalStatus | None


RENTALS = Vertical(
    "rentals",
    entities=(Tenant, Rental),
    mutations=(offer_rental, agree, end_rental, park),
    rules=(tell_both, tell_the_new_one),
)
TRUCKS = Vertical("trucks", entities=(Truck, Crane))
PARCELS = Vertical("parcels", entities=(Parcel,))
ALL = (ACCOUNTS, RENTALS, TRUCKS, PARCELS)
