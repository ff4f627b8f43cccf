"""A request for fuel, which is decided once."""

import enum
from datetime import datetime
from decimal import Decimal

from sqlalchemy import BigInteger, Dialect, Enum, ForeignKey, Index, Text, TypeDecorator
from sqlalchemy.orm import Mapped, mapped_column, relationship, validates

from gql_app import Audience, Base, BigId, Timestamped, Tracked, owner, role, tracked
from gql_app.accounts import Role, User


class FuelRequestStatus(enum.Enum):
    """Where a fuel request stands."""

    PENDING = "PENDING"
    REJECTED = "REJECTED"
    APPROVED = "APPROVED"

    @property
    def label(self) -> str:
        """How people read it."""
        return self.value.capitalize()


class Litres(TypeDecorator[Decimal]):
    """Litres with two decimals, stored as hundredths: exact on every database, SQLite has no decimals."""

    impl = BigInteger
    cache_ok = True

    @property
    def python_type(self) -> type[Decimal]:
        return Decimal

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> int | None:
        return None if value is None else int(value.scaleb(2).to_integral_exact())

    def process_result_value(self, value: int | None, dialect: Dialect) -> Decimal | None:
        return None if value is None else Decimal(value).scaleb(-2)


class FuelRequest(Tracked, Timestamped, Base):
    """Belongs to its requester; approvers may see all of them."""

    __tablename__ = "fuel_requests"
    __entity__ = "FuelRequest"
    __audience__ = Audience(owner("requester_id"), role(Role.APPROVER))
    __table_args__ = (
        Index(None, "requester_id", "created_at", "id"),
        Index(None, "created_at", "id"),
        Index(None, "status", "created_at", "id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    requester_id: Mapped[int] = mapped_column(BigId, ForeignKey("users.id"), doc="Who asks.")
    status: Mapped[FuelRequestStatus] = tracked(
        Enum(FuelRequestStatus, native_enum=False, length=16),
        default=FuelRequestStatus.PENDING,
        doc="Where it stands.",
    )
    litres: Mapped[Decimal] = tracked(Litres, doc="How much is asked for, with two decimals.")
    note: Mapped[str | None] = tracked(Text, doc="What it is for, in the requester's words.")
    decided_by_id: Mapped[int | None] = mapped_column(
        BigId, ForeignKey("users.id"), doc="Who has decided; null while it is pending."
    )
    decided_at: Mapped[datetime | None] = mapped_column(doc="When it was decided; null while it is pending.")
    decision_note: Mapped[str | None] = tracked(Text, doc="What the approver has to say about it.")

    requester: Mapped[User] = relationship(viewonly=True, lazy="raise", foreign_keys=requester_id)

    @validates("litres")
    def _as_stored(self, name: str, litres: Decimal | int) -> Decimal:
        """Two decimals from the start, so that the change log writes them as they will be read."""
        return Decimal(litres).quantize(Decimal("0.01"))
