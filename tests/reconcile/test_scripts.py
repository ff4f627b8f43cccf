"""What an author's migration scripts may do, and what is refused about them."""

from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, text

from gql_app import migrations
from gql_app.db import Database
from gql_app.errors import ConfigurationError
from gql_app.migrations import Branch
from tests.migrating import SERVICE, make_of, migrate

HEAD = """
import sqlalchemy as sa
from alembic import op

revision = {revision!r}
down_revision = {before!r}
branch_labels = depends_on = None


def upgrade():
"""
TABLES = """
    op.execute("CREATE TABLE ports (id INTEGER PRIMARY KEY, name VARCHAR(8))")
    op.execute("CREATE TABLE piers (id INTEGER PRIMARY KEY, port INTEGER REFERENCES ports (id) ON DELETE CASCADE)")
    op.execute("CREATE TABLE cranes (id INTEGER PRIMARY KEY, port INTEGER REFERENCES ports (id))")
    for table in ("ports", "piers", "cranes"):
        op.execute(f"INSERT INTO {table} (id) VALUES (1)")
    op.execute("UPDATE piers SET port = 1")
    op.execute("UPDATE cranes SET port = 1")
"""
ALTERS = """
    with op.batch_alter_table("ports") as batch:
        batch.alter_column("name", type_=sa.String(80), existing_type=sa.String(8))
"""


def port(path: Path, *bodies: str) -> Branch:
    """A vertical with these migrations, one after the other."""
    path.mkdir(exist_ok=True)
    for number, body in enumerate(bodies, 1):
        head = HEAD.format(revision=f"{number:04}", before=f"{number - 1:04}" if number > 1 else None)
        (path / f"{number:04}_.py").write_text(head + body)
    return Branch("port", path)


async def counted(db: Database, *tables: str) -> list[int]:
    async with db.engine.connect() as connection:
        return [(await connection.execute(text(f"SELECT count(*) FROM {each}"))).scalar_one() for each in tables]


async def test_a_table_is_altered_without_the_rows_that_refer_to_it(bare: Database, tmp_path: Path) -> None:
    """SQLite alters it by dropping it: with foreign keys in force the rows of others would be gone."""
    await migrations.upgrade(bare, [port(tmp_path / "m", TABLES, ALTERS)])
    assert await counted(bare, "ports", "piers", "cranes") == [1, 1, 1]
    if bare.is_sqlite:
        async with bare.engine.connect() as connection:
            assert (await connection.execute(text("PRAGMA foreign_keys"))).scalar_one() == 1  # in force again


async def test_a_script_that_breaks_a_foreign_key_changes_nothing(bare: Database, tmp_path: Path) -> None:
    breaks = '    op.execute("DELETE FROM ports")\n'
    await migrations.upgrade(bare, [port(tmp_path / "m", TABLES)])
    if bare.is_sqlite:
        with pytest.raises(ConfigurationError, match=r"rows of (piers|cranes) refer to rows of ports"):
            await migrations.upgrade(bare, [port(tmp_path / "m", TABLES, breaks)])
    else:
        with pytest.raises(Exception, match="foreign key"):
            await migrations.upgrade(bare, [port(tmp_path / "m", TABLES, breaks)])
    assert await counted(bare, "ports", "piers", "cranes") == [1, 1, 1]


async def test_two_scripts_with_one_revision_are_refused(tmp_path: Path) -> None:
    branch = port(tmp_path / "m", TABLES)
    (branch.path / "again_.py").write_text((branch.path / "0001_.py").read_text())
    with pytest.raises(ConfigurationError, match=r"cannot be read.*0001"):
        _ = branch.head


async def test_there_is_no_way_back_to_a_version_that_never_was(bare: Database, tmp_path: Path) -> None:
    await migrations.upgrade(bare, [migrations.ENGINE, port(tmp_path / "m", TABLES)])
    with pytest.raises(ConfigurationError, match="never had the tables of accounts, fuel_requests, projects"):
        await migrations.take_back(bare, migrations.BEFORE, "0009")
    with pytest.raises(ConfigurationError, match="Without the engine's tables"):
        await migrations.take_back(bare, migrations.ENGINE, "base")
    assert await migrations.is_current(bare, [migrations.ENGINE])


@pytest.mark.only_on("postgres", reason="SQLite notices it before the commit")
async def test_what_others_need_is_not_taken_back(bare: Database) -> None:
    await migrate(bare)
    accounts = next(each for each in SERVICE.branches if each.name == "accounts")
    with pytest.raises(ConfigurationError, match="Other tables refer to those"):
        await migrations.take_back(bare, accounts, "base")
    assert await migrations.is_current(bare, SERVICE.branches)


@pytest.mark.only_on("postgres", reason="SQLite has no schemas")
async def test_tables_of_another_schema_are_left_alone(bare: Database, bare_url: str, tmp_path: Path) -> None:
    """An older installation in `public`, which the search path names, too."""
    await make_of(bare, "0009")
    async with bare.writing() as connection:
        await connection.execute(text("CREATE SCHEMA mine"))
        name = bare_url.rpartition("/")[2]
        await connection.execute(text(f"ALTER DATABASE {name} SET search_path = mine, public"))
    mine = Database(bare_url)
    try:
        await migrations.upgrade(mine, [migrations.ENGINE, port(tmp_path / "m", TABLES)])
        assert await migrations.is_current(mine, [migrations.ENGINE])
    finally:
        await mine.close()
    assert await counted(bare, "public.alembic_version", "mine.gql_app_versions") == [1, 2]


@pytest.mark.only_on("postgres", reason="SQLite has no schemas")
async def test_a_model_may_have_its_table_in_a_schema_of_its_own(bare: Database) -> None:
    async with bare.writing() as connection:
        await connection.execute(text("CREATE SCHEMA harbour"))
        await connection.execute(text("CREATE TABLE harbour.buoys (id INTEGER)"))
    await migrations.upgrade(bare, [migrations.ENGINE])
    there = Table("buoys", MetaData(), Column("id", Integer), schema="harbour")
    await migrations.require_current(bare, [migrations.ENGINE], [there])
    ahead = Table("buoys", MetaData(), Column("id", Integer), Column("light", Integer), schema="harbour")
    with pytest.raises(ConfigurationError, match=r"column buoys\.light, and the database has not"):
        await migrations.require_current(bare, [migrations.ENGINE], [ahead])
