"""messages are rendered when they are sent; room for whose fault a refusal was, for time, order and trace"""

import sqlalchemy as sa
from alembic import op

from gql_app.errors import ConfigurationError

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

Moment = sa.DateTime(timezone=True)
FAULTS = ("RECIPIENT", "MESSAGE", "US", "LATER")
LOGS = ("change_events", "change_outbox")
ADDED = (
    ("template", sa.String(200)),
    ("template_values", sa.Text()),
    ("language", sa.String(35)),
    ("cause_type", sa.String(64)),
    ("not_before", Moment),
    ("expires_at", Moment),
    ("route", sa.String(255)),
    ("claimed_by", sa.String(128)),
    ("fault", sa.Enum(*FAULTS, name="fault", native_enum=False, length=16)),
    ("reason", sa.String(64)),
)
OF_ATTEMPTS = (("fault", sa.Enum(*FAULTS, name="fault", native_enum=False, length=16)), ("text", sa.Text()))
KNOWS = "ck_deliveries_claimed_by_who_knows"
WAITING = "SELECT count(*) FROM deliveries WHERE template IS NOT NULL AND due_at IS NOT NULL"


def upgrade() -> None:
    with op.batch_alter_table("deliveries", reflect_kwargs={"resolve_fks": False}) as batch:
        batch.alter_column("body", existing_type=sa.Text(), nullable=True)
        for name, kind in ADDED:
            batch.add_column(sa.Column(name, kind, nullable=True))
        batch.add_column(sa.Column("priority", sa.SmallInteger(), nullable=False, server_default="0"))
        batch.create_check_constraint(KNOWS, "lease IS NULL OR template IS NULL OR claimed_by IS NOT NULL")
    for name, kind in OF_ATTEMPTS:
        op.add_column("delivery_attempts", sa.Column(name, kind, nullable=True))
    for table in LOGS:
        op.add_column(table, sa.Column("trace", sa.String(64), nullable=True))


def downgrade() -> None:
    """The version before knows no templates in the queue, and no messages that were suppressed."""
    if waiting := op.get_bind().execute(sa.text(WAITING)).scalar_one():
        raise ConfigurationError(
            f"{waiting} messages are still owed that the older version cannot render: let them be sent first."
        )
    op.execute("UPDATE deliveries SET body = '(rendered by a later version)' WHERE body IS NULL")
    op.execute("UPDATE deliveries SET state = 'DEAD' WHERE state = 'SUPPRESSED'")
    op.execute("UPDATE delivery_attempts SET outcome = 'PERMANENT' WHERE outcome = 'SUPPRESSED'")
    for table in LOGS:
        op.execute(f"UPDATE {table} SET new_value = 'DEAD' WHERE entity_type = 'Delivery' AND new_value = 'SUPPRESSED'")  # noqa: S608  (names of our own)
        op.execute(f"UPDATE {table} SET old_value = 'DEAD' WHERE entity_type = 'Delivery' AND old_value = 'SUPPRESSED'")  # noqa: S608  (names of our own)
        op.drop_column(table, "trace")
    for name, _ in OF_ATTEMPTS:
        op.drop_column("delivery_attempts", name)
    with op.batch_alter_table("deliveries", reflect_kwargs={"resolve_fks": False}) as batch:
        batch.drop_constraint(KNOWS, type_="check")
        batch.drop_column("priority")
        for name, _ in ADDED:
            batch.drop_column(name)
        batch.alter_column("body", existing_type=sa.Text(), nullable=False)
