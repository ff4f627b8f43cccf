"""Models of the random programs: joined and single inheritance, cascades, post_update, many types of columns."""

import enum
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import JSON, Boolean, CheckConstraint, Enum, Float, ForeignKey, Numeric, String
from sqlalchemy.ext.mutable import MutableDict
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from gql_app.audiences import Audience, owner
from gql_app.changes.tracking import Tracked, tracked
from gql_app.db import BigId, Timestamped, UtcDateTime


class Base(DeclarativeBase):
    """Of its own: these tables are in no migration."""

    type_annotation_map = {datetime: UtcDateTime()}  # noqa: RUF012


class Mood(enum.Enum):
    CALM = "c"
    WILD = "w"


class Ship(Tracked, Timestamped, Base):
    """The base of the hierarchy, and the parent of crates. `rank` and `depth` make statements fail half-way."""

    __tablename__ = "prop_ships"
    __entity__ = "PropShip"
    __audience__ = Audience(owner("captain"))
    __mapper_args__ = {"polymorphic_on": "sort", "polymorphic_identity": "ship"}  # noqa: RUF012
    __table_args__ = (CheckConstraint("depth >= 0", name="prop_ships_float"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    sort: Mapped[str] = mapped_column(String(16))
    captain: Mapped[int | None] = mapped_column(BigId)
    name: Mapped[str | None] = tracked("title", String(40))
    code: Mapped[str | None] = tracked(String(40), secret=True)
    mood: Mapped[Mood | None] = tracked(Enum(Mood, native_enum=False, length=16))
    spec: Mapped[dict[str, Any] | None] = tracked(MutableDict.as_mutable(JSON(none_as_null=True)))
    plan: Mapped[Any] = tracked(JSON, nullable=True)
    price: Mapped[Decimal | None] = tracked(Numeric(10, 2))
    since: Mapped[datetime | None] = tracked(UtcDateTime)
    depth: Mapped[int] = tracked(default=3)
    rank: Mapped[int | None] = tracked(BigId, unique=True)
    next_id: Mapped[int | None] = tracked(BigId, ForeignKey("prop_ships.id"))
    next: Mapped["Ship | None"] = relationship(remote_side="Ship.id", back_populates="befores", post_update=True)
    befores: Mapped[list["Ship"]] = relationship(back_populates="next", post_update=True)
    crates: Mapped[list["Crate"]] = relationship(
        back_populates="ship", cascade="all, delete-orphan", order_by="Crate.id"
    )


class Tanker(Ship):
    """With a table of its own."""

    __tablename__ = "prop_tankers"
    __mapper_args__ = {"polymorphic_identity": "tanker"}  # noqa: RUF012

    tanker_id: Mapped[int] = mapped_column("id", BigId, ForeignKey("prop_ships.id"), primary_key=True)
    cargo: Mapped[str | None] = tracked(String(40))
    full: Mapped[bool | None] = tracked(Boolean)


class Tug(Ship):
    """In the table of its base."""

    __mapper_args__ = {"polymorphic_identity": "tug"}  # noqa: RUF012

    power: Mapped[float | None] = tracked(Float, nullable=True)


class Crate(Tracked, Base):
    __tablename__ = "prop_crates"
    __entity__ = "PropCrate"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    label: Mapped[str | None] = tracked(String(40))
    ship_id: Mapped[int] = tracked(BigId, ForeignKey("prop_ships.id"))
    ship: Mapped[Ship] = relationship(back_populates="crates")
    seals: Mapped[list["Seal"]] = relationship(
        back_populates="crate", cascade="all, delete-orphan", order_by="Seal.name"
    )


class Seal(Tracked, Base):
    """With a key that may be changed."""

    __tablename__ = "prop_seals"
    __entity__ = "PropSeal"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    mood: Mapped[Mood | None] = tracked(Enum(Mood, native_enum=False, length=16))
    crate_id: Mapped[int] = tracked(BigId, ForeignKey("prop_crates.id"))
    crate: Mapped[Crate] = relationship(back_populates="seals")


class Port(Base):
    """Not tracked: what statements join."""

    __tablename__ = "prop_ports"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    ship_id: Mapped[int] = mapped_column(BigId)
    title: Mapped[str | None] = mapped_column(String(40))


MODELS: list[type[Tracked]] = [Ship, Crate, Seal]
KINDS: dict[str, type[Any]] = {model.__name__: model for model in (Ship, Tanker, Tug, Crate, Seal)}
