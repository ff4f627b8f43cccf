"""W11: what 950 subscribers feel of 50 who have stopped reading, and what becomes of those."""

from benchmarks.bench import Bench, Figures
from benchmarks.contestants import Product
from benchmarks.http_load import Connection, Paced, percentile
from benchmarks.loop import Loop
from benchmarks.servers import Server
from benchmarks.socket_load import Crowd
from benchmarks.work_fanout import CHANGES_PER_SECOND, Latencies, gather, pump

SHARE = 20
"""One of so many stops reading."""
WORDS = 60
"""Times that an answer says the same: some kilobytes, so that what is unread does not fit into the kernel's buffers."""
UNTIL_CUT = 45.0
"""Seconds after which a server that still keeps them is taken to keep them for ever."""


def stalled(bench: Bench) -> None:
    """Latencies of those who read, at 10 changes a second: alone, and beside the deaf ones once their buffers are full.

    The deaf ones count as cut off when the server has closed their connection.
    """
    for peer in bench.those_with("W11"):
        assert isinstance(peer, Product)
        deaf = bench.size.paced // SHARE
        case = f"{bench.size.paced} subscribers, {deaf} of them deaf"
        with bench.surviving("W11", case, peer.name), bench.serving(peer) as (server, loop):
            bench.report("W11", case, peer.name, _stalled(bench, peer, server, loop, deaf))


def _stalled(bench: Bench, peer: Product, server: Server, loop: Loop, deaf: int) -> Figures:
    number, wordy = bench.size.paced - deaf, Product(words=WORDS)
    crowd, writer = gather(bench, wordy, server, loop, number)
    asking = Paced([Connection(loop, server.port) for _ in range(8)], writer.requests(), CHANGES_PER_SECOND)
    quiet = _latencies(crowd, loop, asking, bench.size.seconds)
    others = Crowd(loop, server.port, deaf=True)
    others.connect([wordy.subscriber(number + n) for n in range(deaf)], sure=True)
    memory = server.memory()
    busy = _latencies(crowd, loop, asking, 4 * bench.size.seconds)
    grown = server.memory() - memory
    sent = asking.sent
    pump(loop, asking, UNTIL_CUT - 4 * bench.size.seconds)
    loop.run_until(lambda: crowd.received >= number * (asking.sent + writer.published), 5)
    cut = sum(each.is_cut_off() for each in others.members)
    figures = {
        "quiet p50 ms": percentile(quiet.seconds, 0.5) * 1e3,
        "quiet p99 ms": percentile(quiet.seconds, 0.99) * 1e3,
        "p50 ms": percentile(busy.seconds, 0.5) * 1e3,
        "p99 ms": percentile(busy.seconds, 0.99) * 1e3,
        "busy/quiet": percentile(busy.seconds, 0.99) / percentile(quiet.seconds, 0.99),
        "cut off": cut,
        "KiB per deaf one": grown / 1024 / deaf,
        "changes": sent,
        "errors": asking.measured.errors,
    }
    crowd.close()
    return figures


def _latencies(crowd: Crowd, loop: Loop, asking: Paced, seconds: float) -> Latencies:
    latencies = Latencies()
    crowd.on_text = latencies.note
    asking.begin_anew()
    pump(loop, asking, seconds)
    crowd.on_text = None
    return latencies
