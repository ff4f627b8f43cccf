"""Slows down guessing: failed sign-ins are counted per name and client, and per name."""

import time
from collections import OrderedDict
from collections.abc import Callable

from gql_app.errors import RateLimited

WINDOW = 300.0
"""Seconds after the first failure in which the failures are counted."""
PER_CLIENT = 10
PER_NAME = 100
REMEMBERED = 10_000
"""Keys kept; the least recent are forgotten first, so that a flood of names costs bounded memory."""


class Throttle:
    """Counts in this process only: with more processes the limits are that much higher."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[tuple[str, ...], tuple[float, int]] = OrderedDict()

    def check(self, name: str, client: str) -> None:
        """Raises RateLimited when there were too many failures."""
        now = self._clock()
        for key, limit in self._keys(name, client):
            begin, count = self._failures.get(key, (now, 0))
            if count >= limit and now < begin + WINDOW:
                raise RateLimited(retry_after=begin + WINDOW - now)

    def failed(self, name: str, client: str) -> None:
        now = self._clock()
        for key, _ in self._keys(name, client):
            begin, count = self._failures.pop(key, (now, 0))
            self._failures[key] = (begin, count + 1) if now < begin + WINDOW else (now, 1)
        while len(self._failures) > REMEMBERED:
            self._failures.popitem(last=False)

    def succeeded(self, name: str, client: str) -> None:
        self._failures.pop((name.lower(), client), None)

    @staticmethod
    def _keys(name: str, client: str) -> tuple[tuple[tuple[str, ...], int], ...]:
        return ((name.lower(), client), PER_CLIENT), ((name.lower(),), PER_NAME)
