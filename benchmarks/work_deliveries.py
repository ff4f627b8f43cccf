"""W8: how quickly one `gql-app worker` drains what is owed on PostgreSQL, and what finding the next ones costs.

The worker has the first core, the stand-in of the provider the second; PostgreSQL runs where the machine puts it, and
takes its share of both. The worker alone is measured, without `serve` beside it.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session

from benchmarks import postgres, servers
from benchmarks.bench import Bench, Figures
from gql_app.db import Database
from gql_app.deliveries import due, queue
from gql_app.deliveries.models import Channel

UNFINISHED = "SELECT count(*) FROM deliveries WHERE due_at IS NOT NULL"
SENT = "SELECT count(*) FROM deliveries WHERE state = 'SENT'"
LOOK_EVERY = 0.25
"""Seconds between two looks at how far it is."""
CLAIMED = 16
REPEATS = 5


def deliveries(bench: Bench) -> None:
    if not postgres.is_there():
        print(f"W8: skipped, no PostgreSQL at {postgres.URL} (GQL_APP_TEST_POSTGRES_URL)")
        return
    backlog = bench.size.backlog
    with bench.surviving("W8", f"backlog of {backlog}", "product"), postgres.owing(backlog) as url:
        bench.report("W8", f"backlog of {backlog}", "product", _drained(url, backlog, bench.size.backlog_seconds))
    for rows in bench.size.queue_sizes:
        with bench.surviving("W8", f"claim among {rows}", "product"), postgres.owing(rows) as url:
            bench.report("W8", f"claim among {rows}", "product", asyncio.run(_claim_times(url)))


def _drained(url: str, backlog: int, longest: float) -> Figures:
    with tempfile.TemporaryDirectory() as directory:
        port = servers.free_port()
        environment = {
            "GQL_APP_DATABASE_URL": url.replace("+asyncpg", "", 1),
            "GQL_APP_TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
            "GQL_APP_TWILIO_AUTH_TOKEN": "none",
            "GQL_APP_TWILIO_FROM": "+15005550006",
            "GQL_APP_TWILIO_BASE_URL": f"http://127.0.0.1:{port}",
        }
        provider = [sys.executable, "-m", "benchmarks.provider", str(port)]
        with servers.process(provider, {}, directory, core=servers.LOAD_CORES):
            time.sleep(0.5)
            with servers.process([sys.executable, "-m", "gql_app", "worker"], environment, directory) as (worker, said):
                figures = _watch(url, backlog, longest, servers.Server(worker.pid, 0, said))
                if worker.poll() is not None or not figures["sent"]:
                    raise RuntimeError(f"the worker does not work: {said.read_text()[-2000:]}")
                return figures


def _watch(url: str, backlog: int, longest: float, worker: servers.Server) -> Figures:
    """From the first message that is written down as sent."""
    deadline = time.perf_counter() + longest
    began, before, cpu, sent = 0.0, 0, 0.0, 0
    while time.perf_counter() < deadline and sent < backlog:
        time.sleep(LOOK_EVERY)
        sent = int(postgres.run(SENT, url))
        if sent and not began:
            began, before, cpu = time.perf_counter(), sent, worker.cpu_seconds()
    took = max(time.perf_counter() - began, 1e-9)
    return {
        "messages/s": (sent - before) / took,
        "sent": sent,
        "left": int(postgres.run(UNFINISHED, url)),
        "worker CPU": (worker.cpu_seconds() - cpu) / took,
    }


async def _claim_times(url: str) -> Figures:
    """Milliseconds that PostgreSQL says its own work took (EXPLAIN ANALYZE), medians; nothing stays claimed."""
    db = Database(url)
    try:
        claims = [await _explained(db, claim=True) for _ in range(REPEATS)]
        looks = [await _explained(db, claim=False) for _ in range(REPEATS)]
    finally:
        await db.close()
    return {"claim ms": statistics.median(claims), "next due ms": statistics.median(looks)}


class _Undo(Exception):
    """Rolls the unit of work back, and carries what it found out."""

    def __init__(self, milliseconds: float) -> None:
        self.milliseconds = milliseconds


async def _explained(db: Database, *, claim: bool) -> float:
    try:
        await db.write(_explain, claim)
    except _Undo as found:
        return found.milliseconds
    raise AssertionError("unreachable")


def _explain(session: Session, claim: bool) -> None:
    """Run the queue's own code, see which SELECT it sends first, and have that one explained from the same state."""
    statements: list[tuple[str, Any]] = []

    def remember(connection: Connection, cursor: Any, statement: str, values: Any, *_: Any) -> None:
        statements.append((statement, values))

    connection = session.connection()
    event.listen(connection, "before_cursor_execute", remember)
    with connection.begin_nested() as savepoint:
        if claim:
            queue.claim(session, Channel.SMS, datetime.now(UTC), CLAIMED)
        else:
            connection.execute(due.NEXT_DUE, {"channel": Channel.SMS})
        savepoint.rollback()
    event.remove(connection, "before_cursor_execute", remember)
    select, values = next(each for each in statements if each[0].startswith("SELECT deliveries."))
    rows = connection.exec_driver_sql("EXPLAIN (ANALYZE, TIMING OFF) " + select, values).scalars().all()
    raise _Undo(float(next(row for row in rows if row.startswith("Execution Time")).split()[2]))
