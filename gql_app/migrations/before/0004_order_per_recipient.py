"""messages to one recipient in their order, and what caused them"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

UNFINISHED = sa.text("due_at IS NOT NULL")


def upgrade() -> None:
    op.add_column("deliveries", sa.Column("cause_id", sa.Uuid(), nullable=True))
    op.create_index("ix_delivery_attempts_provider_id", "delivery_attempts", ["provider_id"])
    # SENDING is shown, but not stored any more. The log tells of the state around it.
    told = "SELECT new_value FROM {} WHERE entity_id = deliveries.public_id AND attribute = 'state' ORDER BY {} DESC"
    outbox, events = told.format("change_outbox", "id"), told.format("change_events", "position")
    op.execute(
        f"UPDATE deliveries SET state = COALESCE(({outbox} LIMIT 1), ({events} LIMIT 1), 'PENDING')"  # noqa: S608
        " WHERE state = 'SENDING'"
    )
    op.create_index(
        "ix_deliveries_unfinished",
        "deliveries",
        ["channel", "recipient", "id"],
        sqlite_where=UNFINISHED,
        postgresql_where=UNFINISHED,
    )


def downgrade() -> None:
    op.drop_index("ix_deliveries_unfinished", "deliveries")
    op.drop_index("ix_delivery_attempts_provider_id", "delivery_attempts")
    op.drop_column("deliveries", "cause_id")  # not in a batch: SQLite would drop the table, and cascade to the attempts
