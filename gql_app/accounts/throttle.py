"""Slows down guessing: failed sign-ins are counted per name and client, and per name."""

import contextlib
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator

from gql_app.errors import BadCredentials, RateLimited

WINDOW = 300.0
"""Seconds after the first failure in which the failures are counted."""
PER_CLIENT = 10
PER_NAME = 100
SOON = 1.0
"""Seconds after which somebody may come again whose like are being checked right now."""
LONGEST_NAME = 64
REMEMBERED = 10_000
"""Keys kept; the least recent are forgotten first, so that a flood of names costs bounded memory."""


class Throttle:
    """Counts in this process only: with more processes the limits are that much higher."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[tuple[str, ...], tuple[float, int]] = OrderedDict()
        self._trying: Counter[tuple[str, ...]] = Counter()

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
        (key, _), _ = self._keys(name, client)
        self._failures.pop(key, None)

    @contextlib.contextmanager
    def attempt(self, name: str, client: str) -> Iterator[None]:
        """One try at a password: BadCredentials, raised in the block, counts as a failure.

        Raises RateLimited when there were too many failures, or would be if all that are being tried should fail.
        """
        self.check(name, client)
        keys = self._keys(name, client)
        for key, limit in keys:
            if self._failures.get(key, (0.0, 0))[1] + self._trying[key] >= limit:
                raise RateLimited(retry_after=SOON)
        for key, _ in keys:
            self._trying[key] += 1
        try:
            yield
        except BadCredentials:
            self.failed(name, client)
            raise
        else:
            self.succeeded(name, client)
        finally:
            self._trying.subtract(key for key, _ in keys)
            self._trying += Counter()  # drops those of which there are none

    @staticmethod
    def _keys(name: str, client: str) -> tuple[tuple[tuple[str, ...], int], tuple[tuple[str, ...], int]]:
        name = name[:LONGEST_NAME].lower()  # nobody's is longer
        return ((name, client), PER_CLIENT), ((name,), PER_NAME)
