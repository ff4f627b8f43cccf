"""W12: one to four `gql-app serve` on one PostgreSQL and one Redis: what they do together, and what each costs it.

Decisions in a closed loop, spread over the processes, with subscribers of everything on each of them. The load
generator has the last core of the machine, servers and PostgreSQL share all of it: on few cores it shows what another
process costs the database, not how far it goes.
"""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

from benchmarks import data, postgres, servers
from benchmarks.bench import Bench, Figures
from benchmarks.contestants import Product
from benchmarks.http_load import Connection, closed_loop
from benchmarks.loop import Loop
from benchmarks.socket_load import Crowd

REDIS = os.environ.get("GQL_APP_TEST_REDIS_URL", "redis://127.0.0.1:6379/9")
PROCESSES = (1, 2, 4)
CONNECTIONS = 32
SUBSCRIBERS = 10
"""On each process."""
ALL_CORES = set(range(os.cpu_count() or 1))
PAST = 50_000
FINISHED = "UPDATE deliveries SET state = 'SENT', due_at = NULL"
ATTEMPTED = """
INSERT INTO delivery_attempts (public_id, delivery_id, number, started_at, finished_at, outcome)
SELECT gen_random_uuid(), id, 1, now(), now(), 'SENT' FROM deliveries
"""
"""Messages of the past: with empty tables the planner would have nothing to choose by."""
COUNTERS = """
SELECT format('%s %s %s', xact_commit, tup_returned + tup_fetched, tup_inserted + tup_updated)
FROM pg_stat_database WHERE datname = current_database()
"""


def growth(bench: Bench) -> None:
    if not postgres.is_there():
        print(f"W12: skipped, no PostgreSQL at {postgres.URL} (GQL_APP_TEST_POSTGRES_URL)")
        return
    for number in PROCESSES:
        case = f"{number} processes"
        with bench.surviving("W12", case, "product"), postgres.owing(PAST) as url:
            data.fill(url, bench.size.users, bench.size.requests)
            for statement in (FINISHED, ATTEMPTED):
                postgres.run(statement, url)
            postgres.run("VACUUM ANALYZE", url)  # new tables without statistics are scanned as a whole
            bench.report("W12", case, "product", _growth(bench, url, number))


def _growth(bench: Bench, url: str, number: int) -> Figures:
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        running = [_serve(stack, url, Path(directory, str(n))) for n in range(number)]
        loop = Loop()
        stack.callback(loop.close)
        product = Product()
        crowds = [Crowd(loop, server.port) for server in running]
        for place, crowd in enumerate(crowds):
            crowd.connect([product.subscriber(place * SUBSCRIBERS + n) for n in range(SUBSCRIBERS)], sure=True)
            stack.callback(crowd.close)
        connections = [Connection(loop, running[n % number].port) for n in range(CONNECTIONS)]
        decisions = _decisions(product)
        warm = len(closed_loop(loop, connections, decisions, bench.size.warm_up).times)
        loop.run_until(lambda: sum(c.received for c in crowds) >= warm * SUBSCRIBERS * number, 10)
        told, before = sum(c.received for c in crowds), _counters(url)
        cpu = [server.cpu_seconds() for server in running]
        loop.start_clock()
        measured = closed_loop(loop, connections, decisions, 2 * bench.size.seconds)
        used = sum(server.cpu_seconds() - was for server, was in zip(running, cpu, strict=True))
        share, after, done = loop.share, _counters(url), len(measured.times)
        expected = done * SUBSCRIBERS * number
        loop.run_until(lambda: sum(c.received for c in crowds) - told >= expected, 10)
        return {
            "requests/s": measured.rate,
            "p50 ms": measured.milliseconds(0.5),
            "p99 ms": measured.milliseconds(0.99),
            "errors": measured.errors,
            "lost": expected - (sum(c.received for c in crowds) - told),
            "server ms/decision": used / done * 1e3,
            "transactions/decision": (after[0] - before[0]) / done,
            "rows read/decision": (after[1] - before[1]) / done,
            "rows written/decision": (after[2] - before[2]) / done,
            "load CPU": share,
        }


def _serve(stack: ExitStack, url: str, directory: Path) -> servers.Server:
    """A process as `gql-app serve` is, told of its database and of Redis."""
    directory.mkdir()
    product, port = Product(), servers.free_port()
    environment = {
        "GQL_APP_DATABASE_URL": url.replace("+asyncpg", "", 1),
        "GQL_APP_BROADCAST_URL": REDIS,
    }
    command = [part.format(port=port) for part in product.command]
    started, said = stack.enter_context(servers.process(command, environment, str(directory), core=ALL_CORES))
    servers.wait_for(port, started, said)
    return servers.Server(started.pid, port, said)


def _decisions(product: Product) -> Iterator[bytes]:
    return (product.decide(number, "APPROVED") for number in count(1))


def _counters(url: str) -> tuple[int, int, int]:
    """Transactions, rows read and rows written so far; the database tells of them with some delay."""
    time.sleep(1.5)
    transactions, read, written = map(int, str(postgres.run(COUNTERS, url)).split())
    return transactions, read, written
