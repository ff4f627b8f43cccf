"""what `gql-app check` needs: what rules decided, how far messages were pruned, since when something is tracked"""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

BigId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Moment = sa.DateTime(timezone=True)

LOGS = ("change_events", "change_outbox")
TRACKED = {
    "Comment": ["project"],
    "Delivery": ["state"],
    "FuelRequest": ["decision_note", "litres", "note", "status"],
    "Project": ["name", "status"],
    "Session": ["revoked_at"],
    "User": ["email", "password_hash", "phone_number", "role", "username"],
}
"""As of 0006. Each was tracked as long as its table is there."""


def upgrade() -> None:
    for table in LOGS:
        op.add_column(table, sa.Column("decisions", sa.Text(), nullable=True))
    op.add_column("change_log_state", sa.Column("deliveries_pruned_before", Moment, nullable=True))
    tracked_since = op.create_table(
        "tracked_since",
        sa.Column("entity_type", sa.String(length=64), nullable=False),
        sa.Column("attribute", sa.String(length=64), nullable=False),
        sa.Column("since_position", BigId, nullable=False),
        sa.Column("since", Moment, nullable=False),
        sa.PrimaryKeyConstraint("entity_type", "attribute", name="pk_tracked_since"),
    )
    now = datetime.now(UTC)
    names = [(kind, name) for kind, attributes in TRACKED.items() for name in ("", *attributes)]
    op.bulk_insert(
        tracked_since,
        [{"entity_type": kind, "attribute": name, "since_position": 0, "since": now} for kind, name in names],
    )
    _note_earlier_prunes(now)


def _note_earlier_prunes(now: datetime) -> None:
    """Earlier versions did not write down which messages they had pruned: all until now may be."""
    connection = op.get_bind()
    told = " UNION ALL ".join(f"SELECT entity_type FROM {table}" for table in LOGS)  # noqa: S608
    if not connection.scalar(sa.text(f"SELECT 1 FROM ({told}) AS told WHERE entity_type = 'Delivery' LIMIT 1")):  # noqa: S608
        return
    state = sa.table(
        "change_log_state",
        sa.column("id", sa.Integer),
        sa.column("pruned_through", BigId),
        sa.column("deliveries_pruned_before", Moment),
    )
    if not connection.execute(sa.update(state).values(deliveries_pruned_before=now)).rowcount:
        op.bulk_insert(state, [{"id": 1, "pruned_through": 0, "deliveries_pruned_before": now}])


def downgrade() -> None:
    op.drop_table("tracked_since")
    op.drop_column("change_log_state", "deliveries_pruned_before")
    for table in LOGS:
        op.drop_column(table, "decisions")
