"""who may see an entity is more than one owner"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

BigId = sa.BigInteger().with_variant(sa.Integer, "sqlite")
TABLES = ("change_events", "change_outbox")
OF_AUDIENCES = "attribute = 'audience' AND old_value IS NULL AND new_value IS NULL"


def upgrade() -> None:
    for table in TABLES:
        op.add_column(table, sa.Column("audience", sa.Text(), nullable=True))
        op.add_column(table, sa.Column("audience_before", sa.Text(), nullable=True))
    op.create_table(
        "change_audience",
        sa.Column("key", sa.String(80, "C").with_variant(sa.String(80), "sqlite"), nullable=False),
        sa.Column("position", BigId, autoincrement=False, nullable=False),
        sa.Column("lost", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("key", "position", name="pk_change_audience"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """The version before knows no entries about audiences."""
    op.drop_table("change_audience")
    for table in TABLES:
        op.execute(f"DELETE FROM {table} WHERE {OF_AUDIENCES}")  # noqa: S608  (names of our own)
        op.drop_column(table, "audience_before")
        op.drop_column(table, "audience")
