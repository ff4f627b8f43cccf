"""The one who changes things while others listen: at most so many events in the air, or at a fixed pace."""

from collections.abc import Iterator
from itertools import islice

from benchmarks.contestants import Contestant
from benchmarks.http_load import Connection
from benchmarks.loop import Loop
from benchmarks.socket_load import Crowd

WINDOW = 8
"""Events that have not reached everybody yet."""
BATCH = 4
"""Decisions in one HTTP request, each in a transaction of its own; so there are two requests in the air at most."""


class Writer:
    """Publishes events to a crowd of which each member gets each event."""

    def __init__(self, loop: Loop, port: int, peer: Contestant, decisions: Iterator[tuple[int, str]]) -> None:
        self.published = 0
        self.errors = 0
        self.first_error = b""
        self.out_of_requests = False
        self._loop = loop
        self._peer = peer
        self._decisions = decisions
        self.connections = [Connection(loop, port) for _ in range(WINDOW // BATCH)]

    def publish(self, number: int) -> bool:
        """Send one HTTP request with ``number`` events if a connection is free and there is something to decide."""
        free = next((c for c in self.connections if not c.busy), None)
        if free is None or self.out_of_requests:
            return False
        taken = list(islice(self._decisions, number))
        if len(taken) < number:
            self.out_of_requests = True
            return False
        free.send(self._peer.publish([request for request, _ in taken], taken[0][1]), self._answered)
        self.published += number
        return True

    def requests(self) -> Iterator[bytes]:
        """HTTP requests of one event each, for an open loop."""
        return (self._peer.publish([number], status) for number, status in self._decisions)

    def fill_window(self, crowd: Crowd, already: int, before: int) -> None:
        """Publish while fewer than `WINDOW` events are missing somewhere.

        ``already`` and ``before``: texts received and events published when the counting began.
        """
        members = len(crowd.members) - crowd.gone
        while True:
            missing = (self.published - before) * members - (crowd.received - already)
            if missing > (WINDOW - BATCH) * members or not self.publish(BATCH):
                return

    def settle(self, crowd: Crowd, longest: float) -> None:
        """Publish until everybody has heard of something, and then wait until all is quiet.

        Raises TimeoutError: somebody hears nothing.
        """
        self._loop.run(0.2)
        for _ in range(int(longest)):
            self.publish(1)
            if self._loop.run_until(lambda: all(m.received or m.closed for m in crowd.members), 1.0):
                break
        else:
            deaf = sum(not m.received for m in crowd.members)
            raise TimeoutError(f"{deaf} of {len(crowd.members)} subscribers hear nothing")
        self.drain(crowd, 10)

    def drain(self, crowd: Crowd, longest: float) -> None:
        """Wait until nothing has come for a third of a second, and no request is in the air."""
        seen = -1
        for _ in range(int(longest * 3)):
            if seen == crowd.received and not any(c.busy for c in self.connections):
                return
            seen = crowd.received
            self._loop.run(0.33)

    def _answered(self, body: bytes, ok: bool) -> None:
        if not ok:
            self.errors += 1
            self.first_error = self.first_error or body[:300]
