"""`gql-app check` finds nothing in a database of any older version that was upgraded, or taken back and up again."""

from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import Connection, inspect, text
from sqlalchemy.engine import make_url

from gql_app import migrations
from gql_app.db import Database
from gql_app.errors import ConfigurationError
from gql_app.migrations import Branch
from gql_app.migrations.before import HISTORY
from tests.migrating import SERVICE, back, make_of, migrate
from tests.reconcile.after import nothing_to_find
from tests.reconcile.filled import fill
from tests.reconcile.older import REVISIONS, Older
from tests.ruling import service_database


async def fill_as(db: Database, revision: str) -> None:
    """Make it a database of this revision in which something has happened."""
    await make_of(db, revision)
    async with db.writing() as connection:
        for statement in Older(revision, db.is_sqlite).statements():
            await connection.execute(text(statement.replace(":", r"\:")))


@pytest.mark.parametrize("revision", REVISIONS)
async def test_nothing_is_found_after_an_upgrade(bare: Database, bare_url: str, revision: str) -> None:
    """Nor when it is taken back to where it was, and up once more."""
    await fill_as(bare, revision)
    await migrate(bare)
    await nothing_to_find(bare_url)
    await back(bare, migrations.BEFORE, revision)
    await migrate(bare)
    await nothing_to_find(bare_url)


@pytest.mark.parametrize("revision", REVISIONS[:-1])
async def test_nothing_is_found_in_what_an_older_version_writes_after_going_back(
    bare: Database, bare_url: str, revision: str
) -> None:
    await migrate(bare)
    await back(bare, migrations.BEFORE, revision)
    await fill_as(bare, revision)
    await migrate(bare)
    await nothing_to_find(bare_url)


async def test_nothing_is_found_after_going_back_and_up_again(bare: Database, bare_url: str) -> None:
    """One version further back each time. What an older version has no tables for is gone, and the log says so."""
    await migrate(bare)
    await fill(bare)
    for revision in reversed(REVISIONS[:-1]):
        await back(bare, migrations.BEFORE, revision)
        await migrate(bare)
        await nothing_to_find(bare_url)


def test_each_version_is_tried() -> None:
    scripts = HISTORY.scripts
    assert tuple(sorted(script.revision for script in scripts)) == REVISIONS


def _tables(connection: Connection) -> dict[str, object]:
    """Everything about the tables but the order of their columns."""
    there = inspect(connection)
    names = sorted(name for name in there.get_table_names() if name != "gql_app_versions")
    return {
        name: {
            "columns": {each["name"]: (repr(each["type"]), each["nullable"]) for each in there.get_columns(name)},
            "key": there.get_pk_constraint(name),
            "foreign keys": {str(each["name"]): each for each in there.get_foreign_keys(name)},
            "unique": {str(each["name"]): each["column_names"] for each in there.get_unique_constraints(name)},
            "indexes": sorted(_indexes(connection, name)),
        }
        for name in names
    }


def _indexes(connection: Connection, table: str) -> list[str]:
    """As the database itself describes them: with conditions and expressions."""
    if connection.dialect.name == "sqlite":
        query = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = :table"
    else:
        query = "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = :table AND schemaname = current_schema()"
    return [f"{name}: {sql}".replace('"', "") for name, sql in connection.execute(text(query), {"table": table})]


@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
async def test_a_database_that_was_taken_over_has_the_tables_of_a_new_one(bare: Database, bare_url: str) -> None:
    """And `gql-app check` finds nothing in it; what other programs have beside ours stays as it is."""
    async with bare.writing() as connection:
        await connection.execute(text("CREATE TABLE theirs (id INTEGER)"))
    await migrate(bare)
    async with bare.engine.connect() as connection:
        new = await connection.run_sync(_tables)
    await back(bare, migrations.BEFORE, "base")
    async with bare.engine.connect() as connection:
        assert await connection.run_sync(lambda sync: inspect(sync).get_table_names()) == ["theirs"]
    await make_of(bare, "0009")
    await migrate(bare)
    async with bare.engine.connect() as connection:
        assert await connection.run_sync(_tables) == new
        assert not await connection.run_sync(lambda sync: inspect(sync).has_table("alembic_version"))
    await nothing_to_find(bare_url)


async def test_another_alembic_in_the_same_database_goes_on(bare: Database) -> None:
    await make_of(bare, "0009")
    async with bare.writing() as connection:
        await connection.execute(text("INSERT INTO alembic_version VALUES ('5f3a')"))
    await migrate(bare)
    await migrate(bare)
    async with bare.engine.connect() as connection:
        assert list(await connection.scalars(text("SELECT version_num FROM alembic_version"))) == ["5f3a"]


