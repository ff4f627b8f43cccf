"""What came of a mutation that was sent with an idempotency key."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Index, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from gql_app.db import Base, BigId

LONGEST_KEY = 255


class IdempotencyOutcome(Base):
    """One mutation field of one request, and the request itself (a field without a name).

    `request` is the SHA-256 of what was asked; `entity_id` is what it made or changed, `errors` why it did nothing, as
    JSON. Never a token, nor anything else that was answered.
    """

    __tablename__ = "idempotency_outcomes"
    __table_args__ = (
        Index("uq_idempotency_outcomes", "owner_id", "key", "field", unique=True),
        Index(None, "created_at"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    owner_id: Mapped[int] = mapped_column(BigInteger)
    key: Mapped[str] = mapped_column(String(LONGEST_KEY))
    field: Mapped[str] = mapped_column(Text)
    request: Mapped[bytes] = mapped_column(LargeBinary(32))
    entity_id: Mapped[UUID | None]
    errors: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime]
