"""Skippers and their boats."""

import enum

from sqlalchemy import Enum, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from gql_app import Audience, Base, BigId, Timestamped, Tracked, owner, role, tracked


class BoatStatus(enum.Enum):
    """Where a boat is."""

    IN_HARBOUR = "It lies in the harbour."
    AT_SEA = "It has left the harbour."


class Skipper(Tracked, Timestamped, Base):
    """Somebody with boats. The id is that of the identity provider."""

    __tablename__ = "skippers"
    __entity__ = "Skipper"
    __audience__ = Audience(owner("id"), role("HARBOUR_MASTER"))

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    name: Mapped[str] = tracked(String(80), doc="How everybody calls the skipper.")
    phone_number: Mapped[str | None] = tracked(String(20), doc="In E.164.")

    email: None = None


class Boat(Tracked, Timestamped, Base):
    """A boat, and where it is."""

    __tablename__ = "boats"
    __entity__ = "Boat"
    __audience__ = Audience(owner("skipper_id"), role("HARBOUR_MASTER"))

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    skipper_id: Mapped[int] = mapped_column(BigId, ForeignKey("skippers.id"))
    name: Mapped[str] = tracked(String(80), doc="What is painted on it.")
    berth: Mapped[str | None] = tracked(String(40), doc="Where it lies; null for one on land.")
    status: Mapped[BoatStatus] = tracked(
        Enum(BoatStatus, native_enum=False, length=16), default=BoatStatus.IN_HARBOUR, doc="Where it is."
    )
