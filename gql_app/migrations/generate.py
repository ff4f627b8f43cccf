"""Writes the migration that brings a vertical's tables to what its models say.

Must hold: the script runs as it is, on both databases, and names nothing of the application: what it makes stays what
it is when the models go on. It is found by comparing the models with an empty SQLite that all migrations so far have
made.
"""

import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from alembic.autogenerate import produce_migrations, render_python_code
from alembic.autogenerate.api import AutogenContext
from alembic.migration import MigrationContext
from alembic.operations.ops import AddColumnOp, MigrationScript, OpContainer
from sqlalchemy import Column, Connection, DefaultClause, MetaData, Table, inspect, text
from sqlalchemy.types import TypeDecorator

from gql_app.db import Database
from gql_app.errors import ConfigurationError
from gql_app.migrations import steps
from gql_app.migrations.branches import Branch

SCRIPT = '''"""{message}"""

import sqlalchemy as sa
from alembic import op

revision = {revision!r}
down_revision = {before!r}
branch_labels = None
depends_on = None


def upgrade() -> None:
{upgrade}


def downgrade() -> None:
{downgrade}
'''


async def generate(
    empty: Database, branches: Sequence[Branch], branch: Branch, tables: Iterable[Table], message: str
) -> Path | None:
    """Write the next script of a branch; None where there is nothing to be done.

    ``empty`` is a new SQLite; ``tables`` are those that the vertical has now.

    Raises:
        ConfigurationError: a script of that name is there, or a new column leaves it open what rows get.
    """
    async with empty.migrating() as connection:
        found = await connection.run_sync(_compared, branches, branch, list(tables))
    if found is None:
        return None
    upgrade, downgrade = found
    number = f"{len(branch.scripts) + 1:04}"
    slug = re.sub(r"[^a-z0-9]+", "_", message.lower()).strip("_") or "changes"
    path = branch.path / f"{number}_{slug[:60]}.py"
    if path.exists():
        raise ConfigurationError(f"{path} is there already.")
    script = SCRIPT.format(message=message, revision=number, before=branch.head, upgrade=upgrade, downgrade=downgrade)
    if "postgresql." in upgrade + downgrade:
        imported = "from alembic import op\n"
        script = script.replace(imported, f"{imported}from sqlalchemy.dialects import postgresql\n")
    path.write_text(script, encoding="utf-8")
    return path


def _compared(
    connection: Connection, branches: Sequence[Branch], branch: Branch, tables: Sequence[Table]
) -> tuple[str, str] | None:
    """The two bodies of the script."""
    of_others: set[str] = set()
    for each in branches:
        before = set(inspect(connection).get_table_names())
        steps.upgrade(connection, each)
        if each != branch:
            of_others |= set(inspect(connection).get_table_names()) - before
    of_others.add(steps.VERSIONS.name)

    mine = {table.name for table in tables}

    def is_mine(thing: Any, name: str | None, kind: str, reflected: bool, other: Any) -> bool:
        table = name if kind == "table" else getattr(getattr(thing, "table", None), "name", None)
        return table in mine or (reflected and table not in of_others)

    options: dict[str, Any] = {"include_object": is_mine, "render_as_batch": True, "render_item": _plain}
    context = MigrationContext.configure(connection, opts=options)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*expression-based index")  # SQLite tells nothing about these
        script: MigrationScript = produce_migrations(context, _joined({table.metadata: None for table in tables}))
    assert script.upgrade_ops is not None
    assert script.downgrade_ops is not None
    if script.upgrade_ops.is_empty():
        return None
    for added in _added(script.upgrade_ops):
        added.column = _filled(connection, added)
    rendered: dict[str, Any] = {"migration_context": context, "render_as_batch": True, "render_item": _plain}
    upgrade, downgrade = script.upgrade_ops, script.downgrade_ops
    return _indented(render_python_code(upgrade, **rendered)), _indented(render_python_code(downgrade, **rendered))


def _added(found: OpContainer) -> Iterator[AddColumnOp]:
    """The columns that are added to tables that are there."""
    for each in found.ops:
        if isinstance(each, AddColumnOp):
            yield each
        elif isinstance(each, OpContainer):
            yield from _added(each)


def _filled(connection: Connection, added: AddColumnOp) -> Column[Any]:
    """The column with what the rows get that are there already; older processes, which do not know it, write the same.

    Raises:
        ConfigurationError: it may not be NULL, and its default is no value that SQL can write.
    """
    column: Column[Any] = added.column
    if column.nullable or column.server_default is not None:
        return column
    default: Any = column.default
    value = default.arg if default is not None and default.is_scalar else None
    bind = column.type.dialect_impl(connection.dialect).bind_processor(connection.dialect)
    stored = bind(value) if bind is not None and value is not None else value
    if isinstance(value, bool):
        written: Any = text("true" if value else "false")
    elif isinstance(stored, int | float):
        written = text(repr(stored))
    elif isinstance(stored, str):
        written = text("'" + stored.replace("'", "''") + "'")
    else:
        raise ConfigurationError(
            f"{added.table_name}.{column.name} may not be NULL, and has no default that rows could get which are there "
            "already: give it one (default=…: a text, a number or a member of an enum), or make it Mapped[… | None]."
        )
    filled = column._copy()
    filled.server_default = DefaultClause(written)
    return filled


def _joined(metadata: Iterable[MetaData]) -> MetaData:
    """One for all: foreign keys between bases stay what they are."""
    if len(every := list(metadata)) == 1:
        return every[0]
    joined = MetaData()
    for each in every:
        for table in each.sorted_tables:
            table.to_metadata(joined)
    return joined


def _plain(kind: str, thing: Any, context: AutogenContext) -> Any:
    """Types of one's own by what the database has of them."""
    if kind == "type" and isinstance(thing, TypeDecorator):
        known = type(thing.impl_instance).__module__ == "sqlalchemy.sql.sqltypes"
        return f"sa.{thing.impl_instance!r}" if known else False
    return False


def _indented(code: str) -> str:
    body = "\n".join(line for line in code.splitlines() if not line.lstrip().startswith("# ###"))
    return body.rstrip() if body.strip() else "    pass"
