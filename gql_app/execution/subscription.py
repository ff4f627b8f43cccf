"""A running subscription: what comes of its events, executed by itself or handed to it by its group (see `sharing`).

Must hold: each event is answered once, in order, whether by the group or by itself.
"""

from collections.abc import AsyncIterator, Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any

from graphql import Executor, FieldNode

from gql_app.api.context import Context, Stream
from gql_app.changes.models import ChangeEvent
from gql_app.changes.watch import Watch
from gql_app.execution.answers import Answer, answer

if TYPE_CHECKING:
    from gql_app.execution.sharing import Group, Groups

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
        while True:
            if self._inbox and not self.watch.ended:
                return self._inbox.pop(0)[1]
            if self._group is None:
                event = await self.watch.fetch()
                if event is not None:
                    interest = self.watch.interest
                    found = await self._groups.recall(self._audience, event, self)
                    if self.watch.stale or self.watch.interest is not interest:  # she may see less by now
                        self.watch.again_from(event)
                    elif found is not None and not self.watch.ended:  # it may have ended while this was executed
                        return found
                    continue
                self._group = self._groups.join(self._audience, self)
            await self.watch.wait()

    async def execute(self, event: ChangeEvent) -> tuple[Answer | None, bool]:
        """The answer to this event (None: it is not told of), and whether it is only this subscriber's."""
        scope = self.watch.interest.scope
        value = self._stream.event(event, scope)
        if value is None:
            return None, False
        executor = self._executor.build_per_event_executor(value)
        context = executor.context_value = self._context.fresh(self._stream.viewer, scope)
        result: Any = executor.execute_operation(False)
        if executor.is_awaitable(result):
            result = await result
        return answer(result, cursor=event.cursor), context.private

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
