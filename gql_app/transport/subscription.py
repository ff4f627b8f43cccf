"""A running subscription: what comes of its events, executed by itself or handed to it by its group (see `sharing`)."""

from collections.abc import AsyncIterator, Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any

from graphql import Executor

from gql_app.api.context import Context, Stream
from gql_app.changes.models import ChangeEvent
from gql_app.changes.watch import Watch
from gql_app.transport.answers import Answer, answer

if TYPE_CHECKING:
    from gql_app.transport.sharing import Group, Groups

INBOX = 16
"""Answers that wait for a member that takes them one by one, before it leaves the group."""

Write = Callable[[Sequence[bytes]], bool]
"""Sends messages at once, given their endings (the answer and the brace behind it). False: none can be sent now."""


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
        self._inbox: list[Answer] = []

    async def __anext__(self) -> Answer:
        """Raises GqlAppError when the stream ends for a reason that is told."""
        while True:
            if self._inbox and not self.watch.ended:
                return self._inbox.pop(0)
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

    def take(self, given: Sequence[Answer], endings: Sequence[bytes]) -> bool:
        """Called by the group; ``endings`` are for `write_at_once`. False: none of it can be taken now."""
        if self.write_at_once is not None:
            return self.write_at_once(endings)
        if len(self._inbox) + len(given) > INBOX:
            return False
        self._inbox.extend(given)
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
