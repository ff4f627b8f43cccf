"""projects and comments"""

from datetime import UTC, datetime
from uuid import uuid4

import sqlalchemy as sa
from alembic import op

BigId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "projects",
        sa.Column("public_id", sa.Uuid(), nullable=False),
        sa.Column("id", BigId, nullable=False),
        sa.Column("owner_id", BigId, nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name="fk_projects_owner_id_users"),
        sa.PrimaryKeyConstraint("id", name="pk_projects"),
        sa.UniqueConstraint("public_id", name="uq_projects_public_id"),
    )
    op.create_index("ix_projects_created_at_id", "projects", ["created_at", "id"])
    op.create_index("ix_projects_owner_id_created_at_id", "projects", ["owner_id", "created_at", "id"])
    op.create_table(
        "comments",
        sa.Column("public_id", sa.Uuid(), nullable=False),
        sa.Column("id", BigId, nullable=False),
        sa.Column("project_id", BigId, nullable=False),
        sa.Column("project_owner_id", BigId, nullable=False),
        sa.Column("author_id", BigId, nullable=False),
        sa.Column("project", sa.Uuid(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["author_id"], ["users.id"], name="fk_comments_author_id_users"),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name="fk_comments_project_id_projects", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_comments"),
        sa.UniqueConstraint("public_id", name="uq_comments_public_id"),
    )
    op.create_index("ix_comments_project_id_created_at_id", "comments", ["project_id", "created_at", "id"])


def downgrade() -> None:
    # Nothing of them is left, and the log has to say so.
    _note_deleted("Comment", "comments", "project_owner_id")
    op.drop_table("comments")
    _note_deleted("Project", "projects", "owner_id")
    op.drop_table("projects")


def _note_deleted(entity_type: str, table: str, owner: str) -> None:
    events = sa.table(
        "change_events",
        sa.column("change_set", sa.Uuid()),
        sa.column("kind", sa.String()),
        sa.column("entity_type", sa.String()),
        sa.column("entity_id", sa.Uuid()),
        sa.column("owner_id", BigId),
        sa.column("occurred_at", sa.DateTime(timezone=True)),
    )
    rows = sa.table(table, sa.column("id", BigId), sa.column("public_id", sa.Uuid()), sa.column(owner, BigId))
    moment = sa.literal(datetime.now(UTC), sa.DateTime(timezone=True))
    deleted = sa.select(
        sa.literal(uuid4(), sa.Uuid()),
        sa.literal("DELETED", sa.String()),
        sa.literal(entity_type, sa.String()),
        rows.c.public_id,
        rows.c[owner],
        moment,
    ).order_by(rows.c.id)
    op.execute(sa.insert(events).from_select([column.name for column in events.columns], deleted))
