"""Pages of the log for those who catch up, a few at a time, and once for many who read the same.

Must hold: those who share a page have the same interest, and stand at the same position.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence

from gql_app.changes import pages
from gql_app.changes.models import ChangeEvent
from gql_app.changes.scope import Interest
from gql_app.db import Database

AT_ONCE = 2
"""Pages that are given out in one round of the event loop: those who keep up wait for no more than these."""
KEPT = 128
"""Pages; what has been committed stays as it is, so a full page is the same for everybody."""


class History:
    """Reads on behalf of the watches that have fallen behind. Each comes to its turn, page by page."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._pages: OrderedDict[tuple[Interest, int], Sequence[ChangeEvent]] = OrderedDict()

    def forget(self) -> None:
        """The log is another one: it was put back to an earlier state."""
        self._pages.clear()

    async def page(self, interest: Interest, after: int, upto: int, size: int) -> Sequence[ChangeEvent]:
        """The first ``size`` events with ``after < position <= upto``. Raises CursorExpired."""
        key = (interest, after)
        async with self._turns:
            found = self._pages.get(key)
            if found is not None and found[-1].position <= upto:
                self._pages.move_to_end(key)
                await asyncio.sleep(0)  # everybody else has a turn, too
                return found
            found = await self._db.read(pages.page, interest, after, upto, size)
            if len(found) == size:
                self._pages[key] = found
                if len(self._pages) > KEPT:
                    self._pages.popitem(last=False)
            return found
