"""rows that the log follows are not deleted by the database itself: it would not be seen"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

KEYS = (
    ("sessions", "fk_sessions_user_id_users", "users", "user_id"),
    ("comments", "fk_comments_project_id_projects", "projects", "project_id"),
)


def upgrade() -> None:
    _replace(ondelete=None)


def downgrade() -> None:
    _replace(ondelete="CASCADE")


def _replace(ondelete: str | None) -> None:
    for table, name, target, column in KEYS:
        with op.batch_alter_table(table, reflect_kwargs={"resolve_fks": False}) as batch:
            batch.drop_constraint(name, type_="foreignkey")
            batch.create_foreign_key(name, target, [column], ["id"], ondelete=ondelete)
