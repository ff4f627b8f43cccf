"""A running subscription: what comes of its events, executed by itself or handed to it by its group (see `sharing`).

Must hold: each event is answered once, in order, whether by the group or by itself. One whose content cannot be read at
the moment is not answered at all: its cursor would say that it was seen.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from graphql import ExecutionResult, Executor, FieldNode, GraphQLError

from gql_app.api.context import Context
from gql_app.api.streams import Stream
from gql_app.changes.cursors import Cursor
from gql_app.changes.models import ChangeEvent
from gql_app.changes.states import StateEvent
from gql_app.changes.watch import Watch
from gql_app.errors import GqlAppError, Interrupted, TooSlow, Undecodable
from gql_app.execution.answers import Answer, answer, cause
from gql_app.execution.patience import LASTING, Patience, as_interruption, as_ours
from gql_app.execution.snapshots import Extensions, Snapshot

if TYPE_CHECKING:
    from gql_app.execution.sharing import Group, Groups


DEPLOYED = timedelta(seconds=LASTING)
"""After so long no other process is expected to know a value that this one cannot read: the versions are the same."""


async def _settled(execution: Awaitable[ExecutionResult]) -> ExecutionResult:
    """The result of an execution. If the caller is cancelled, the execution still runs to its end.

    Must hold: an execution is never cancelled. graphql-core would drop coroutines that have not started, and Python
    would warn of each.
    """
    task = asyncio.ensure_future(execution)
    task.add_done_callback(_look_at)
    return await asyncio.shield(task)


def _is_behind_us(error: GqlAppError, event: ChangeEvent) -> bool:
    """Whether the value is older than any deploy that goes on. What a snapshot reads may be of any age."""
    is_dated = isinstance(error, Undecodable) and not isinstance(event, StateEvent)
    return is_dated and event.occurred_at < datetime.now(UTC) - DEPLOYED


def _look_at(task: "asyncio.Future[ExecutionResult]") -> None:
    if not task.cancelled():
        task.exception()


INBOX = 16
"""Answers that wait for a member that takes them one by one, before it leaves the group."""

Write = Callable[[Sequence[bytes]], bool]
"""Sends messages at once, given their endings (the answer and the brace behind it). False: none can be sent now."""


class Subscription(AsyncIterator[Answer]):
    """A running subscription: one answer per event. Close it after use.

    With `write_at_once` set, answers of the group are written by it, and iteration hands out only the others.
    """

    def __init__(
        self, executor: Executor[Any], stream: Stream[Any], context: Context, groups: "Groups", wanted: Hashable
    ) -> None:
        """``wanted`` is the same for all that ask for the same."""
        self.watch: Watch = stream.watch
        self.write_at_once: Write | None = None
        self.seen = 0
        """The position up to which its group has told it everything."""
        self._executor = executor
        self._stream = stream
        self._context = context
        self._groups = groups
        self._wanted = wanted
        self._group: Group | None = None
        self._begun_after = stream.begins_after
        self._snapshot = None if stream.state is None else Snapshot(stream.state, stream.begins_after)
        self._is_making = False
        self._inbox: list[tuple[int, Answer]] = []
        self.watch.on_renew = self._leave_group

    @property
    def name(self) -> str:
        """The field that is subscribed to."""
        first = self._executor.operation.selection_set.selections[0]
        return first.name.value if isinstance(first, FieldNode) else "(in a fragment)"

    @property
    def _audience(self) -> Hashable:
        """The same for all subscriptions that get the same answers, unless one turns out to be `Context.private`."""
        return self._wanted, self.watch.interest

    async def __anext__(self) -> Answer:
        """Raises GqlAppError when the stream ends for a reason that is told."""
        patience: Patience | None = None
        while True:
            if self._inbox and not self.watch.ended:
                return self._inbox.pop(0)[1]
            try:
                if self._snapshot is not None:
                    if (told := await self._next_of(self._snapshot)) is not None:
                        return told
                    continue
                if self._group is None:
                    event = await self.watch.fetch()
                    if event is not None:
                        if (found := await self._answer_to(event)) is not None:
                            return found
                        continue
                    patience = None  # the database works: the next outage gets the full time
                    self._group = self._groups.join(self._audience, self)
            except Exception as error:
                patience = patience or Patience()
                if await patience.lasts(error):
                    continue
                if (interrupted := as_interruption(error)) is not None:
                    raise interrupted from error
                raise
            await self.watch.wait()

    async def _answer_to(self, event: ChangeEvent) -> Answer | None:
        """None: she is not told of it, or it is to be fetched once more."""
        interest, self._is_making = self.watch.interest, True
        try:
            found = await self._groups.recall(self._audience, event, self)
        except (Interrupted, TooSlow):
            self.watch.again_from(event)
            raise
        finally:
            self._is_making = False
        if self.watch.stale or self.watch.interest is not interest:  # she may see less by now
            self.watch.again_from(event)
            return None
        return None if self.watch.ended else found  # it may have ended while this was executed

    async def _next_of(self, snapshot: Snapshot) -> Answer | None:
        """The next answer of the snapshot. None: try again."""
        await self.watch.settle()
        interest = self.watch.interest
        step = await snapshot.step(self._context, self._stream.viewer, interest)
        found = None if step is None else (await self.execute(step.event, step.extensions))[0]
        if self.watch.ended or self.watch.stale or self.watch.interest is not interest:
            return None
        if step is not None:
            if snapshot.is_outdated(self._context):
                return None
            snapshot.told(step)
        if step is None or step.is_last:
            self._snapshot = None
            return found or snapshot.end()
        return found

    @property
    def begun_after(self) -> Cursor | None:
        """The cursor behind which it has begun; None: it begins with the present state."""
        return self._begun_after if self._snapshot is None else None

    @property
    def told(self) -> Cursor | None:
        """The cursor up to which everything has been told, if it has caught up."""
        if self._snapshot is not None or self._is_making or self._inbox or not self.watch.caught_up or self.watch.ended:
            return None
        return self.watch.feed.cursor if self._group is None or self._group.is_quiet else None

    async def execute(self, event: ChangeEvent, extensions: Extensions | None = None) -> tuple[Answer | None, bool]:
        """The answer to this event (None: it is not told of), and whether it is only this subscriber's.

        What fails everywhere and always is answered by its errors. What another try, or another process, may do better
        is raised: an Interrupted, Undecodable or TooSlow.
        """
        scope = self.watch.interest.scope
        context = self._context.fresh(self._stream.viewer, scope)
        try:
            value = self._stream.event(event, scope)
            if value is None:
                return None, False
            executor = self._executor.build_per_event_executor(value)
            executor.context_value = context
            result: Any = executor.execute_operation(False)
            if executor.is_awaitable(result):
                result = await _settled(result)
        except Exception as error:
            result = ExecutionResult(None, [GraphQLError("", path=[self.name], original_error=error)])
        is_final = self._raise_what_passes(result.errors or (), event)
        return answer(result, cursor=event.cursor, extensions=extensions, is_final=is_final), context.private

    def _raise_what_passes(self, errors: Sequence[GraphQLError], event: ChangeEvent) -> bool:
        """Raise what another try may do better. True: it may not pass, and is told as final.

        Must hold: no event uses up its cursor while there is hope to read it.
        """
        failing, made = self._groups.failing, (self._wanted, event.entity_id, event.attribute, event.new_value)
        found = [as_ours(raised) for raised in filter(None, map(cause, errors))]
        for known in found:
            if isinstance(known, Interrupted):
                raise known
        for known in found:
            if isinstance(known, TooSlow | Undecodable):
                if _is_behind_us(known, event) or failing.is_lasting(made):
                    return True
                raise known
        failing.works(made)
        return False

    def take(self, positions: Sequence[int], given: Sequence[Answer], endings: Sequence[bytes]) -> bool:
        """Called by the group; ``endings`` are for `write_at_once`. False: none of it can be taken now."""
        if self.write_at_once is not None:
            return self.write_at_once(endings)
        if len(self._inbox) + len(given) > INBOX:
            return False
        self._inbox.extend(zip(positions, given, strict=True))
        self.watch.wake()
        return True

    def resume(self, position: int) -> None:
        """Called by the group: it hands on nothing more that comes after this position."""
        self._group = None
        self.watch.unpark(position)

    def _leave_group(self) -> None:
        """From now on she may hear of more or less than the group; what she has not taken is made anew."""
        if self._group is not None:
            told = self._inbox[0][0] - 1 if self._inbox else self._group.told(self)
            self._inbox.clear()
            self._group.leave(self)
            self.resume(told)
        elif self._inbox:  # answers of a group that it has left; they may not be allowed any more
            self.watch.again_after(self._inbox[0][0] - 1)
            self._inbox.clear()

    def leave(self) -> None:
        """Nothing is written or handed out any more. May be called again."""
        if self._group is not None:
            self._group.leave(self)
            self._group = None
        self._inbox.clear()
        self.watch.on_renew = None
        self.watch.close()

    async def aclose(self) -> None:
        self.leave()
