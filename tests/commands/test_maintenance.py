"""`migrate`, `schema`, `prune` and `check`, from outside."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from gql_app.changes.baseline import note_what_is_tracked
from gql_app.changes.models import ChangeRecord
from gql_app.changes.sequencer import LOCK
from gql_app.commands.maintenance import UNMOVED, settle
from gql_app.db import Database
from gql_app.reconcile import reconcile
from tests.commands.conftest import Run
from tests.ruling import service_database
from tests.things import add_user

ROOT = Path(__file__).resolve().parents[2]
LONG_AGO = datetime.now(UTC) - timedelta(days=30)
UP_TO_DATE = "The tables are up to date.\n"


def number_of_events(session: Session) -> int:
    return session.scalars(select(func.count()).select_from(ChangeRecord)).one()


def age(session: Session) -> None:
    session.connection().execute(update(ChangeRecord).values(occurred_at=LONG_AGO))


async def add(run: Run, name: str) -> None:
    command = ("user", "add", "--username", name, "--email", f"{name}@example.test")
    (await run(*command, stdin=b"correct-horse-battery\n")).succeeded()


async def test_migrate_makes_the_tables_and_may_be_repeated(run: Run, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/new.db"
    assert (await run("migrate", DATABASE_URL=url)).succeeded() == UP_TO_DATE
    assert (await run("migrate", DATABASE_URL=url)).succeeded() == UP_TO_DATE
    assert (await run("deliveries", "list", DATABASE_URL=url)).succeeded() == ""


async def test_a_vertical_is_taken_back(run: Run, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/new.db"
    await run("migrate", DATABASE_URL=url)
    said = (await run("migrate", "--back", "projects:base", DATABASE_URL=url)).succeeded()
    assert said == "The tables are at projects:base.\n"
    assert (await run("migrate", DATABASE_URL=url)).succeeded() == UP_TO_DATE
    assert "before:0009" in (await run("migrate", "--back", "before:0009", DATABASE_URL=url)).succeeded()
    (await run("migrate", "--back", "boats:0001", DATABASE_URL=url)).refused("one of these verticals: before, engine")
    (await run("migrate", "--back", "projects", DATABASE_URL=url)).refused("VERTICAL:REVISION")


async def test_the_schema_in_the_repository_is_that_of_the_code(run: Run) -> None:
    assert (await run("schema")).succeeded() == (ROOT / "schema.graphql").read_text(encoding="utf-8")
    assert "is up to date" in (await run("schema", "--check", str(ROOT / "schema.graphql"))).succeeded()


async def test_a_schema_that_differs_is_shown_and_counts_as_failed(run: Run, tmp_path: Path) -> None:
    kept = (ROOT / "schema.graphql").read_text(encoding="utf-8")
    (tmp_path / "schema.graphql").write_text(kept.replace("  litres: Decimal!\n", "", 1), encoding="utf-8")
    outcome = await run("schema", "--check")
    assert outcome.code == 1
    assert "\n+  litres: Decimal!" in outcome.out


async def test_a_schema_that_is_not_there_counts_as_failed(run: Run) -> None:
    outcome = await run("schema", "--check", "nowhere.graphql")
    assert outcome.code == 1
    assert "Traceback" not in outcome.err


async def test_prune_forgets_what_is_older_and_keeps_the_rest(run: Run, db: Database) -> None:
    await add(run, "ada")
    await db.write(age)
    old = await db.read(number_of_events)
    await add(run, "linus")
    new = await db.read(number_of_events) - old
    assert (await run("prune", "--older-than-days", "29")).succeeded() == f"{old} events and 0 messages forgotten.\n"
    assert await db.read(number_of_events) == new
    assert (await run("prune", "--older-than-days", "29")).succeeded() == "0 events and 0 messages forgotten.\n"


@pytest.mark.parametrize("days", ["0", "-3", "many", "99999999", "1" * 30])
async def test_prune_refuses_what_is_no_number_of_days(run: Run, days: str) -> None:
    (await run("prune", "--older-than-days", days)).refused("day")


@pytest.fixture
async def on_postgres(postgres_url: str) -> AsyncIterator[Database]:
    db = service_database(postgres_url)
    yield db
    await db.close()


async def test_check_finds_nothing_where_all_is_well(run: Run, db: Database) -> None:
    await add(run, "ada")
    assert (await run("check")).succeeded() == "All is well.\n"


@pytest.mark.unwitnessed("damages a row")
async def test_check_prints_what_it_finds_and_fails(run: Run, db: Database) -> None:
    await add(run, "ada")
    async with db.writing() as connection:
        await connection.execute(text("UPDATE users SET email = 'eve@example.test'"))
    outcome = await run("check")
    assert outcome.code == 1
    assert outcome.out.startswith("differs: ")
    assert outcome.out.endswith("1 findings: 1 differs\n")


async def test_check_goes_on_where_somebody_holds_the_sequencers_lock(on_postgres: Database) -> None:
    await add_user(on_postgres)
    async with on_postgres.engine.begin() as other:
        await other.execute(select(func.pg_advisory_xact_lock(LOCK)))
        assert not await settle(on_postgres, patience=0.1)
        assert await on_postgres.read(reconcile) == []
    assert await settle(on_postgres)


async def test_check_goes_on_where_the_database_is_read_only(run: Run, on_postgres: Database) -> None:
    url = on_postgres.url.render_as_string(hide_password=False)
    await add_user(on_postgres)
    await note_what_is_tracked(on_postgres)
    name = on_postgres.url.database
    async with on_postgres.engine.begin() as connection:
        await connection.execute(text(f"ALTER DATABASE {name} SET default_transaction_read_only = on"))
    try:
        outcome = await run("check", DATABASE_URL=url)
    finally:
        async with on_postgres.engine.begin() as connection:
            await connection.execute(text(f"ALTER DATABASE {name} RESET default_transaction_read_only"))
    assert outcome.succeeded() == f"{UNMOVED}\nAll is well.\n"
