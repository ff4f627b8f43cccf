"""Models of the tests' own: tables of an inheritance hierarchy, and columns of all types."""

import enum
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, Boolean, Date, DateTime, Enum, Float, ForeignKey, LargeBinary, Numeric, String, Time
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from gql_app.audiences import Audience, owner
from gql_app.changes.tracking import Tracked, tracked
from gql_app.db import BigId, UtcDateTime


class Base(DeclarativeBase):
    """Of its own: these tables are in no migration."""


class Flag(enum.Enum):
    """Stored by another name than the log writes."""

    RED = "r"
    BLUE = "b"


class Vessel(Tracked, Base):
    """The base of the hierarchy."""

    __tablename__ = "vessels"
    __entity__ = "Vessel"
    __audience__ = Audience(owner("captain"))
    __mapper_args__ = {"polymorphic_on": "sort", "polymorphic_identity": "vessel"}  # noqa: RUF012

    number: Mapped[int] = mapped_column(BigId, primary_key=True)
    sort: Mapped[str] = mapped_column(String(16))
    captain: Mapped[int | None] = mapped_column(BigId)
    title: Mapped[str | None] = tracked("name", String(40))
    code: Mapped[str | None] = tracked(String(40), secret=True)


class Tanker(Vessel):
    """With a table of its own, and a secret of its own."""

    __tablename__ = "tankers"
    __mapper_args__ = {"polymorphic_identity": "tanker"}  # noqa: RUF012

    tanker_number: Mapped[int] = mapped_column(
        "number", BigId, ForeignKey("vessels.number", ondelete="CASCADE"), primary_key=True
    )
    full: Mapped[bool | None] = tracked(Boolean)
    key: Mapped[str | None] = tracked(String(40), secret=True)


class Tug(Vessel):
    """In the table of its base."""

    __mapper_args__ = {"polymorphic_identity": "tug"}  # noqa: RUF012

    power: Mapped[float | None] = tracked(Float, nullable=True)


class Sample(Tracked, Base):
    """A column of each type."""

    __tablename__ = "samples"
    __entity__ = "Sample"

    number: Mapped[int] = mapped_column(BigId, primary_key=True)
    flag: Mapped[Flag | None] = tracked(Enum(Flag, native_enum=False, length=16))
    letter: Mapped[Flag | None] = tracked(
        Enum(Flag, native_enum=False, length=16, values_callable=lambda flags: [flag.value for flag in flags])
    )
    moment: Mapped[datetime | None] = tracked(UtcDateTime)
    naive: Mapped[datetime | None] = tracked(DateTime)
    day: Mapped[date | None] = tracked(Date)
    hour: Mapped[time | None] = tracked(Time)
    price: Mapped[Decimal | None] = tracked(Numeric(12, 2))
    ratio: Mapped[float | None] = tracked(Float)
    big: Mapped[int | None] = tracked(BigId)
    yes: Mapped[bool | None] = tracked(Boolean)
    other: Mapped[UUID | None] = tracked()
    blob: Mapped[bytes | None] = tracked(LargeBinary)
    tree: Mapped[Any] = tracked(JSON, nullable=True)
    text: Mapped[str | None] = tracked(String)
