"""Models of three strangers: two people; a key of two columns and a subclass; a UUID as key and every type of value."""

import enum
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Date, Enum, Float, ForeignKey, ForeignKeyConstraint, Integer, Numeric, String, Time, Uuid
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from gql_app import Audience, BigId, Timestamped, Tracked, UtcDateTime, owner, person, role, tracked


class Base(DeclarativeBase):
    """Of its own: these tables are in no migration."""

    type_annotation_map = {datetime: UtcDateTime()}  # noqa: RUF012


class RentalStatus(enum.Enum):
    """How far a rental is."""

    OFFERED = "OFFERED"
    AGREED = "AGREED"
    ENDED = "ENDED"


class Tenant(Tracked, Base):
    """Somebody who rents or lets."""

    __tablename__ = "dec_tenants"
    __entity__ = "DecTenant"
    __audience__ = Audience(owner("id"), role("USER"))

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    name: Mapped[str] = tracked(String(40))
    email: Mapped[str | None] = tracked(String(80))
    phone_number: Mapped[str | None] = tracked(String(20))


class Rental(Tracked, Timestamped, Base):
    """A flat between two people."""

    __tablename__ = "dec_rentals"
    __entity__ = "DecRental"
    __audience__ = Audience(owner("renter_id"), person("landlord_id"))

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    renter_id: Mapped[int] = tracked(BigId, ForeignKey("dec_tenants.id"))
    landlord_id: Mapped[int] = tracked(BigId, ForeignKey("dec_tenants.id"))
    place: Mapped[str] = tracked(String(80), doc="Where it is.")
    status: Mapped[RentalStatus] = tracked(
        Enum(RentalStatus, native_enum=False, length=16), default=RentalStatus.OFFERED
    )
    ended_because: Mapped[str | None] = tracked(String(200), doc="Why it has ended; null while it lasts.")

    renter: Mapped[Tenant] = relationship(viewonly=True, lazy="raise", foreign_keys=renter_id)


class Truck(Tracked, Base):
    """Known by two columns."""

    __tablename__ = "dec_trucks"
    __entity__ = "DecTruck"
    __audience__ = Audience(owner("driver_id"))
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "truck"}  # noqa: RUF012

    depot: Mapped[str] = mapped_column(String(8), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(String(16))
    driver_id: Mapped[int | None] = tracked(BigId)
    load: Mapped[int | None] = tracked()


class Crane(Truck):
    """A truck with an arm, in a table of its own."""

    __tablename__ = "dec_cranes"
    __mapper_args__ = {"polymorphic_identity": "crane"}  # noqa: RUF012
    __table_args__ = (ForeignKeyConstraint(["depot", "number"], ["dec_trucks.depot", "dec_trucks.number"]),)

    depot: Mapped[str] = mapped_column(String(8), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    reach: Mapped[float] = tracked(Float)


class Parcel(Tracked, Timestamped, Base):
    """Known by a UUID, with a column of each type."""

    __tablename__ = "dec_parcels"
    __entity__ = "DecParcel"
    __audience__ = Audience(owner("sender_id"))

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=uuid4)
    sender_id: Mapped[int] = mapped_column(BigId)
    label: Mapped[str | None] = tracked(String(40))
    weight: Mapped[float | None] = tracked(Float)
    price: Mapped[Decimal | None] = tracked(Numeric(10, 2))
    due: Mapped[date | None] = tracked(Date)
    at: Mapped[time | None] = tracked(Time)
    seen_at: Mapped[datetime | None] = tracked()
    fragile: Mapped[bool | None] = tracked()
    route: Mapped[UUID | None] = tracked(Uuid)
    pieces: Mapped[int | None] = tracked()
    mass: Mapped[Decimal | None] = mapped_column(Numeric())
    t: Mapped[str | None] = mapped_column(String(8))
    status: Mapped[RentalStatus | None] = tracked(Enum(RentalStatus, native_enum=False, length=16))


MODELS: list[type[Any]] = [Tenant, Rental, Truck, Crane, Parcel]
