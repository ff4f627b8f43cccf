"""A watch: one subscriber's position in the log, and how it follows.

While it keeps up, events are put into its buffer as they come; when the buffer is full it leaves that fast path and
reads on from the log at its own pace, until it has caught up. So a slow reader costs neither memory nor anybody else's
time, and a resumed one is only a slow one.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gql_app.changes import log
from gql_app.changes.cursors import Cursor
from gql_app.changes.models import ChangeEvent
from gql_app.changes.scope import Interest
from gql_app.changes.topics import Topic, any_of
from gql_app.errors import CursorExpired, GqlAppError, Unauthenticated

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


@dataclass(frozen=True, slots=True)
class Renewal:
    """What may change what a watch hears: an event that matches a topic of `on`. `again` then finds out.

    With `at_first` it is asked before anything is handed out: the interest that the watch is opened with is not all.
    """

    on: tuple[Topic, ...]
    again: Callable[[], Awaitable[Interest]]
    at_first: bool = False


class Watch(AsyncIterator[ChangeEvent]):
    """The events of an interest that come after a position; each once, in order. Close it after use.

    Must hold: an event is handed out only if it is within the interest that was found out after the last `renew`.
    """

    def __init__(
        self,
        feed: "Feed",
        interest: Interest,
        lifetime: "Lifetime",
        after: Cursor,
        renewal: Renewal | None = None,
        *,
        resumed: bool = False,
    ) -> None:
        """``resumed``: somebody has come with the cursor, and it is to be seen whether the log has its event."""
        self.interest = interest
        self.lifetime = lifetime
        self.feed = feed
        self.on_renew: Callable[[], None] | None = None
        """Is called first when it may hear of more or less from now on."""
        self._renewal = renewal
        self._buffer: list[ChangeEvent] = []  # an empty deque takes 760 bytes, and nearly all are empty
        self._scanned = after.position
        self._behind = after.position != feed.position
        self._claimed = after if resumed and after != feed.cursor else None
        self._vetted = lifetime.as_of >= feed.position
        self._stale = renewal is not None and renewal.at_first
        self._ended: GqlAppError | None = None
        self._parked = False
        self._closed = False
        self._waiter: asyncio.Future[None] | None = None
        self._timer = lifetime.call_at_end(self.end)
        feed.opened(self)

    @property
    def until(self) -> Mapping[Topic, GqlAppError]:
        return self.lifetime.until

    @property
    def renewed_by(self) -> tuple[Topic, ...]:
        return () if self._renewal is None else self._renewal.on

    @property
    def stale(self) -> bool:
        """Whether it is still to be found out what it hears of from now on."""
        return self._stale

    @property
    def caught_up(self) -> bool:
        """Whether all that has happened was handed out, or is followed by somebody else."""
        return not (self._claimed or self._stale or self._buffer or self._behind) and self._vetted

    @property
    def ended(self) -> bool:
        return self._ended is not None

    @property
    def parked(self) -> bool:
        """Whether somebody else follows the log for it at present."""
        return self._parked

    def offer(self, event: ChangeEvent) -> None:
        """Called by the feed, for events that one of the topics matches."""
        if self._behind or self._stale or event.position <= self._scanned or not self.interest.hears(event):
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

    def renew(self) -> None:
        """Called by the feed: from now on it may hear of more or less. What it had not handed out is read anew."""
        self._stale = True
        if self.on_renew is not None:
            self.on_renew()
        if self._buffer:
            self.again_from(self._buffer[0])
        elif not self._behind:  # all before what is routed now was handed out
            self._scanned = max(self._scanned, self.feed.position - 1)
        self._behind = True
        self.wake()

    def again_from(self, event: ChangeEvent) -> None:
        """Hand out this event once more, if it is still within the interest, and what comes after it."""
        self.again_after(event.position - 1)

    def again_after(self, position: int) -> None:
        """Read on from this position once more."""
        self._buffer.clear()
        self._scanned = position
        self._behind = True

    def close(self) -> None:
        self._closed = True
        self.feed.closed(self)
        if self._timer is not None:
            self._timer.cancel()

    def park(self) -> int:
        """Right after `fetch` found nothing: leave the following to somebody else, who hears of every event after
        the position that this returns. It still ends by itself."""
        self._parked = True
        self.feed.leave(self.interest.topics, self)
        return self.feed.position

    def unpark(self, position: int) -> None:
        """Follow by itself again, from this position."""
        self._parked = False
        self._scanned = position
        self._behind = True
        self.feed.listen(self.interest.topics, self)
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

    async def settle(self) -> None:
        """Find out what it may hear of now. Raises the error with which it has ended."""
        while True:
            if self._ended is not None:
                raise self._ended
            if self._claimed is not None:
                await self._verify(self._claimed)
            elif not self._vetted:
                await self._vet()
            elif self._stale:
                await self._find_out()
            else:
                return

    async def fetch(self) -> ChangeEvent | None:
        """The next event; None when all that has happened was handed out. Raises the error with which it has ended."""
        while True:
            await self.settle()
            if self._buffer:
                return self._buffer.pop(0)
            if not self._behind:
                return None
            await self._catch_up()

    async def __anext__(self) -> ChangeEvent:
        while (event := await self.fetch()) is None:
            await self.wait()
        return event

    async def _verify(self, claimed: Cursor) -> None:
        """Must hold: nobody goes on behind an event that the log does not have. Raises CursorExpired."""
        if claimed.position > self.feed.position:
            await self.feed.look()
        await log.still_has(self.feed.db, claimed)
        self._claimed = None

    async def _vet(self) -> None:
        """Look for what was committed after the viewer was looked up and before this watch was routed to."""
        upto = self.feed.position
        reasons = any_of((*self.until, *self.renewed_by))
        position, renewed = self.lifetime.as_of, False
        while position < upto:
            missed = await self.feed.db.look_up(log.page, position, upto, reasons)
            for event in missed:
                for topic, error in self.until.items():
                    if topic.matches(event):
                        self.end(error)
                renewed = renewed or any(topic.matches(event) for topic in self.renewed_by)
            position = missed[-1].position if len(missed) == log.PAGE else upto
        if renewed:
            self.renew()
        self._vetted = True

    async def _find_out(self) -> None:
        """What it may hear of now."""
        if self._renewal is None:
            raise RuntimeError("this watch cannot be renewed")
        self._stale = False  # before the look: what changes meanwhile makes it stale again
        try:
            interest = await self._renewal.again()
        except BaseException:
            self._stale = True
            raise
        if self._ended is None:
            if not (self._parked or self._closed):
                self.feed.leave(self.interest.topics, self)
                self.feed.listen(interest.topics, self)
            self.interest = interest
            self._behind = True

    async def _catch_up(self) -> None:
        upto = self.feed.position
        if self._scanned > upto:
            upto = await self.feed.look()
            if self._scanned > upto:
                raise CursorExpired(str(await self.feed.db.read(log.floor)))
        interest = self.interest
        found = await self.feed.history.page(interest, self._scanned, upto, BUFFER)
        if self._stale or self.interest is not interest:
            return
        self._buffer.extend(found)
        self._scanned = found[-1].position if len(found) == BUFFER else upto
        # No await between this comparison and the return: no event can slip in between.
        self._behind = self._scanned < self.feed.position
