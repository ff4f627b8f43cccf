"""One execution for all who get the same answer.

Subscriptions with the same document, variables and interest form a group. The group follows the feed for them, executes
each event once and hands the encoded answer to every member. Two things end a membership for a while:

- Who cannot take an answer at once leaves, and is fed from the log at its own pace until it has caught up.
- An answer that depends on who is looking (a resolver has asked for the viewer) is nobody else's: the group falls
  apart, and from then on each of its subscriptions executes by itself.

What ends a subscription for good (its session), or changes what it hears of (its viewer's keys), reaches its own watch
before any later event is handed out.
"""

import asyncio
import contextlib
import logging
from collections import OrderedDict, deque
from collections.abc import Hashable
from itertools import islice
from time import monotonic

from prometheus_client import Counter

from gql_app.changes.models import ChangeEvent
from gql_app.changes.watch import Watch
from gql_app.errors import GqlAppError
from gql_app.execution.answers import Answer
from gql_app.execution.patience import Failing, Patience
from gql_app.execution.subscription import Subscription

logger = logging.getLogger(__name__)

fallen_apart = Counter(
    "gql_app_unshared_subscriptions", "Groups of subscribers whose answers turned out to depend on who is looking"
)

REMEMBERED = 1_000
"""Audiences known to have private answers."""

MOST_PENDING = 1_000
"""Events that a group has still to execute, before its members are left to themselves: two pages of the feed."""
RECENT = 2_000
"""Answers kept for others who catch up."""
LARGEST_RECENT = 8_192
"""Characters of an answer that is kept."""
RECENT_SECONDS = 1.0
"""How long it is given to others, at most: what is not logged (a lease, an attempt) may have changed meanwhile."""

TOGETHER = 8
"""Events that have come together and are written together: a socket's write costs the same for several answers."""
TOGETHER_CHARACTERS = 65_536
"""Characters of answers after which no further event joins them: as much as asyncio lets wait at a socket."""
LONGEST_REST = 0.02
"""Seconds. After it has told many, a group rests as long as that took, and no longer than this: events that come thick
and fast share their writes, and what makes them (requests, commits) has its turn. One that comes alone never waits."""
SHORTEST_REST = 0.001

SLICE = 500
"""Members that are told before others have their turn: some milliseconds."""


class _Batch:
    """Answers to events in their order; events that are not told of have none."""

    def __init__(self) -> None:
        self.events = 0
        self.characters = 0
        self.given: list[Answer] = []
        self.endings: list[bytes] = []
        self.positions: list[int] = []

    def add(self, event: ChangeEvent, given: Answer | None) -> None:
        self.events += 1
        if given is not None:
            self._append(event.position, given, given.body.encode() + b"}")

    def after(self, position: int) -> "_Batch":
        """What comes after this position."""
        rest = _Batch()
        for at, given, ending in zip(self.positions, self.given, self.endings, strict=True):
            if at > position:
                rest._append(at, given, ending)
        return rest

    def _append(self, position: int, given: Answer, ending: bytes) -> None:
        self.positions.append(position)
        self.given.append(given)
        self.endings.append(ending)
        self.characters += len(ending)


class Group:
    """The subscriptions of one audience that keep up."""

    def __init__(self, groups: "Groups", audience: Hashable, watch: Watch) -> None:
        self.members: dict[Subscription, None] = {}
        self._groups = groups
        self._audience = audience
        self._feed = watch.feed
        self._interest = watch.interest
        self._heard = watch.feed.position
        self._pending: deque[ChangeEvent] = deque()
        self._rest_until = 0.0
        self._full = asyncio.Event()
        self._work: asyncio.Task[None] | None = None  # held, lest it be collected while it runs
        self._feed.listen(self._interest.topics, self)

    def join(self, member: Subscription) -> None:
        member.seen = member.watch.park()
        self.members[member] = None

    def leave(self, member: Subscription) -> None:
        self.members.pop(member, None)
        if not self.members:
            self._feed.leave(self._interest.topics, self)
            self._groups.ended(self._audience, self)

    @property
    def is_quiet(self) -> bool:
        """Whether all that has happened was handed on."""
        return not self._pending

    def told(self, member: Subscription) -> int:
        """The position up to which this member has been told everything, while an event is routed."""
        upto = self._pending[0].position if self._pending else self._feed.position
        return max(member.seen, upto - 1)

    def offer(self, event: ChangeEvent) -> None:
        """Called by the feed, once for every topic that matches."""
        if event.position <= self._heard or not self._interest.hears(event):
            return
        self._heard = event.position
        if len(self._pending) >= MOST_PENDING:
            return self._fall_apart(self._pending[0].position - 1)
        self._pending.append(event)
        if len(self._pending) >= TOGETHER:
            self._full.set()
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
        patience = Patience()
        while self._pending and self.members:
            await self._rest()
            batch, hurdle = _Batch(), None
            for event in tuple(islice(self._pending, TOGETHER)):
                if not self.members or batch.characters >= TOGETHER_CHARACTERS:
                    break
                looking = next(iter(self.members))
                try:
                    given, private = await looking.execute(event)
                except GqlAppError as error:
                    hurdle = error
                    break
                if not self._pending:  # it fell apart meanwhile
                    return
                if private and self.members.keys() != {looking}:
                    await self._hand_on(batch)
                    self._say_why(looking)
                    self._groups.remember_private(self._audience)
                    return self._fall_apart(event.position - 1)
                batch.add(event, given)
            await self._hand_on(batch)
            if self._pending:  # otherwise it fell apart meanwhile
                for _ in range(batch.events):
                    self._pending.popleft()
            if batch.events:
                patience.renew()
            if hurdle is not None and not await patience.lasts(hurdle):
                return self._end(hurdle)

    def _end(self, error: GqlAppError) -> None:
        """Nobody of this group can be told of the next event here and now."""
        self._pending.clear()
        for member in tuple(self.members):
            member.watch.end(error)

    def _say_why(self, looking: Subscription) -> None:
        """Must hold: nobody pays for one execution per subscriber without being told."""
        fallen_apart.inc()
        logger.warning(
            "the answers of the subscription %s depend on who is looking, so each of its %s subscribers costs an "
            "execution of its own: a resolver has asked for the viewer; let it ask context.covers() or as_it_is_now()",
            looking.name,
            len(self.members),
        )

    async def _rest(self) -> None:
        """Until the time is over, or as many events wait as are written together."""
        if len(self._pending) < TOGETHER and (left := self._rest_until - monotonic()) > 0:
            self._full.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._full.wait()

    async def _hand_on(self, batch: _Batch) -> None:
        if not batch.given:
            return
        began = monotonic()
        last = batch.positions[-1]
        members = tuple(self.members)
        for start in range(0, len(members), SLICE):
            if start:
                await asyncio.sleep(0)  # everybody else has a turn, and some may have left
            for member in members[start : start + SLICE]:
                if member.seen >= last or member.watch.ended or member not in self.members:
                    continue
                due = batch if member.seen < batch.positions[0] else batch.after(member.seen)
                try:
                    taken = member.take(due.positions, due.given, due.endings)
                except Exception:
                    logger.exception("an answer could not be handed on; this subscription goes on by itself")
                    taken = False
                if taken:
                    member.seen = last
                else:
                    self.leave(member)
                    member.resume(due.positions[0] - 1)
        took = monotonic() - began
        if took >= SHORTEST_REST:
            self._rest_until = began + took + min(took, LONGEST_REST)

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
        self.failing = Failing()

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
        key = (audience, event.position, member.watch.feed.position, monotonic() // RECENT_SECONDS)
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
