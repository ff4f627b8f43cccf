"""`migrate`, `schema` and `prune`, from outside."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from gql_app.changes.models import ChangeRecord
from gql_app.db import Database
from tests.commands.conftest import Run

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
