"""A watch: one subscriber's position in the log, and how it follows.

While it keeps up, events are put into its buffer as they come; when the buffer is full it leaves that fast path and
reads on from the log at its own pace, until it has caught up. So a slow reader costs neither memory nor anybody else's
time, and a resumed one is only a slow one.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gql_app.changes import log
from gql_app.changes.models import ChangeEvent
from gql_app.changes.topics import Scope, Topic, any_of
from gql_app.errors import GqlAppError, Invalid, Unauthenticated

if TYPE_CHECKING:
    from gql_app.changes.feed import Feed

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
        self.feed = feed
        self._buffer: list[ChangeEvent] = []  # an empty deque takes 760 bytes, and nearly all are empty
        self._scanned = after
        self._behind = after != feed.position
        self._vetted = lifetime.as_of >= feed.position
        self._ended: GqlAppError | None = None
        self._parked = False
        self._waiter: asyncio.Future[None] | None = None
        self._timer = lifetime.call_at_end(self.end)
        feed.opened(self)

    @property
    def until(self) -> Mapping[Topic, GqlAppError]:
        return self.lifetime.until

    @property
    def ended(self) -> bool:
        return self._ended is not None

    @property
    def parked(self) -> bool:
        """Whether somebody else follows the log for it at present."""
        return self._parked

    def offer(self, event: ChangeEvent) -> None:
        """Called by the feed, for events that one of the topics matches."""
        if self._behind or event.position <= self._scanned or not self.scope.sees(event):
            return
        if len(self._buffer) >= BUFFER:
            self._behind = True  # the events from here on are still in the log
            return
        self._buffer.append(event)
        self._scanned = event.position
        self.wake()

    def end(self, error: GqlAppError) -> None:
        """End the stream with this error; what it had not handed out yet is dropped."""
        self._ended = self._ended or error
        self._buffer.clear()
        self.wake()

    def close(self) -> None:
        self.feed.closed(self)
        if self._timer is not None:
            self._timer.cancel()

    def park(self) -> int:
        """Right after `fetch` found nothing: leave the following to somebody else, who hears of every event after
        the position that this returns. It still ends by itself."""
        self._parked = True
        self.feed.leave(self.topics, self)
        return self.feed.position

    def unpark(self, position: int) -> None:
        """Follow by itself again, from this position."""
        self._parked = False
        self._scanned = position
        self._behind = True
        self.feed.listen(self.topics, self)
        self.wake()

    def wake(self) -> None:
        """End a `wait`."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self) -> None:
        """Until there may be something to fetch. Raises the error with which it has ended."""
        if self._ended is None:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if self._ended is not None:
            raise self._ended

    async def fetch(self) -> ChangeEvent | None:
        """The next event; None when all that has happened was handed out. Raises the error with which it has ended."""
        while True:
            if self._ended is not None:
                raise self._ended
            if not self._vetted:
                await self._vet()
            elif self._buffer:
                return self._buffer.pop(0)
            elif self._behind:
                await self._catch_up()
            else:
                return None

    async def __anext__(self) -> ChangeEvent:
        while (event := await self.fetch()) is None:
            await self.wait()
        return event

    async def _vet(self) -> None:
        """End if the reason to end was committed after the viewer was looked up and before this watch was routed to."""
        upto = self.feed.position
        reasons = any_of(self.lifetime.until)
        missed = await self.feed.db.look_up(log.page, self.lifetime.as_of, upto, reasons, 1)
        for event in missed:
            self.end(next(error for topic, error in self.lifetime.until.items() if topic.matches(event)))
        self._vetted = True

    async def _catch_up(self) -> None:
        upto = self.feed.position
        if self._scanned > upto:
            upto = await self.feed.look()
            if self._scanned > upto:
                raise Invalid("That cursor is ahead of the change log; it comes from elsewhere.", field="after")
        found = await self.feed.history.page(self.topics, self.scope, self._scanned, upto, BUFFER)
        self._buffer.extend(found)
        self._scanned = found[-1].position if len(found) == BUFFER else upto
        # No await between this comparison and the return: no event can slip in between.
        self._behind = self._scanned < self.feed.position
