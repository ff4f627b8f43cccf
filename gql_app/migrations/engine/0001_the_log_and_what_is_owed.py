"""the change log, and what is owed"""

import sqlalchemy as sa
from alembic import op

BigId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Moment = sa.DateTime(timezone=True)

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

STATES = ("PENDING", "SENDING", "SENT", "DELIVERED", "UNDELIVERED", "UNKNOWN", "DEAD")
OUTCOMES = ("SENT", "TRANSIENT", "PERMANENT", "REFUSED", "UNKNOWN")
UNFINISHED = sa.text("due_at IS NOT NULL")
DEAD = sa.text("state = 'DEAD'")
KNOWN = sa.text("provider_id IS NOT NULL")


def upgrade() -> None:
    _log()
    _owed()


def _entry(kind: sa.types.TypeEngine) -> list[sa.Column]:
    return [
        sa.Column("change_set", sa.Uuid(), nullable=False),
        sa.Column("kind", kind, nullable=False),
        sa.Column("entity_type", sa.String(64), nullable=False),
        sa.Column("entity_id", sa.Uuid(), nullable=False),
        sa.Column("attribute", sa.String(64), nullable=True),
        sa.Column("old_value", sa.Text(), nullable=True),
        sa.Column("new_value", sa.Text(), nullable=True),
        sa.Column("owner_id", BigId, nullable=True),
        sa.Column("actor_id", BigId, nullable=True),
        sa.Column("occurred_at", Moment, nullable=False),
        sa.Column("decisions", sa.Text(), nullable=True),
        sa.Column("audience", sa.Text(), nullable=True),
        sa.Column("audience_before", sa.Text(), nullable=True),
    ]


def _log() -> None:
    kinds = sa.Enum("CREATED", "UPDATED", "DELETED", name="changekind", native_enum=False, length=16)
    op.create_table(
        "change_events",
        sa.Column("position", BigId, autoincrement=True, nullable=False),
        *_entry(kinds),
        sa.PrimaryKeyConstraint("position", name="pk_change_events"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_change_events_entity_id_position", "change_events", ["entity_id", "position"])
    by_type = ["entity_type", "attribute", "position"]
    op.create_index("ix_change_events_entity_type_attribute_position", "change_events", by_type)
    op.create_index("ix_change_events_owner_id_position", "change_events", ["owner_id", "position"])
    op.create_table(
        "change_outbox",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        *_entry(sa.String(16)),
        sa.PrimaryKeyConstraint("id", name="pk_change_outbox"),
    )
    op.create_table(
        "change_audience",
        sa.Column("key", sa.String(80, "C").with_variant(sa.String(80), "sqlite"), nullable=False),
        sa.Column("position", BigId, autoincrement=False, nullable=False),
        sa.Column("lost", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("key", "position", name="pk_change_audience"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "change_log_state",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("pruned_through", BigId, nullable=False),
        sa.Column("deliveries_pruned_before", Moment, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_change_log_state"),
    )
    op.create_table(
        "tracked_since",
        sa.Column("entity_type", sa.String(64), nullable=False),
        sa.Column("attribute", sa.String(64), nullable=False),
        sa.Column("since_position", BigId, nullable=False),
        sa.Column("since", Moment, nullable=False),
        sa.PrimaryKeyConstraint("entity_type", "attribute", name="pk_tracked_since"),
    )


def _owed() -> None:
    providers_id = sa.String(64).with_variant(sa.Text(), "postgresql")
    op.create_table(
        "deliveries",
        sa.Column("public_id", sa.Uuid(), nullable=False),
        sa.Column("id", BigId, nullable=False),
        sa.Column("channel", sa.Enum("SMS", "EMAIL", name="channel", native_enum=False, length=16), nullable=False),
        sa.Column("state", sa.Enum(*STATES, name="deliverystate", native_enum=False, length=16), nullable=False),
        sa.Column("recipient_id", BigId, nullable=True),
        sa.Column("recipient", sa.String(320), nullable=False),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("html", sa.Text(), nullable=True),
        sa.Column("rule", sa.String(128), nullable=False),
        sa.Column("change_set", sa.Uuid(), nullable=False),
        sa.Column("cause_id", sa.Uuid(), nullable=True),
        sa.Column("due_at", Moment, nullable=True),
        sa.Column("lease", sa.Uuid(), nullable=True),
        sa.Column("attempt_count", sa.Integer(), nullable=False),
        sa.Column("failure_count", sa.Integer(), nullable=False),
        sa.Column("provider_id", providers_id, nullable=True),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("updated_at", Moment, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_deliveries"),
        sa.UniqueConstraint("public_id", name="uq_deliveries_public_id"),
    )
    for name, columns, where in (
        ("ix_deliveries_change_set", ["change_set"], None),
        ("ix_deliveries_created_at_id", ["created_at", "id"], None),
        ("ix_deliveries_recipient_id_created_at_id", ["recipient_id", "created_at", "id"], None),
        ("ix_deliveries_due", ["channel", "due_at"], UNFINISHED),
        ("ix_deliveries_unfinished", ["channel", "recipient", "id"], UNFINISHED),
        ("ix_deliveries_dead", ["channel"], DEAD),
    ):
        op.create_index(name, "deliveries", columns, sqlite_where=where, postgresql_where=where)
    op.create_table(
        "delivery_attempts",
        sa.Column("id", BigId, nullable=False),
        sa.Column("public_id", sa.Uuid(), nullable=False),
        sa.Column("delivery_id", BigId, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("started_at", Moment, nullable=False),
        sa.Column("finished_at", Moment, nullable=True),
        sa.Column("outcome", sa.Enum(*OUTCOMES, name="attemptoutcome", native_enum=False, length=16), nullable=True),
        sa.Column("provider_id", providers_id, nullable=True),
        sa.Column("error_code", sa.String(32), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["delivery_id"], ["deliveries.id"], name="fk_delivery_attempts_delivery_id_deliveries", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_delivery_attempts"),
        sa.UniqueConstraint("public_id", name="uq_delivery_attempts_public_id"),
    )
    by_number = ["delivery_id", "number"]
    op.create_index("ix_delivery_attempts_delivery_id_number", "delivery_attempts", by_number, unique=True)
    op.create_index(
        "ix_delivery_attempts_provider_id",
        "delivery_attempts",
        ["provider_id"],
        sqlite_where=KNOWN,
        postgresql_where=KNOWN,
    )


def downgrade() -> None:
    for table in (
        "delivery_attempts",
        "deliveries",
        "tracked_since",
        "change_log_state",
        "change_audience",
        "change_outbox",
        "change_events",
    ):
        op.drop_table(table)
