"""fuel requests"""

import sqlalchemy as sa
from alembic import op

BigId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Moment = sa.DateTime(timezone=True)

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

STATUSES = ("PENDING", "REJECTED", "APPROVED")


def upgrade() -> None:
    op.create_table(
        "fuel_requests",
        sa.Column("public_id", sa.Uuid(), nullable=False),
        sa.Column("id", BigId, nullable=False),
        sa.Column("requester_id", BigId, nullable=False),
        sa.Column("status", sa.Enum(*STATUSES, name="fuelrequeststatus", native_enum=False, length=16), nullable=False),
        sa.Column("litres", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("decided_by_id", BigId, nullable=True),
        sa.Column("decided_at", Moment, nullable=True),
        sa.Column("decision_note", sa.Text(), nullable=True),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("updated_at", Moment, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["decided_by_id"], ["users.id"], name="fk_fuel_requests_decided_by_id_users"),
        sa.ForeignKeyConstraint(["requester_id"], ["users.id"], name="fk_fuel_requests_requester_id_users"),
        sa.PrimaryKeyConstraint("id", name="pk_fuel_requests"),
        sa.UniqueConstraint("public_id", name="uq_fuel_requests_public_id"),
    )
    by_requester = ["requester_id", "created_at", "id"]
    op.create_index("ix_fuel_requests_created_at_id", "fuel_requests", ["created_at", "id"])
    op.create_index("ix_fuel_requests_requester_id_created_at_id", "fuel_requests", by_requester)
    op.create_index("ix_fuel_requests_status_created_at_id", "fuel_requests", ["status", "created_at", "id"])


def downgrade() -> None:
    op.drop_table("fuel_requests")
