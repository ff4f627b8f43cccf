"""outcomes of mutations that were sent with an idempotency key"""

import sqlalchemy as sa
from alembic import op

BigId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "idempotency_outcomes",
        sa.Column("id", BigId, nullable=False),
        sa.Column("owner_id", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("request", sa.LargeBinary(32), nullable=False),
        sa.Column("entity_id", sa.Uuid(), nullable=True),
        sa.Column("errors", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_idempotency_outcomes"),
    )
    op.create_index("uq_idempotency_outcomes", "idempotency_outcomes", ["owner_id", "key", "field"], unique=True)
    op.create_index("ix_idempotency_outcomes_created_at", "idempotency_outcomes", ["created_at"])


def downgrade() -> None:
    op.drop_table("idempotency_outcomes")
