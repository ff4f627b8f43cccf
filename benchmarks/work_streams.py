"""W4d: what an event costs that only its owner hears of. W7: what the live ones feel when many catch up."""

from collections.abc import Iterator
from shutil import copy

from benchmarks import data
from benchmarks.bench import Bench, Figures, decisions
from benchmarks.contestants import Contestant, Product
from benchmarks.http_load import Connection, Paced, closed_loop, percentile
from benchmarks.loop import Loop
from benchmarks.servers import Server
from benchmarks.socket_load import Crowd
from benchmarks.work_fanout import CHANGES_PER_SECOND, Latencies, close_all, gather, pump

ACTIVE = 100
"""Users whose requests are decided; each has one subscription, and hears of her own requests only."""
PER_SOCKET = 20
"""Subscriptions of an idle user on her one socket."""
NAIVE_LIMIT = 1_000
"""Subscriptions that naive is asked for: it wakes all of them for every event."""


def own_streams(bench: Bench) -> None:
    """W4d: server CPU per event as the number of open subscriptions grows, to which nothing is said.

    The cost is that of the whole change: HTTP, commit, log row, two captured messages and one delivery. Flat means
    that it does not grow with the idle ones.
    """
    for number in bench.size.own_streams:
        case = f"{number} subscriptions"
        for peer in bench.those_with("W4d"):
            if isinstance(peer, Product) or number <= NAIVE_LIMIT:
                with bench.surviving("W4d", case, peer.name), bench.serving(peer) as (server, loop):
                    bench.report("W4d", case, peer.name, _own_streams(bench, peer, server, loop, number))


def _own_streams(bench: Bench, peer: Contestant, server: Server, loop: Loop, number: int) -> Figures:
    crowd, bystanders = Crowd(loop, server.port), Crowd(loop, server.port)
    crowd.connect([peer.owner(user) for user in range(1, ACTIVE + 1)], sure=True)
    sockets = (number - ACTIVE) // PER_SOCKET
    others = [ACTIVE + 1 + n % (bench.size.users - ACTIVE) for n in range(sockets)]
    bystanders.connect([peer.owner(user, PER_SOCKET) for user in others], sure=True)
    loop.run(1.0)
    requests = _of_active(bench, peer)
    connections = [Connection(loop, server.port) for _ in range(4)]
    closed_loop(loop, connections, (next(requests) for _ in range(bench.size.own_events // 4)), 60)
    loop.run(0.5)
    cpu, already = server.cpu_seconds(), crowd.received
    loop.start_clock()
    measured = closed_loop(loop, connections, (next(requests) for _ in range(bench.size.own_events)), 120)
    share = loop.share
    events = len(measured.times)
    complete = loop.run_until(lambda: crowd.received - already >= events, 10)
    loop.run(1.0)  # the messages owed are part of the cost
    figures = {
        "server ms/event": (server.cpu_seconds() - cpu) / events * 1e3,
        "events/s": measured.rate,
        "lost": 0 if complete else events - (crowd.received - already),
        "overheard": bystanders.received,
        "errors": measured.errors,
        "load CPU": share,
    }
    close_all([crowd, bystanders])
    return figures


def _of_active(bench: Bench, peer: Contestant) -> Iterator[bytes]:
    users = bench.size.users
    return (peer.decide(n, status) for n, status in decisions(peer, bench.size) if (n - 1) % users < ACTIVE)


def catching_up(bench: Bench) -> None:
    """W7: commit → client of live subscribers, before and while as many others read all that is `events_back`.

    The others are connected and signed in before; they subscribe at one moment. Watched until all have caught up, or
    for `storm_seconds`.
    """
    size = bench.size
    case = f"{size.resuming} live, {size.resuming} resume {size.events_back} events"
    seed = bench.seeds / "past.db"
    if not seed.exists():
        copy(bench.seeds / "product.db", seed)
        data.add_past_events(seed, size.events_back)
    for peer in bench.those_with("W7"):
        assert isinstance(peer, Product)
        with bench.surviving("W7", case, peer.name), bench.serving(peer, seed) as (server, loop):
            bench.report("W7", case, peer.name, _catching_up(bench, peer, server, loop))


def _catching_up(bench: Bench, peer: Product, server: Server, loop: Loop) -> Figures:
    size = bench.size
    live, writer = gather(bench, peer, server, loop, size.resuming)
    late = Crowd(loop, server.port)
    late.connect([peer.resuming(n, "0") for n in range(size.resuming)], subscribe=False)
    connections = [Connection(loop, server.port) for _ in range(8)]
    quiet, storm = Latencies(), Latencies()
    asking = Paced(connections, writer.requests(), CHANGES_PER_SECOND)
    live.on_text = quiet.note
    pump(loop, asking, 2 * size.seconds)
    live.on_text = storm.note
    late.subscribe()
    loop.start_clock()
    expected = size.events_back * size.resuming
    while late.received < expected and loop.elapsed < size.storm_seconds:
        asking.pump()
        loop.turn(0.001)
    took, share = loop.elapsed, loop.share
    loop.run(0.5)
    close_all([live, late])
    return {
        "quiet p99 ms": percentile(quiet.seconds, 0.99) * 1e3,
        "p99 ms": percentile(storm.seconds, 0.99) * 1e3,
        "busy/quiet": percentile(storm.seconds, 0.99) / percentile(quiet.seconds, 0.99),
        "caught up": min(late.received / expected, 1),
        "resumed events/s": late.received / took,
        "late writes": asking.measured.late,
        "load CPU": share,
    }
