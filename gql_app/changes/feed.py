"""The feed: tails the change log once per process and hands each event to those who want it.

Must hold: events are handed on in the order of their positions, and none is passed over. What a ring does not tell of
is found by polling.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterable

from gql_app.changes import log
from gql_app.changes.cursors import BEGINNING, Cursor, mark_of
from gql_app.changes.doorbell import Doorbell
from gql_app.changes.history import History
from gql_app.changes.routing import Listener, Router
from gql_app.changes.scope import Interest, Scope
from gql_app.changes.tasks import stop_task
from gql_app.changes.topics import Topic
from gql_app.changes.watch import Lifetime, Renewal, Watch
from gql_app.db import Database
from gql_app.errors import CursorExpired

logger = logging.getLogger(__name__)


class Feed:
    """Tails the change log of one database from where it ends when the feed starts."""

    def __init__(self, db: Database, doorbell: Doorbell, *, poll_seconds: float = 1.0) -> None:
        self.db = db
        self.cursor = BEGINNING
        self._bell = doorbell.bell(news=True)
        self._poll = poll_seconds
        self._router = Router()
        self._watches: set[Watch] = set()
        self._looking = asyncio.Lock()
        self.history = History(db)

    @property
    def position(self) -> int:
        """Where it stands: all events up to here have been handed on."""
        return self.cursor.position

    @property
    def watches(self) -> int:
        """How many watches are open."""
        return len(self._watches)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self.cursor = await self.db.read(log.end)
        task = asyncio.create_task(self._tail())
        try:
            yield
        finally:
            await stop_task(task)

    def watch(
        self,
        topics: Iterable[Topic],
        scope: Scope,
        *,
        after: Cursor,
        lifetime: Lifetime | None = None,
        renewal: Renewal | None = None,
        resumed: bool = False,
    ) -> Watch:
        """Watch for what comes after this position (`Feed.cursor`: from now on)."""
        interest = Interest.of(topics, scope)
        return Watch(self, interest, lifetime or Lifetime(as_of=self.position), after, renewal, resumed=resumed)

    def opened(self, watch: Watch) -> None:
        self._watches.add(watch)
        self._router.mortals.add(watch.until, watch)
        self._router.renewed.add(watch.renewed_by, watch)
        self.listen(watch.interest.topics, watch)

    def closed(self, watch: Watch) -> None:
        """May be called again."""
        self._watches.discard(watch)
        self._router.mortals.discard(watch.until, watch)
        self._router.renewed.discard(watch.renewed_by, watch)
        self.leave(watch.interest.topics, watch)

    def listen(self, topics: Iterable[Topic], listener: Listener) -> None:
        """Offer it the events that match, from now on."""
        self._router.listeners.add(topics, listener)

    def leave(self, topics: Iterable[Topic], listener: Listener) -> None:
        self._router.listeners.discard(topics, listener)

    async def look(self) -> int:
        """Read and route all that has been committed by now; returns the position reached."""
        async with self._looking:
            while True:
                try:
                    events = await log.news(self.db, self.cursor)
                except CursorExpired as expired:  # pruned before this process had read it, or put back
                    end = await self.db.read(log.end)
                    logger.warning("the change log has no event %s any more: all streams begin anew", self.cursor)
                    self.history.forget()
                    # No await from here on: a watch opened in between would miss what is jumped over.
                    for watch in tuple(self._watches):
                        watch.end(expired)
                    self.cursor = end
                    return end.position
                for event in events:
                    self.cursor = Cursor(event.position, mark_of(event.change_set))
                    self._router.route(event)
                if len(events) < log.PAGE:
                    return self.position
                await asyncio.sleep(0)  # on SQLite nothing else here lets the others run

    async def _tail(self) -> None:
        while True:
            await self._bell.wait(self._poll)
            try:
                await self.look()
            except Exception:
                logger.exception("the change log could not be read; trying again")
                await asyncio.sleep(self._poll)
