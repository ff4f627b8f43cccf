"""a Message-ID may be longer than 64 characters (SQLite does not mind); how many were given up is looked up often"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TABLES = ("deliveries", "delivery_attempts")
DEAD = sa.text("state = 'DEAD'")


def upgrade() -> None:
    op.create_index("ix_deliveries_dead", "deliveries", ["channel"], sqlite_where=DEAD, postgresql_where=DEAD)
    if op.get_bind().dialect.name == "postgresql":
        for table in TABLES:
            op.alter_column(table, "provider_id", type_=sa.Text(), existing_type=sa.String(64))


def downgrade() -> None:
    op.drop_index("ix_deliveries_dead", "deliveries")
    if op.get_bind().dialect.name == "postgresql":
        for table in TABLES:
            op.execute(f"UPDATE {table} SET provider_id = left(provider_id, 64) WHERE length(provider_id) > 64")  # noqa: S608
            op.alter_column(table, "provider_id", type_=sa.String(64), existing_type=sa.Text())
