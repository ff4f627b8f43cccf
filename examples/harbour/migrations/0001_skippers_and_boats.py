"""skippers and boats"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

BigId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
STATUSES = ("IN_HARBOUR", "AT_SEA")
Moment = sa.DateTime(timezone=True)


def _table(name: str, *columns: sa.schema.SchemaItem) -> None:
    op.create_table(
        name,
        sa.Column("public_id", sa.Uuid(), nullable=False),
        *columns,
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("updated_at", Moment, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=f"pk_{name}"),
        sa.UniqueConstraint("public_id", name=f"uq_{name}_public_id"),
    )


def upgrade() -> None:
    _table(
        "skippers",
        sa.Column("id", BigId, autoincrement=False, nullable=False),
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("phone_number", sa.String(20)),
    )
    _table(
        "boats",
        sa.Column("id", BigId, nullable=False),
        sa.Column("skipper_id", BigId, nullable=False),
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("berth", sa.String(40)),
        sa.Column("status", sa.Enum(*STATUSES, name="boatstatus", native_enum=False, length=16), nullable=False),
        sa.ForeignKeyConstraint(["skipper_id"], ["skippers.id"], name="fk_boats_skipper_id_skippers"),
    )


def downgrade() -> None:
    op.drop_table("boats")
    op.drop_table("skippers")
