"""How long a stream waits for a database that is away, before it ends as with a lost line."""

import asyncio
import logging
import random
from time import monotonic

from gql_app.db import is_outage
from gql_app.errors import Interrupted, Unavailable

logger = logging.getLogger(__name__)

LONGEST_WAIT = 15.0
"""Seconds from the first failure on. After that the client is sent away: another process may reach the database."""
SHORTEST_PAUSE = 0.05
LONGEST_PAUSE = 1.0
"""Seconds between two tries."""


def as_interruption(error: BaseException) -> Interrupted | None:
    """What an outage is told as; None for another error."""
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
        if not isinstance(as_interruption(error), Unavailable):
            return False
        if not self._since:
            self._since = monotonic()
            logger.warning("a stream waits, the database is away: %r", error.__cause__ or error)
        if monotonic() - self._since > LONGEST_WAIT:
            return False
        await asyncio.sleep(random.uniform(self._pause / 2, self._pause))  # noqa: S311  (jitter, not a secret)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        return True
