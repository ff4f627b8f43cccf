"""what triggers note of writes from outside, when they are installed"""

import sqlalchemy as sa
from alembic import op

from gql_app.errors import ConfigurationError

MADE = sa.text(
    "SELECT p.oid::regprocedure::text FROM pg_proc AS p WHERE pronamespace = current_schema()::regnamespace "
    "AND starts_with(proname, 'gql_app_capture_')"
)
BigId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "change_images",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("tx", sa.Text(), nullable=True),
        sa.Column("table_name", sa.Text(), nullable=False),
        sa.Column("op", sa.Text(), nullable=False),
        sa.Column("old", sa.Text(), nullable=True),
        sa.Column("new", sa.Text(), nullable=True),
        sa.Column("failed", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.PrimaryKeyConstraint("id", name="pk_change_images"),
        sqlite_autoincrement=True,
    )
    switch = op.create_table(
        "change_capture",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("installed", sa.Boolean(), nullable=False),
        sa.Column("inside", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_change_capture"),
    )
    op.bulk_insert(switch, [{"id": 1, "installed": False, "inside": False}])


def downgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":  # first: it waits for who is writing a table that they watch
        made = connection.execute(MADE).scalars().all()
        if made:
            op.execute(f"DROP FUNCTION {', '.join(made)} CASCADE")
    if waiting := connection.execute(sa.text("SELECT count(*) FROM change_images")).scalar_one():
        raise ConfigurationError(
            f"{waiting} rows that were written from outside are not in the log yet: run `gql-app capture remove` first."
        )
    op.drop_table("change_capture")
    op.drop_table("change_images")
