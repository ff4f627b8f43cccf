"""How long a stream waits for a database that is away, before it ends as with a lost line."""

import asyncio
import logging
import random
from collections import OrderedDict
from collections.abc import Hashable
from time import monotonic

from gql_app.db import is_cancelled, is_outage, is_unreadable
from gql_app.errors import GqlAppError, Interrupted, TooSlow, Unavailable, Undecodable

logger = logging.getLogger(__name__)

LONGEST_WAIT = 15.0
"""Seconds from the first failure on. After that the client is sent away: another process may reach the database."""
SHORTEST_PAUSE = 0.05
LONGEST_PAUSE = 1.0
"""Seconds between two tries."""


LASTING = 900.0
"""Seconds. What fails for so long fails always: no lock is held, and no deploy goes on, for 15 minutes."""
LONGEST_GAP = 120.0
"""Seconds between two failures. After more nobody knows whether it has failed all the time."""
MOST_FAILING = 1_000
"""Failures that are remembered."""


def as_ours(error: BaseException) -> GqlAppError | None:
    """What an error is told as that may pass. None for another one."""
    if isinstance(error, GqlAppError):
        return error
    known: GqlAppError
    if is_cancelled(error):
        known = TooSlow()
    elif is_unreadable(error):
        known = Undecodable()
    elif is_outage(error):
        known = Unavailable()
    else:
        return None
    known.__cause__ = error
    return known


def as_interruption(error: BaseException) -> Interrupted | None:
    """What an outage is told as. None for another error."""
    if isinstance(error, Interrupted):
        return error
    return Unavailable() if is_outage(error) else None


class Patience:
    """Waits between the tries of one stream, a little longer each time."""

    __slots__ = ("_pause", "_since")

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """It has worked."""
        self._since = 0.0
        self._pause = SHORTEST_PAUSE

    async def lasts(self, error: Exception) -> bool:
        """Wait until it is worth another try. False: it does not help, or has not helped for too long."""
        if not isinstance(error, TooSlow) and not isinstance(as_interruption(error), Unavailable):
            return False
        if not self._since:
            self._since = monotonic()
            logger.warning("a stream waits, the database does not answer: %r", error.__cause__ or error)
        if monotonic() - self._since > LONGEST_WAIT:
            return False
        await asyncio.sleep(random.uniform(self._pause / 2, self._pause))  # noqa: S311  (jitter, not a secret)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        return True


class Failing:
    """What one process has failed to make again and again."""

    def __init__(self) -> None:
        self._known: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def is_lasting(self, made: Hashable) -> bool:
        """Note a failure. True: it has failed all the time for `LASTING` seconds."""
        now = monotonic()
        first, last = self._known.pop(made, (now, now))
        if now - last > LONGEST_GAP:
            first = now
        self._known[made] = first, now
        if len(self._known) > MOST_FAILING:
            self._known.popitem(last=False)
        return now - first > LASTING

    def works(self, made: Hashable) -> None:
        if self._known:
            self._known.pop(made, None)
