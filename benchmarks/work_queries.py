"""W1, W2, W3: queries and decisions over HTTP. W9: queries beside sign-ups.

Every answer is looked at for errors; one of each kind is read before the measuring.
"""

import json
import random
import time
from collections.abc import Iterator
from itertools import count

from benchmarks.bench import Bench, Figures, decisions
from benchmarks.contestants import Contestant, Product
from benchmarks.http_load import Connection, Measured, Paced, closed_loop, percentile
from benchmarks.loop import Loop
from benchmarks.servers import Server

CONNECTIONS = {"W1": 32, "W2": 8, "W3": 16}
QUERIES_PER_SECOND = 50
"""W9: far below what the product can do, so that a queue has another cause."""
SIGN_UPS_PER_SECOND = 2


def queries(bench: Bench, workload: str) -> None:
    """W1: one request with its requester, random ids. W2: the latest 50. W3: decisions, each request once.

    The product's decisions write their log rows and owe two deliveries each, which its own worker sends into the
    mailbox at the same time; the peers' write the status only.
    """
    case = f"{CONNECTIONS[workload]} connections"
    for peer in bench.those_with(workload):
        with bench.surviving(workload, case, peer.name), bench.serving(peer) as (server, loop):
            bench.report(workload, case, peer.name, _queries(bench, workload, peer, server, loop))


def _queries(bench: Bench, workload: str, peer: Contestant, server: Server, loop: Loop) -> Figures:
    connections = [Connection(loop, server.port) for _ in range(CONNECTIONS[workload])]
    requests = _requests(bench, workload, peer)
    check_one(loop, connections[0], next(requests), workload)
    closed_loop(loop, connections, requests, bench.size.warm_up)
    cpu = server.cpu_seconds()
    loop.start_clock()
    measured = closed_loop(loop, connections, requests, bench.size.seconds)
    return {
        "requests/s": measured.rate,
        "p50 ms": measured.milliseconds(0.5),
        "p99 ms": measured.milliseconds(0.99),
        "errors": measured.errors,
        "server CPU": (server.cpu_seconds() - cpu) / measured.seconds,
        "load CPU": loop.share,
    }


def _requests(bench: Bench, workload: str, peer: Contestant) -> Iterator[bytes]:
    if workload == "W3":
        return (peer.decide(number, status) for number, status in decisions(peer, bench.size))
    if workload == "W2":
        page = peer.page()
        return (page for _ in count())
    chance = random.Random(4711)
    return (peer.one(chance.randint(1, bench.size.requests)) for _ in count())


def check_one(loop: Loop, connection: Connection, request: bytes, workload: str) -> None:
    """Ask once and read the answer. Raises RuntimeError when it is not what was asked for."""
    bodies: list[tuple[bytes, bool]] = []
    connection.send(request, lambda body, ok: bodies.append((body, ok)))
    loop.run_until(lambda: bool(bodies), 30)
    if not bodies:
        raise RuntimeError("no answer")
    body, ok = bodies[0]
    wanted, times = {"W1": (b'"username"', 1), "W2": (b'"username"', 50), "W3": (b'"APPROVED"', 1)}[workload]
    if not ok or json.loads(body)["data"] is None or body.count(wanted) != times:
        raise RuntimeError(f"unexpected answer: {body[:300]!r}")


def sign_ups(bench: Bench) -> None:
    """W9: W1's query at a fixed rate, first alone, then beside sign-ups at bcrypt's cost 12.

    Server and bcrypt share one core here: on more cores its thread is in nobody's way.
    """
    case = f"{QUERIES_PER_SECOND} queries/s"
    for peer in bench.those_with("W9"):
        assert isinstance(peer, Product)
        with bench.surviving("W9", case, peer.name), bench.serving(peer) as (server, loop):
            bench.report("W9", case, peer.name, _sign_ups(bench, peer, server, loop))


def _sign_ups(bench: Bench, peer: Product, server: Server, loop: Loop) -> Figures:
    connections = [Connection(loop, server.port) for _ in range(32)]
    others = [Connection(loop, server.port) for _ in range(8)]
    requests = _requests(bench, "W1", peer)
    _beside(loop, connections, requests, None, bench.size.warm_up)
    quiet = _beside(loop, connections, requests, None, 2 * bench.size.seconds)
    new_people = (peer.sign_up(f"new{n}") for n in count())
    closed_loop(loop, others[:1], (next(new_people) for _ in range(2)), 10)  # the first one loads dictionaries
    loop.run(1.0)
    signing = Paced(others, new_people, SIGN_UPS_PER_SECOND)
    busy = _beside(loop, connections, requests, signing, 2 * bench.size.seconds)
    loop.run_until(lambda: not any(c.busy for c in others), 20)
    if signing.measured.errors:
        raise RuntimeError(f"sign-ups fail: {signing.measured.first_error!r}")
    return {
        "quiet p99 ms": quiet.milliseconds(0.99),
        "p99 ms": busy.milliseconds(0.99),
        "busy/quiet": busy.milliseconds(0.99) / quiet.milliseconds(0.99),
        "sign-ups": len(signing.measured.times),
        "sign-up p50 ms": percentile(signing.measured.times, 0.5) * 1e3,
        "errors": quiet.errors + busy.errors,
    }


def _beside(
    loop: Loop, connections: list[Connection], requests: Iterator[bytes], signing: Paced | None, seconds: float
) -> Measured:
    asking = Paced(connections, requests, QUERIES_PER_SECOND)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        asking.pump()
        if signing is not None:
            signing.pump()
        loop.turn(0.001)
    loop.run_until(lambda: not any(c.busy for c in connections), 20)
    return asking.measured
