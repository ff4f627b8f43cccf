"""How Alembic runs our migrations: on the connection that it is handed."""

from alembic import context

import gql_app.verticals  # noqa: F401  (imports all models)
from gql_app.db import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite alters a table by copying it
    transaction_per_migration=False,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
