"""W4 and W4r: how many events a second reach the subscribers of one stream. W5: how soon. W6: what they weigh."""

import time
from collections.abc import Sequence
from datetime import datetime

from benchmarks.bench import Bench, Figures, decisions
from benchmarks.contestants import Contestant
from benchmarks.http_load import Connection, Paced, percentile
from benchmarks.loop import Loop
from benchmarks.servers import Server, most_sockets
from benchmarks.socket_load import Crowd
from benchmarks.writer import Writer

CHANGES_PER_SECOND = 10
PATIENCE = 60.0
"""Seconds in which the slowest contestant must have reached everybody once."""


def saturated(bench: Bench, workload: str) -> None:
    """W4 needs no database per event; W4r selects the request and its requester with each.

    Deliveries are counted at the subscribers. The product commits each event with its log row and owes, claims and
    captures two messages for it in the same process; naive and Node peers commit the status; the raw ones nothing.
    """
    sizes = bench.size.fan_out_rich if workload == "W4r" else bench.size.fan_out
    for number in sizes:
        case = f"{number} subscribers"
        if number > most_sockets():
            print(f"{workload} {case}: skipped, only {most_sockets()} sockets may be open (ulimit -n)")
            continue
        for peer in bench.those_with(workload):
            with bench.surviving(workload, case, peer.name), bench.serving(peer) as (server, loop):
                figures = _saturated(bench, peer, server, loop, number, rich=workload == "W4r")
                bench.report(workload, case, peer.name, figures)


def _saturated(bench: Bench, peer: Contestant, server: Server, loop: Loop, number: int, *, rich: bool) -> Figures:
    crowd, writer = gather(bench, peer, server, loop, number, rich=rich)
    already, before = crowd.received, writer.published
    _saturate(loop, crowd, writer, already, before, bench.size.warm_up)
    crowd.on_text = None
    received, published, cpu = crowd.received, writer.published, server.cpu_seconds()
    loop.start_clock()
    _saturate(loop, crowd, writer, already, before, bench.size.seconds)
    took, share = loop.elapsed, loop.share
    deliveries = crowd.received - received
    figures = {
        "deliveries/s": deliveries / took,
        "events/s": (writer.published - published) / took,
        "server us/delivery": (server.cpu_seconds() - cpu) / max(deliveries, 1) * 1e6,
        "server CPU": (server.cpu_seconds() - cpu) / took,
        "load CPU": share,
    }
    writer.drain(crowd, 10)
    lost = (writer.published - before) * number - (crowd.received - already)
    figures |= {"lost": lost, "errors": writer.errors}
    crowd.close()
    return figures


def _saturate(loop: Loop, crowd: Crowd, writer: Writer, already: int, before: int, seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end and not writer.out_of_requests:
        writer.fill_window(crowd, already, before)
        loop.turn(0.005)


def gather(
    bench: Bench, peer: Contestant, server: Server, loop: Loop, number: int, *, rich: bool = False
) -> tuple[Crowd, Writer]:
    """Subscribers who have all heard of an event, whose text was right."""
    crowd = Crowd(loop, server.port)
    writer = Writer(loop, server.port, peer, decisions(peer, bench.size))
    crowd.on_text = _refuse_errors
    crowd.connect([peer.subscriber(n, rich=rich) for n in range(number)])
    writer.settle(crowd, PATIENCE)
    if writer.errors:
        raise RuntimeError(f"a change failed: {writer.first_error!r}")
    return crowd, writer


def _refuse_errors(text: bytes) -> None:
    if b'"next"' not in text or b'"errors"' in text:
        raise RuntimeError(f"unexpected text: {text[:300]!r}")


def paced(bench: Bench) -> None:
    """W5: milliseconds from the commit to a subscriber, in an open loop.

    Both ends read the same clock. The product stamps an event before its commit, so the commit is part of its
    latency; naive and Node stamp it after theirs (Node in whole milliseconds), the raw ones have none. A text counts
    as received when the load generator, one thread for all, has read it. Sustained: no change was sent late, and
    nothing was missing two seconds after the last one.
    """
    number = bench.size.paced
    case = f"{number} subscribers, {CHANGES_PER_SECOND} changes/s"
    for peer in bench.those_with("W5"):
        with bench.surviving("W5", case, peer.name), bench.serving(peer) as (server, loop):
            crowd, writer = gather(bench, peer, server, loop, number)
            bench.report("W5", case, peer.name, _paced(bench, crowd, writer, server, loop))
            crowd.close()


def _paced(bench: Bench, crowd: Crowd, writer: Writer, server: Server, loop: Loop) -> Figures:
    connections = [Connection(loop, server.port) for _ in range(8)]
    latencies = Latencies()
    crowd.on_text = latencies.note
    asking = Paced(connections, writer.requests(), CHANGES_PER_SECOND)
    cpu, already = server.cpu_seconds(), crowd.received
    loop.start_clock()
    pump(loop, asking, 2 * bench.size.seconds)
    took, share = loop.elapsed, loop.share
    used = server.cpu_seconds() - cpu
    complete = loop.run_until(lambda: crowd.received - already >= asking.sent * len(crowd.members), 2.0)
    return {
        "p50 ms": percentile(latencies.seconds, 0.5) * 1e3,
        "p99 ms": percentile(latencies.seconds, 0.99) * 1e3,
        "sustained": complete and not asking.measured.late,
        "errors": asking.measured.errors,
        "server CPU": used / took,
        "load CPU": share,
    }


def pump(loop: Loop, asking: Paced, seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        asking.pump()
        loop.turn(0.001)


class Latencies:
    """Seconds between an event's `occurredAt` and its receipt."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._text = b""
        self._moment = 0.0

    def note(self, text: bytes) -> None:
        now = time.time()
        begin = text.index(b'"', text.index(b'"occurredAt"') + 12) + 1
        moment = text[begin : text.index(b'"', begin)]
        if moment != self._text:  # the same event reaches many
            self._text, self._moment = moment, datetime.fromisoformat(moment.decode()).timestamp()
        self.seconds.append(now - self._moment)


def idle(bench: Bench) -> None:
    """W6: resident memory per subscription, one socket each, after each has heard of one event.

    It includes what the connection itself takes, and what the first event left behind; with few subscribers the
    server's own growth blurs it.
    """
    for number in bench.size.idle:
        case = f"{number} subscribers"
        if number > most_sockets():
            print(f"W6 {case}: skipped, only {most_sockets()} sockets may be open (ulimit -n)")
            continue
        for peer in bench.those_with("W6"):
            with bench.surviving("W6", case, peer.name), bench.serving(peer) as (server, loop):
                bench.report("W6", case, peer.name, _idle(bench, peer, server, loop, number))


def _idle(bench: Bench, peer: Contestant, server: Server, loop: Loop, number: int) -> Figures:
    warm, writer = gather(bench, peer, server, loop, 5)  # what is loaded with the first subscription
    before = server.memory()
    crowd = Crowd(loop, server.port)
    crowd.connect([peer.subscriber(n + 5) for n in range(number)])
    writer.settle(crowd, PATIENCE)
    grown = server.memory() - before
    close_all([warm, crowd])
    return {"KiB/subscription": grown / 1024 / number, "before MiB": before / 2**20}


def close_all(crowds: Sequence[Crowd]) -> None:
    for crowd in crowds:
        crowd.close()
