"""nobody looks for a delivery by its provider's id, nor for an attempt that has none"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

KNOWN = sa.text("provider_id IS NOT NULL")


def upgrade() -> None:
    op.drop_index("ix_deliveries_provider_id", "deliveries")
    op.drop_index("ix_delivery_attempts_provider_id", "delivery_attempts")
    op.create_index(
        "ix_delivery_attempts_provider_id",
        "delivery_attempts",
        ["provider_id"],
        sqlite_where=KNOWN,
        postgresql_where=KNOWN,
    )


def downgrade() -> None:
    op.drop_index("ix_delivery_attempts_provider_id", "delivery_attempts")
    op.create_index("ix_delivery_attempts_provider_id", "delivery_attempts", ["provider_id"])
    op.create_index("ix_deliveries_provider_id", "deliveries", ["provider_id"])
