"""A subscription whose events are not those of the change log: whatever an async generator yields, until it ends."""

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

    async def __anext__(self) -> Answer:
        """Raises StopAsyncIteration at the generator's end. What else it raises is its last answer, or an outage."""
        if self._is_left:
            raise StopAsyncIteration
        try:
            value = await anext(self._source)
        except (StopAsyncIteration, GqlAppError):
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

    def leave(self) -> None:
        """Nothing is handed out any more. May be called again."""
        self._is_left = True

    async def aclose(self) -> None:
        self.leave()
        if (close := getattr(self._source, "aclose", None)) is not None:
            await close()
