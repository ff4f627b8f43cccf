"""What one may have computed per second, in points of about 10 microseconds.

It is counted here and not by `Limiter`: it is asked before every operation, and what it protects is this process.
"""

from collections import OrderedDict
from time import monotonic

from gql_app.errors import RateLimited
from gql_app.limiter.addresses import network_of
from gql_app.limiter.limiter import refused

SECONDS = 10.0
"""A whole budget comes back in so long."""
SMALL = 100
"""Points. What costs less may also use the rest of a budget:"""
REST = 0.25
"""Part of each budget that is kept for small things. So one program that asks for much leaves others behind the same
address their pages."""
MOST = 20_000
"""Budgets that are kept. The one that was used longest ago is forgotten first: it is full again by then."""
TOLD = "You have asked for too much in a short time; ask again later."


class Budget:
    """Token buckets: each holds `points`, which come back evenly in `SECONDS`."""

    def __init__(self, name: str, points: int) -> None:
        self._name = name
        self._points = float(points)
        self._rate = points / SECONDS
        self._spent: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def spend(self, whose: str, points: float) -> None:
        """Take these points. What costs more than is left may be done once: the debt is paid by waiting.

        Raises:
            RateLimited: nothing is left.
        """
        now = monotonic()
        spent, at = self._spent.pop(whose, (0.0, now))
        spent = max(spent - (now - at) * self._rate, 0.0)
        there_is = self._points if points <= SMALL else self._points * (1 - REST)
        if spent >= there_is:
            self._spent[whose] = spent, now
            refused.labels(self._name).inc()
            raise RateLimited(TOLD, retry_after=max((spent - there_is) / self._rate, 1.0))
        self._spent[whose] = spent + points, now
        if len(self._spent) > MOST:
            self._spent.popitem(last=False)

    def owe(self, whose: str, points: float) -> None:
        """Take more points than was thought before."""
        spent, at = self._spent.get(whose, (0.0, monotonic()))
        self._spent[whose] = spent + points, at


class Budgets:
    """What each address and each signed-in person may have computed. A budget of 0 points is none."""

    def __init__(self, per_address: int, per_viewer: int) -> None:
        self._addresses = Budget("address", per_address) if per_address else None
        self._viewers = Budget("viewer", per_viewer) if per_viewer else None

    def spend(self, address: str, viewer_id: int | None, points: float) -> None:
        """Raises RateLimited."""
        if self._addresses is not None:
            self._addresses.spend(network_of(address), points)
        if self._viewers is not None and viewer_id is not None:
            self._viewers.spend(str(viewer_id), points)

    def owe(self, address: str, points: float) -> None:
        if self._addresses is not None:
            self._addresses.owe(network_of(address), points)
