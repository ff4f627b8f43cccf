"""the first tables"""

import sqlalchemy as sa
from alembic import op

BigId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "change_events",
        sa.Column("position", BigId, autoincrement=True, nullable=False),
        sa.Column("change_set", sa.Uuid(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum("CREATED", "UPDATED", "DELETED", name="changekind", native_enum=False, length=16),
            nullable=False,
        ),
        sa.Column("entity_type", sa.String(length=64), nullable=False),
        sa.Column("entity_id", sa.Uuid(), nullable=False),
        sa.Column("attribute", sa.String(length=64), nullable=True),
        sa.Column("old_value", sa.Text(), nullable=True),
        sa.Column("new_value", sa.Text(), nullable=True),
        sa.Column("owner_id", BigId, nullable=True),
        sa.Column("actor_id", BigId, nullable=True),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("position", name="pk_change_events"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_change_events_entity_id_position", "change_events", ["entity_id", "position"])
    op.create_index(
        "ix_change_events_entity_type_attribute_position",
        "change_events",
        ["entity_type", "attribute", "position"],
    )
    op.create_index("ix_change_events_owner_id_position", "change_events", ["owner_id", "position"])

    op.create_table(
        "change_log_state",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("pruned_through", BigId, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_change_log_state"),
    )
    op.create_table(
        "deliveries",
        sa.Column("public_id", sa.Uuid(), nullable=False),
        sa.Column("id", BigId, nullable=False),
        sa.Column("channel", sa.Enum("SMS", "EMAIL", name="channel", native_enum=False, length=16), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "PENDING",
                "SENDING",
                "SENT",
                "DELIVERED",
                "UNDELIVERED",
                "UNKNOWN",
                "DEAD",
                name="deliverystate",
                native_enum=False,
                length=16,
            ),
            nullable=False,
        ),
        sa.Column("recipient_id", BigId, nullable=True),
        sa.Column("recipient", sa.String(length=320), nullable=False),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("html", sa.Text(), nullable=True),
        sa.Column("rule", sa.String(length=128), nullable=False),
        sa.Column("change_set", sa.Uuid(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease", sa.Uuid(), nullable=True),
        sa.Column("attempt_count", sa.Integer(), nullable=False),
        sa.Column("failure_count", sa.Integer(), nullable=False),
        sa.Column("provider_id", sa.String(length=64), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_deliveries"),
        sa.UniqueConstraint("public_id", name="uq_deliveries_public_id"),
    )
    op.create_index("ix_deliveries_change_set", "deliveries", ["change_set"])
    op.create_index("ix_deliveries_created_at_id", "deliveries", ["created_at", "id"])
    op.create_index(
        "ix_deliveries_due",
        "deliveries",
        ["channel", "due_at"],
        sqlite_where=sa.text("due_at IS NOT NULL"),
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )
    op.create_index("ix_deliveries_provider_id", "deliveries", ["provider_id"])
    op.create_index("ix_deliveries_recipient_id_created_at_id", "deliveries", ["recipient_id", "created_at", "id"])

    op.create_table(
        "users",
        sa.Column("public_id", sa.Uuid(), nullable=False),
        sa.Column("id", BigId, nullable=False),
        sa.Column("plan", sa.String(length=16), nullable=False),
        sa.Column("username", sa.String(length=32), nullable=False),
        sa.Column("email", sa.String(length=320), nullable=False),
        sa.Column("phone_number", sa.String(length=20), nullable=True),
        sa.Column(
            "role",
            sa.Enum("USER", "APPROVER", "ADMIN", name="role", native_enum=False, length=16),
            nullable=False,
        ),
        sa.Column("password_hash", sa.String(length=60), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("public_id", name="uq_users_public_id"),
    )
    op.create_index("uq_users_username_lower", "users", [sa.text("lower(username)")], unique=True)
    op.create_index("uq_users_email_lower", "users", [sa.text("lower(email)")], unique=True)
    op.create_table(
        "delivery_attempts",
        sa.Column("id", BigId, nullable=False),
        sa.Column("public_id", sa.Uuid(), nullable=False),
        sa.Column("delivery_id", BigId, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "outcome",
            sa.Enum(
                "SENT",
                "TRANSIENT",
                "PERMANENT",
                "REFUSED",
                "UNKNOWN",
                name="attemptoutcome",
                native_enum=False,
                length=16,
            ),
            nullable=True,
        ),
        sa.Column("provider_id", sa.String(length=64), nullable=True),
        sa.Column("error_code", sa.String(length=32), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["delivery_id"],
            ["deliveries.id"],
            name="fk_delivery_attempts_delivery_id_deliveries",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_delivery_attempts"),
        sa.UniqueConstraint("public_id", name="uq_delivery_attempts_public_id"),
    )
    op.create_index(
        "ix_delivery_attempts_delivery_id_number", "delivery_attempts", ["delivery_id", "number"], unique=True
    )

    op.create_table(
        "fuel_requests",
        sa.Column("public_id", sa.Uuid(), nullable=False),
        sa.Column("id", BigId, nullable=False),
        sa.Column("requester_id", BigId, nullable=False),
        sa.Column(
            "status",
            sa.Enum("PENDING", "REJECTED", "APPROVED", name="fuelrequeststatus", native_enum=False, length=16),
            nullable=False,
        ),
        sa.Column("litres", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("decided_by_id", BigId, nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decision_note", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["decided_by_id"], ["users.id"], name="fk_fuel_requests_decided_by_id_users"),
        sa.ForeignKeyConstraint(["requester_id"], ["users.id"], name="fk_fuel_requests_requester_id_users"),
        sa.PrimaryKeyConstraint("id", name="pk_fuel_requests"),
        sa.UniqueConstraint("public_id", name="uq_fuel_requests_public_id"),
    )
    op.create_index("ix_fuel_requests_created_at_id", "fuel_requests", ["created_at", "id"])
    op.create_index(
        "ix_fuel_requests_requester_id_created_at_id", "fuel_requests", ["requester_id", "created_at", "id"]
    )
    op.create_index("ix_fuel_requests_status_created_at_id", "fuel_requests", ["status", "created_at", "id"])

    op.create_table(
        "premium_users",
        sa.Column("id", BigId, nullable=False),
        sa.Column("premium_since", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["id"], ["users.id"], name="fk_premium_users_id_users", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_premium_users"),
    )
    op.create_table(
        "sessions",
        sa.Column("public_id", sa.Uuid(), nullable=False),
        sa.Column("id", BigId, nullable=False),
        sa.Column("user_id", BigId, nullable=False),
        sa.Column("token_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_sessions_user_id_users", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_sessions"),
        sa.UniqueConstraint("public_id", name="uq_sessions_public_id"),
        sa.UniqueConstraint("token_hash", name="uq_sessions_token_hash"),
    )
    op.create_index("ix_sessions_user_id", "sessions", ["user_id"])


def downgrade() -> None:
    for table in (
        "sessions",
        "premium_users",
        "fuel_requests",
        "delivery_attempts",
        "users",
        "deliveries",
        "change_log_state",
        "change_events",
    ):
        op.drop_table(table)
