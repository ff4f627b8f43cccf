"""Counters of this process, for the `limits` package.

Its own storage in memory looks at every key whenever it is asked, and keeps as many as strangers invent.
"""

import time
from collections import OrderedDict

from limits.aio.storage import Storage

MOST = 50_000
"""Counters that are kept, some 200 bytes each. The one that was used longest ago is forgotten first."""


class BoundedMemory(Storage):
    """Fixed windows: a count and the moment when it ends, by key."""

    STORAGE_SCHEME = ["bounded"]  # noqa: RUF012  (as its base declares it)

    def __init__(self, most: int = MOST) -> None:
        super().__init__(None)
        self._most = most
        self._counts: OrderedDict[str, tuple[int, float]] = OrderedDict()

    @property
    def base_exceptions(self) -> type[Exception]:
        return ValueError

    async def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        now = time.time()
        count, end = self._counts.pop(key, (0, 0.0))
        if end <= now:
            count, end = 0, now + expiry
        self._counts[key] = count + amount, end
        if len(self._counts) > self._most:
            self._counts.popitem(last=False)
        return count + amount

    async def get(self, key: str) -> int:
        count, end = self._counts.get(key, (0, 0.0))
        return count if end > time.time() else 0

    async def get_expiry(self, key: str) -> float:
        return self._counts.get(key, (0, time.time()))[1]

    async def check(self) -> bool:
        return True

    async def reset(self) -> int:
        forgotten = len(self._counts)
        self._counts.clear()
        return forgotten

    async def clear(self, key: str) -> None:
        self._counts.pop(key, None)
