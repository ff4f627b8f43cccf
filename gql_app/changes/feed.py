"""The feed: tails the change log once per process and hands each event to the watches that want it.

A watch is a position in the log plus a small buffer. While it keeps up, events are put into its buffer as they come;
when the buffer is full it leaves that fast path and reads on from the log at its own pace, until it has caught up.
So a slow reader costs neither memory nor anybody else's time, and a resumed one is only a slow one.
"""

import asyncio
import contextlib
import logging
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from gql_app.changes import log
from gql_app.changes.doorbell import Doorbell
from gql_app.changes.models import ChangeEvent
from gql_app.changes.tasks import stop_task
from gql_app.changes.topics import Scope, Topic, any_of
from gql_app.db import Database
from gql_app.errors import CursorExpired, GqlAppError, Invalid, Unauthenticated

logger = logging.getLogger(__name__)

BUFFER = 64
"""Events that a watch holds before it is fed from the log."""


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long a watch may live: until an event matches a topic of ``until``, or until the moment ``expires_at``.

    `as_of` is the log position up to which it is known that no such event has happened.
    """

    until: Mapping[Topic, GqlAppError] = field(default_factory=dict)
    as_of: int = 0
    expires_at: datetime | None = None
    on_expiry: GqlAppError = field(default_factory=Unauthenticated)

    def call_at_end(self, end: Callable[[GqlAppError], None]) -> asyncio.TimerHandle | None:
        if self.expires_at is None:
            return None
        seconds = (self.expires_at - datetime.now(UTC)).total_seconds()
        return asyncio.get_running_loop().call_later(max(seconds, 0), end, self.on_expiry)


class Watch(AsyncIterator[ChangeEvent]):
    """The events that match one of the topics, are within the scope and come after a position; each once, in order.

    Close it after use.
    """

    def __init__(self, feed: "Feed", topics: Iterable[Topic], scope: Scope, lifetime: "Lifetime", after: int) -> None:
        self.topics = tuple(topics)
        self.scope = scope
        self.lifetime = lifetime
        self._feed = feed
        self._buffer: deque[ChangeEvent] = deque()
        self._scanned = after
        self._behind = after != feed.position
        self._vetted = lifetime.as_of >= feed.position
        self._ended: GqlAppError | None = None
        self._news = asyncio.Event()
        self._timer = lifetime.call_at_end(self.end)
        feed._router.add(self)

    def offer(self, event: ChangeEvent) -> None:
        """Called by the feed, for events that one of the topics matches."""
        if self._behind or event.position <= self._scanned or not self.scope.sees(event):
            return
        if len(self._buffer) >= BUFFER:
            self._behind = True  # the events from here on are still in the log
            return
        self._buffer.append(event)
        self._scanned = event.position
        self._news.set()

    def end(self, error: GqlAppError) -> None:
        """End the stream with this error; what it had not handed out yet is dropped."""
        self._ended = self._ended or error
        self._buffer.clear()
        self._news.set()

    def close(self) -> None:
        self._feed._router.discard(self)
        if self._timer is not None:
            self._timer.cancel()

    async def __anext__(self) -> ChangeEvent:
        while True:
            if self._ended is not None:
                raise self._ended
            if not self._vetted:
                await self._vet()
            elif self._buffer:
                return self._buffer.popleft()
            elif self._behind:
                await self._catch_up()
            else:
                self._news.clear()
                await self._news.wait()

    async def _vet(self) -> None:
        """End if the reason to end was committed after the viewer was looked up and before this watch was routed to."""
        upto = self._feed.position
        reasons = any_of(self.lifetime.until)
        missed = await self._feed.db.look_up(log.page, self.lifetime.as_of, upto, reasons, 1)
        for event in missed:
            self.end(next(error for topic, error in self.lifetime.until.items() if topic.matches(event)))
        self._vetted = True

    async def _catch_up(self) -> None:
        upto = self._feed.position
        if self._scanned > upto:
            upto = await self._feed.look()
            if self._scanned > upto:
                raise Invalid("That cursor is ahead of the change log; it comes from elsewhere.", field="after")
        where = any_of(self.topics) & self.scope.where()
        found = await self._feed.db.read(log.page, self._scanned, upto, where, BUFFER)
        self._buffer.extend(found)
        self._scanned = found[-1].position if len(found) == BUFFER else upto
        # No await between this comparison and the return: no event can slip in between.
        self._behind = self._scanned < self._feed.position


class _Router:
    """Which watches want an event: one look-up per shape of topic in use, however many watches there are."""

    def __init__(self) -> None:
        self._watches: dict[Topic, set[Watch]] = {}
        self._shapes: Counter[tuple[bool, ...]] = Counter()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, watch: Watch) -> None:
        self._size += 1
        for topic in (*watch.topics, *watch.lifetime.until):
            watches = self._watches.get(topic)
            if watches is None:
                watches = self._watches[topic] = set()
                self._shapes[topic.shape] += 1
            watches.add(watch)

    def discard(self, watch: Watch) -> None:
        found = False
        for topic in (*watch.topics, *watch.lifetime.until):
            watches = self._watches.get(topic)
            if watches is None or watch not in watches:
                continue
            found = True
            watches.discard(watch)
            if not watches:
                del self._watches[topic]
                self._shapes[topic.shape] -= 1
        self._size -= found

    def route(self, event: ChangeEvent) -> None:
        for topic in self._topics_of(event):
            for watch in tuple(self._watches.get(topic, ())):
                if topic in watch.lifetime.until:
                    watch.end(watch.lifetime.until[topic])
                else:
                    watch.offer(event)

    def end_all(self, error: GqlAppError) -> None:
        for watches in tuple(self._watches.values()):
            for watch in tuple(watches):
                watch.end(error)

    def _topics_of(self, event: ChangeEvent) -> Iterator[Topic]:
        fields = (event.entity_type, event.attribute, event.entity_id, event.owner_id)
        for shape, count in self._shapes.items():
            if count:
                given = [value if wanted else None for value, wanted in zip(fields, shape, strict=True)]
                yield Topic(*given)  # type: ignore[arg-type]


class Feed:
    """Tails the change log of one database from where it ends when the feed starts."""

    def __init__(self, db: Database, doorbell: Doorbell, *, poll_seconds: float = 1.0) -> None:
        self.db = db
        self.position = 0
        self._bell = doorbell.bell(news=True)
        self._poll = poll_seconds
        self._router = _Router()
        self._looking = asyncio.Lock()

    @property
    def watches(self) -> int:
        """How many watches are open."""
        return len(self._router)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self.position = await self.db.read(log.head)
        task = asyncio.create_task(self._tail())
        try:
            yield
        finally:
            await stop_task(task)

    def watch(self, topics: Iterable[Topic], scope: Scope, *, after: int, lifetime: Lifetime | None = None) -> Watch:
        """Watch for what comes after this position (`Feed.position`: from now on)."""
        return Watch(self, topics, scope, lifetime or Lifetime(as_of=self.position), after)

    async def look(self) -> int:
        """Read and route all that has been committed by now; returns the position reached."""
        async with self._looking:
            while True:
                try:
                    events = await self.db.look_up(log.page, self.position, None)
                except CursorExpired as expired:  # pruned before this process had read it
                    self._router.end_all(expired)
                    self.position = await self.db.read(log.head)
                    return self.position
                for event in events:
                    self.position = event.position
                    self._router.route(event)
                if len(events) < log.PAGE:
                    return self.position

    async def _tail(self) -> None:
        while True:
            await self._bell.wait(self._poll)
            try:
                await self.look()
            except Exception:
                logger.exception("the change log could not be read; trying again")
                await asyncio.sleep(self._poll)
