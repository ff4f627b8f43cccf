"""How often something may be done: counted in Redis by all processes, or by this one alone."""

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from limits import RateLimitItem, RateLimitItemPerSecond
from limits.aio.storage import RedisStorage, Storage
from limits.aio.strategies import FixedWindowRateLimiter
from prometheus_client import Counter
from redis.exceptions import RedisError
from sqlalchemy.engine import make_url

from gql_app.errors import RateLimited
from gql_app.limiter.memory import BoundedMemory
from gql_app.limiter.security import note

T = TypeVar("T")

logger = logging.getLogger(__name__)

PREFIX = "gql_app:limits"
PATIENCE = 0.25
"""Seconds that Redis gets for an answer."""
RETRY = 5.0
"""Seconds until Redis is asked again after it was away."""

LONGEST = 200
"""Characters of what names whose it is."""

refused = Counter("gql_app_rate_limited", "What was refused with RATE_LIMITED", ["limit"])


class Rate(NamedTuple):
    times: int
    seconds: int


NO_RATES: Mapping[str, Rate | None] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Limit:
    """So many times in so many seconds, for each whose it is. `told` is what a person is told who has reached it."""

    name: str
    times: int
    seconds: int
    told: str = "Too many attempts; try again later."
    by_address: bool = False
    """Whether the last of what it is counted for is an address."""


class Limiter:
    """Counts per limit and whose it is.

    Must hold: nobody is let in without being counted. While Redis is away this process counts alone, and says so.
    """

    def __init__(
        self, redis_url: str | None = None, *, scope: str = "", rates: Mapping[str, Rate | None] = NO_RATES
    ) -> None:
        """``redis_url``: where all processes count together (`redis://…` or `rediss://…`), those of the same ``scope``.
        ``rates`` are used in place of those of the limits with these names; None: without a limit.
        """
        self._alone = FixedWindowRateLimiter(BoundedMemory())
        self._together: FixedWindowRateLimiter | None = None
        if redis_url is not None:
            self._together = FixedWindowRateLimiter(_redis(redis_url, scope))
        self._rates = rates
        self._away_until = 0.0
        self._is_away = False

    async def aclose(self) -> None:
        if self._together is not None:
            client: Any = self._together.storage
            await client.bridge.get_connection().aclose()

    async def spend(self, limit: Limit, *whose: str) -> None:
        """Count it. Raises RateLimited when it was done too often; also that is counted."""
        if (item := self._item(limit)) is None:
            return
        keys = _keys(limit, whose)

        async def hit(on: FixedWindowRateLimiter) -> float | None:
            return None if await on.hit(item, *keys) else (await on.get_window_stats(item, *keys)).reset_time

        if (end := await self._ask(hit)) is not None:
            refused.labels(limit.name).inc()
            note("rate_limited", address=whose[-1] if limit.by_address else "", limit=limit.name)
            raise RateLimited(limit.told, retry_after=max(end - time.time(), 1.0))

    async def give_back(self, limit: Limit, *whose: str) -> None:
        """It was not done after all."""
        if (item := self._item(limit)) is not None:
            keys = _keys(limit, whose)
            await self._ask(lambda on: on.hit(item, *keys, cost=-1))

    async def forgive(self, limit: Limit, *whose: str) -> None:
        """Forget what was counted."""
        if (item := self._item(limit)) is not None:
            keys = _keys(limit, whose)
            await self._ask(lambda on: on.clear(item, *keys))

    def _item(self, limit: Limit) -> RateLimitItem | None:
        rate = self._rates.get(limit.name, Rate(limit.times, limit.seconds))
        return None if rate is None else RateLimitItemPerSecond(rate.times, rate.seconds, namespace="")

    async def _ask(self, ask: Callable[[FixedWindowRateLimiter], Awaitable[T]]) -> T:
        if self._together is not None and time.monotonic() >= self._away_until:
            try:
                async with asyncio.timeout(PATIENCE):
                    found = await ask(self._together)
                self._is_back()
                return found
            except (RedisError, OSError, TimeoutError) as error:
                self._is_gone(error)
        return await ask(self._alone)

    def _is_gone(self, error: BaseException) -> None:
        self._away_until = time.monotonic() + RETRY
        if not self._is_away:
            self._is_away = True
            away = type(error).__name__
            logger.warning("Redis is away (%s): each process counts limits alone until it is back", away)

    def _is_back(self) -> None:
        if self._is_away:
            self._is_away = False
            logger.info("Redis is back: all processes count limits together again")


def scope_of(database_url: str) -> str:
    """The same for all processes of one database."""
    url = make_url(database_url).set(password=None, query={}).render_as_string()
    return hashlib.sha256(url.encode()).hexdigest()[:12]


def _keys(limit: Limit, whose: tuple[str, ...]) -> tuple[str, ...]:
    """Redis takes no lone surrogates, which a name that somebody has typed may hold."""
    return (limit.name, *(each[:LONGEST].encode("utf-8", "backslashreplace").decode() for each in whose))


def _redis(url: str, scope: str) -> Storage:
    timeouts: Any = {"socket_connect_timeout": PATIENCE, "socket_timeout": PATIENCE}
    return RedisStorage(f"async+{url}", implementation="redispy", key_prefix=f"{PREFIX}:{scope}", **timeouts)
