"""W13: one tracked `update()` of 5,000 rows, and what the bare driver takes for the same.

The bare driver reads the old values, updates the rows and inserts their log rows, in one transaction on the same
database. No rule is about the attribute. The best of several runs of each, in turn.
"""

import asyncio
import contextlib
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import asyncpg
from sqlalchemy import update
from sqlalchemy.orm import Session

from benchmarks import postgres
from benchmarks.bench import Bench, Figures
from gql_app import migrations
from gql_app.accounts.models import User
from gql_app.application import named
from gql_app.db import Database
from gql_app.demo.projects.models import Project
from gql_app.settings import DEFAULT_APP

ROWS = 5_000
RUNS = 7
COLUMNS = "change_set, kind, entity_type, entity_id, attribute, old_value, new_value, owner_id, actor_id, occurred_at"
READ = "SELECT public_id, name, owner_id FROM projects"
CHANGE = "UPDATE projects SET name = name || 'x', version = version + 1"


def bulk(bench: Bench) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bulk.db"
        figures = asyncio.run(_measure(f"sqlite+aiosqlite:///{path}", lambda: asyncio.to_thread(_bare_sqlite, path)))
        bench.report("W13", f"{ROWS} rows, SQLite", "product", figures)
    if not postgres.is_there():
        print(f"W13: PostgreSQL skipped, there is none at {postgres.URL} (GQL_APP_TEST_POSTGRES_URL)")
        return
    with postgres.owing(0) as url:
        figures = asyncio.run(_measure(url, lambda: _bare_postgres(url)))
        bench.report("W13", f"{ROWS} rows, PostgreSQL", "product", figures)


async def _measure(url: str, bare: Callable[[], Awaitable[float]]) -> Figures:
    db = Database(url)
    await migrations.upgrade(db, named(DEFAULT_APP).branches)
    await db.write(_fill)
    tracked, plain = [], []
    for _ in range(RUNS):
        begun = time.perf_counter()
        await db.write(_change)
        tracked.append(time.perf_counter() - begun)
        plain.append(await bare())
    await db.close()
    return {"ms": min(tracked) * 1000, "bare ms": min(plain) * 1000, "ratio": min(tracked) / min(plain)}


def _fill(session: Session) -> None:
    user = User(plan="STANDARD", username="u", email="u@example.test", password_hash="$2b$04$" + "." * 53)
    session.add(user)
    session.flush()
    session.add_all(Project(owner_id=user.id, name=f"project {number}") for number in range(ROWS))


def _change(session: Session) -> None:
    session.execute(update(Project).values(name=Project.name + "x"))


def _bare_sqlite(path: Path) -> float:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous=NORMAL")
        begun = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        rows = connection.execute(READ).fetchall()
        connection.execute(CHANGE)
        shared, now = uuid4().hex, f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S.%f}"
        connection.executemany(
            f"INSERT INTO change_events ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (shared, "UPDATED", "Project", public_id, "name", name, name + "x", owner, None, now)
                for public_id, name, owner in rows
            ],
        )
        connection.execute("COMMIT")
        return time.perf_counter() - begun


async def _bare_postgres(url: str) -> float:
    connection = await asyncpg.connect(url.replace("+asyncpg", "", 1))
    try:
        begun = time.perf_counter()
        async with connection.transaction():
            rows = await connection.fetch(READ + " FOR UPDATE")
            await connection.execute(CHANGE)
            shared, now = uuid4(), datetime.now(UTC)
            await connection.executemany(
                f"INSERT INTO change_outbox ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
                [
                    (shared, "UPDATED", "Project", public_id, "name", name, name + "x", owner, None, now)
                    for public_id, name, owner in rows
                ],
            )
        return time.perf_counter() - begun
    finally:
        await connection.close()
