"""the outbox of PostgreSQL's transactions"""

import sqlalchemy as sa
from alembic import op

BigId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "change_outbox",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("change_set", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("entity_type", sa.String(length=64), nullable=False),
        sa.Column("entity_id", sa.Uuid(), nullable=False),
        sa.Column("attribute", sa.String(length=64), nullable=True),
        sa.Column("old_value", sa.Text(), nullable=True),
        sa.Column("new_value", sa.Text(), nullable=True),
        sa.Column("owner_id", BigId, nullable=True),
        sa.Column("actor_id", BigId, nullable=True),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_change_outbox"),
    )


def downgrade() -> None:
    columns = (
        "change_set, kind, entity_type, entity_id, attribute, old_value, new_value, owner_id, actor_id, occurred_at"
    )
    op.execute(f"INSERT INTO change_events ({columns}) SELECT {columns} FROM change_outbox ORDER BY id")  # noqa: S608
    op.drop_table("change_outbox")
