"""One thread that reads from many sockets: bare epoll, because an event loop's own work would be most of the load."""

import select
import time
from collections.abc import Callable


class Loop:
    """Calls what was registered for a socket when there is something to read."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._readers: dict[int, Callable[[], None]] = {}
        self._cpu = 0.0
        self._began = 0.0

    def add(self, number: int, read: Callable[[], None]) -> None:
        self._readers[number] = read
        self._epoll.register(number, select.EPOLLIN)

    def remove(self, number: int) -> None:
        if self._readers.pop(number, None) is not None:
            self._epoll.unregister(number)

    def turn(self, longest: float) -> None:
        """Wait up to ``longest`` seconds for something to read, and read it."""
        for number, _ in self._epoll.poll(longest, 1024):
            reader = self._readers.get(number)
            if reader is not None:  # gone with what another one read in this turn
                reader()

    def run(self, seconds: float) -> None:
        self.run_until(lambda: False, seconds)

    def run_until(self, done: Callable[[], bool], longest: float) -> bool:
        """Go on until ``done``, for at most ``longest`` seconds; returns whether it came to that."""
        end = time.perf_counter() + longest
        while not done():
            left = end - time.perf_counter()
            if left <= 0:
                return False
            self.turn(min(left, 0.02))
        return True

    def start_clock(self) -> None:
        self._cpu, self._began = time.process_time(), time.perf_counter()

    @property
    def elapsed(self) -> float:
        """Seconds since `start_clock`."""
        return time.perf_counter() - self._began

    @property
    def share(self) -> float:
        """Of one core, what this process took since `start_clock`: near 1 it was the load that was measured."""
        return (time.process_time() - self._cpu) / max(self.elapsed, 1e-9)

    def close(self) -> None:
        self._epoll.close()