async def test_tables_of_ours_at_an_unknown_version_are_left_alone(bare: Database) -> None:
    await make_of(bare, "0009")
    async with bare.writing() as connection:
        await connection.execute(text("DROP TABLE alembic_version"))
    with pytest.raises(ConfigurationError, match="neither gql_app_versions nor alembic_version"):
        await migrate(bare)


async def test_tables_that_a_later_version_has_migrated_are_left_alone(bare: Database) -> None:
    await migrate(bare)
    async with bare.writing() as connection:
        await connection.execute(text("UPDATE gql_app_versions SET revision = '0999' WHERE vertical = 'projects'"))
    with pytest.raises(ConfigurationError, match="a later one has migrated"):
        await migrate(bare)
    with pytest.raises(ConfigurationError, match="projects are at 0999, so not behind 0001"):
        await back(bare, migrations.BEFORE, "0009")


async def test_a_table_of_that_name_is_not_touched(bare: Database) -> None:
    async with bare.writing() as connection:
        await connection.execute(text("CREATE TABLE projects (id INTEGER)"))
    with pytest.raises(ConfigurationError, match=r"is there already.*projects"):
        await migrate(bare)
    async with bare.engine.connect() as connection:
        assert await connection.run_sync(lambda sync: inspect(sync).get_table_names()) == ["projects"]


@pytest.mark.only_on("postgres", reason="SQLite has no users")
async def test_it_says_which_rights_are_missing(bare: Database, bare_url: str) -> None:
    name = f"gql_app_poor_{uuid4().hex[:8]}"
    async with bare.writing() as connection:
        await connection.execute(text(f"CREATE ROLE {name} LOGIN PASSWORD 'x'"))
        await connection.execute(text("REVOKE CREATE ON SCHEMA public FROM PUBLIC"))
    poor = service_database(make_url(bare_url).set(username=name, password="x").render_as_string(hide_password=False))
    try:
        with pytest.raises(ConfigurationError, match=r"may not change the tables .*GRANT CREATE ON SCHEMA"):
            await migrate(poor)
    finally:
        await poor.close()
        async with bare.writing() as connection:
            await connection.execute(text(f"DROP ROLE {name}"))


def _branch(path: Path, *revisions: tuple[str, str | None]) -> Branch:
    for revision, before in revisions:
        script = f"revision = {revision!r}\ndown_revision = {before!r}\nbranch_labels = depends_on = None\n"
        (path / f"{revision}_.py").write_text(script + "def upgrade(): pass\n")
    return Branch("boats", path)


def test_migrations_that_cannot_be_run_one_after_the_other_are_refused(tmp_path: Path) -> None:
    assert _branch(tmp_path, ("0001", None), ("0002", "0001")).head == "0002"
    with pytest.raises(ConfigurationError, match="not in one row"):
        _ = _branch(tmp_path, ("0003", "0001")).head
    with pytest.raises(ConfigurationError, match="which is no folder"):
        _ = Branch("boats", tmp_path / "nowhere").head


BOATS = """
import sqlalchemy as sa
from alembic import op

revision = {revision!r}
down_revision = {before!r}
branch_labels = depends_on = None


def upgrade():
    op.create_table("boats_{revision}", sa.Column("id", sa.Integer))


def downgrade():
    op.drop_table("boats_{revision}")
"""


async def test_one_vertical_is_taken_back_alone(bare: Database, tmp_path: Path) -> None:
    for revision, before in (("0001", None), ("0002", "0001")):
        (tmp_path / f"{revision}.py").write_text(BOATS.format(revision=revision, before=before))
    boats = Branch("boats", tmp_path)
    await migrate(bare)
    await migrations.upgrade(bare, [*SERVICE.branches, boats])

    async def there() -> list[str]:
        async with bare.engine.connect() as connection:
            names = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
        return sorted(name for name in names if name.startswith("boats"))

    assert await there() == ["boats_0001", "boats_0002"]
    await migrations.take_back(bare, boats, "0001")
    assert await there() == ["boats_0001"]
    with pytest.raises(ConfigurationError, match="are at 0001, so not behind 0002"):
        await migrations.take_back(bare, boats, "0002")
    await migrations.take_back(bare, boats, "base")
    assert await there() == []
    assert await migrations.is_current(bare, SERVICE.branches)
    with pytest.raises(ConfigurationError, match="no revision 0999"):
        await back(bare, migrations.BEFORE, "0999")
    await migrations.upgrade(bare, [*SERVICE.branches, boats])
    assert await there() == ["boats_0001", "boats_0002"]
