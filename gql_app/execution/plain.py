"""A subscription whose events are not those of the change log: whatever an async generator yields, until it ends.

Must hold: it ends with the session of the subscriber, also while the generator waits.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from graphql import ExecutionResult, Executor, GraphQLError

from gql_app.api.context import Context
from gql_app.changes.cursors import Cursor
from gql_app.errors import GqlAppError
from gql_app.execution.answers import Answer, answer
from gql_app.execution.patience import as_interruption
from gql_app.execution.subscription import Write


class PlainSubscription(AsyncIterator[Answer]):
    """One answer per value. It has no cursors: who comes back begins anew."""

    told: Cursor | None = None
    begun_after: Cursor | None = None

    def __init__(self, executor: Executor[Any], source: AsyncIterator[Any], context: Context) -> None:
        self.write_at_once: Write | None = None
        self._executor = executor
        self._source = source
        self._context = context
        self._is_left = False
        viewer = context.viewer
        feed = context.feed
        self._watch = feed.watch((), viewer.scope, after=feed.cursor, lifetime=viewer.lifetime) if viewer else None
        self._tasks: dict[str, asyncio.Future[Any]] = {}

    async def __anext__(self) -> Answer:
        """Raises StopAsyncIteration at the generator's end. What else it raises is its last answer, or an outage."""
        if self._is_left:
            raise StopAsyncIteration
        try:
            value = await self._next()
        except (StopAsyncIteration, GqlAppError):
            self.leave()
            raise
        except Exception as error:
            self.leave()
            if (interrupted := as_interruption(error)) is not None:
                raise interrupted from error
            return answer(ExecutionResult(None, [GraphQLError("", original_error=error)]))
        executor = self._executor.build_per_event_executor(value)
        executor.context_value = self._context.afresh()
        result: Any = executor.execute_operation(False)
        return answer(result if isinstance(result, ExecutionResult) else await result)

    async def _next(self) -> Any:
        """The generator's next value, unless the session ends before."""
        if self._watch is None:
            return await anext(self._source)
        for name, source in (("end", self._watch), ("value", self._source)):
            if name not in self._tasks:
                self._tasks[name] = asyncio.ensure_future(anext(source))
        await asyncio.wait(self._tasks.values(), return_when=asyncio.FIRST_COMPLETED)
        if self._tasks["end"].done():
            return self._tasks["end"].result()  # which raises: it watches for nothing else
        return self._tasks.pop("value").result()

    def leave(self) -> None:
        """Nothing is handed out any more. May be called again."""
        self._is_left = True
        if self._watch is not None:
            self._watch.close()

    async def aclose(self) -> None:
        self.leave()
        tasks, self._tasks = self._tasks, {}
        for each in tasks.values():
            each.cancel()
        for each in tasks.values():
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await each
        if (close := getattr(self._source, "aclose", None)) is not None:
            await close()
