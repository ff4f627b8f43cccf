"""One execution for all who get the same answer.

Subscriptions with the same document, variables and scope form a group. The group follows the feed for them, executes
each event once and hands the encoded answer to every member. Two things end a membership for a while:

- Who cannot take an answer at once leaves, and is fed from the log at its own pace until it has caught up.
- An answer that depends on who is looking (a resolver has asked for the viewer) is nobody else's: the group falls
  apart, and from then on each of its subscriptions executes by itself.

What ends a subscription for good (its session, its role) reaches its own watch, before any later event is handed out.
"""

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Hashable
from typing import Any

from graphql import Executor

from gql_app.api.context import Context, Stream
from gql_app.changes.models import ChangeEvent
from gql_app.changes.watch import Watch
from gql_app.transport.answers import Answer, answer

logger = logging.getLogger(__name__)

INBOX = 16
"""Answers that wait for a member that takes them one by one, before it leaves the group."""
REMEMBERED = 1_000
"""Audiences known to have private answers."""

MOST_PENDING = 1_000
"""Events that a group has still to execute, before its members are left to themselves: two pages of the feed."""
RECENT = 2_000
"""Answers kept for others who catch up."""
LARGEST_RECENT = 8_192
"""Characters of an answer that is kept."""

SLICE = 500
"""Members that are told before others have their turn: some milliseconds."""

Write = Callable[[bytes], bool]
"""Sends a message at once, given its ending: the answer and the brace behind it. False when it cannot be done now."""


class Subscription(AsyncIterator[Answer]):
    """A running subscription: one answer per event. Close it after use.

    With `write_at_once` set, answers of the group are written by it, and iteration hands out only the others.
    """

    def __init__(
        self, executor: Executor[Any], stream: Stream[Any], context: Context, groups: "Groups", audience: Hashable
    ) -> None:
        self.watch: Watch = stream.watch
        self.write_at_once: Write | None = None
        self.seen = 0
        """The position up to which its group has told it everything."""
        self._executor = executor
        self._of = stream.of
        self._context = context
        self._groups = groups
        self._audience = audience
        self._group: Group | None = None
        self._inbox: deque[Answer] = deque()

    async def __anext__(self) -> Answer:
        """Raises GqlAppError when the stream ends for a reason that is told."""
        while True:
            if self._inbox and not self.watch.ended:
                return self._inbox.popleft()
            if self._group is None:
                event = await self.watch.fetch()
                if event is not None:
                    found = await self._groups.recall(self._audience, event, self)
                    if found is not None and not self.watch.ended:  # it may have ended while this was executed
                        return found
                    continue
                self._group = self._groups.join(self._audience, self)
            await self.watch.wait()

    async def execute(self, event: ChangeEvent) -> tuple[Answer | None, bool]:
        """The answer to this event (None: it is not told of), and whether it is only this subscriber's."""
        value = self._of(event)
        if value is None:
            return None, False
        executor = self._executor.build_per_event_executor(value)
        context = executor.context_value = self._context.fresh()
        result: Any = executor.execute_operation(False)
        if executor.is_awaitable(result):
            result = await result
        return answer(result, cursor=event.cursor), context.private

    def take(self, given: Answer, ending: bytes) -> bool:
        """Called by the group; ``ending`` is for `write_at_once`. False: not now."""
        if self.write_at_once is not None:
            return self.write_at_once(ending)
        if len(self._inbox) >= INBOX:
            return False
        self._inbox.append(given)
        self.watch.wake()
        return True

    def resume(self, position: int) -> None:
        """Called by the group: it hands on nothing more that comes after this position."""
        self._group = None
        self.watch.unpark(position)

    def leave(self) -> None:
        """Nothing is written or handed out any more. May be called again."""
        if self._group is not None:
            self._group.leave(self)
            self._group = None
        self._inbox.clear()
        self.watch.close()

    async def aclose(self) -> None:
        self.leave()


class Group:
    """The subscriptions of one audience that keep up."""

    def __init__(self, groups: "Groups", audience: Hashable, watch: Watch) -> None:
        self.members: dict[Subscription, None] = {}
        self._groups = groups
        self._audience = audience
        self._feed = watch.feed
        self._topics = watch.topics
        self._scope = watch.scope
        self._heard = watch.feed.position
        self._pending: deque[ChangeEvent] = deque()
        self._work: asyncio.Task[None] | None = None  # held, lest it be collected while it runs
        self._feed.listen(self._topics, self)

    def join(self, member: Subscription) -> None:
        member.seen = member.watch.park()
        self.members[member] = None

    def leave(self, member: Subscription) -> None:
        self.members.pop(member, None)
        if not self.members:
            self._feed.leave(self._topics, self)
            self._groups.ended(self._audience, self)

    def offer(self, event: ChangeEvent) -> None:
        """Called by the feed, once for every topic that matches."""
        if event.position <= self._heard or not self._scope.sees(event):
            return
        self._heard = event.position
        if len(self._pending) >= MOST_PENDING:
            return self._fall_apart(self._pending[0].position - 1)
        self._pending.append(event)
        if self._work is None:
            self._work = asyncio.create_task(self._work_off())

    async def _work_off(self) -> None:
        try:
            await self._tell()
        except Exception:
            logger.exception("a shared execution failed; each subscription goes on by itself")
            if self._pending:
                self._fall_apart(self._pending[0].position - 1)
        finally:
            self._work = None  # nothing is awaited between the last look at what is pending and this

    async def _tell(self) -> None:
        while self._pending and self.members:
            event = self._pending[0]
            looking = next(iter(self.members))
            given, private = await looking.execute(event)
            if not self._pending:  # it fell apart meanwhile
                return
            if private and self.members.keys() != {looking}:
                self._groups.remember_private(self._audience)
                return self._fall_apart(event.position - 1)
            if given is not None:
                await self._hand_on(event.position, given)
            if self._pending and self._pending[0] is event:  # otherwise it fell apart meanwhile
                self._pending.popleft()

    async def _hand_on(self, position: int, given: Answer) -> None:
        ending = given.body.encode() + b"}"
        members = tuple(self.members)
        for start in range(0, len(members), SLICE):
            if start:
                await asyncio.sleep(0)  # everybody else has a turn, and some may have left
            for member in members[start : start + SLICE]:
                if member.seen >= position or member.watch.ended or member not in self.members:
                    continue
                try:
                    taken = member.take(given, ending)
                except Exception:
                    logger.exception("an answer could not be handed on; this subscription goes on by itself")
                    taken = False
                if taken:
                    member.seen = position
                else:
                    self.leave(member)
                    member.resume(position - 1)

    def _fall_apart(self, position: int) -> None:
        self._pending.clear()
        for member in tuple(self.members):
            self.leave(member)
            member.resume(max(position, member.seen))


class Groups:
    """The groups of one engine."""

    def __init__(self) -> None:
        self._groups: dict[Hashable, Group] = {}
        self._private: OrderedDict[Hashable, None] = OrderedDict()
        self._recent: OrderedDict[Hashable, Answer | None] = OrderedDict()

    def join(self, audience: Hashable, member: Subscription) -> Group | None:
        """The group that now follows the feed for this subscription, which has seen all so far; None: it must."""
        if audience in self._private:
            self._private.move_to_end(audience)
            return None
        group = self._groups.get(audience)
        if group is None:
            group = self._groups[audience] = Group(self, audience, member.watch)
        group.join(member)
        return group

    async def recall(self, audience: Hashable, event: ChangeEvent, member: Subscription) -> Answer | None:
        """The answer for somebody who catches up: that of another one who just did, if nothing has changed since."""
        key = (audience, event.position, member.watch.feed.position)
        if key in self._recent:
            return self._recent[key]
        found, private = await member.execute(event)
        if not private and (found is None or len(found.body) <= LARGEST_RECENT):
            self._recent[key] = found
            if len(self._recent) > RECENT:
                self._recent.popitem(last=False)
        return found

    def ended(self, audience: Hashable, group: Group) -> None:
        if self._groups.get(audience) is group:
            del self._groups[audience]

    def remember_private(self, audience: Hashable) -> None:
        self._private[audience] = None
        if len(self._private) > REMEMBERED:
            self._private.popitem(last=False)
