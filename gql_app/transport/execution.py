"""Running operations, and what of their errors is told."""

import json
import logging
import re
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from graphql import ExecutionResult, Executor, GraphQLError, GraphQLSchema, OperationDefinitionNode, execute
from graphql.execution import create_source_event_stream

from gql_app.api.context import Context, Stream
from gql_app.errors import GqlAppError, UserFault
from gql_app.transport.documents import Documents, Prepared
from gql_app.transport.requests import GraphQLRequest

logger = logging.getLogger(__name__)

# Values that clients sent stay out of messages: they may be passwords.
_SENT_VALUE = re.compile(r"(?::\s|\bfound\s|\bgot\s|,\sbut\sencountered\s).*", re.S)


@dataclass(frozen=True, slots=True)
class Answer:
    """A response as JSON text. `request_error`: nothing was executed, the request itself was wrong.

    `cursor` is where a subscriber stands who has seen this event.
    """

    body: str
    request_error: bool = False
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """A checked document and which of its operations to run."""

    prepared: Prepared
    definition: OperationDefinitionNode
    request: GraphQLRequest


class Engine:
    """Executes operations of one schema."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        self._documents = Documents(schema)

    async def prepare(self, request: GraphQLRequest) -> Operation | Answer:
        """The operation to run, or the answer that says what is wrong with the request."""
        prepared = await self._documents.prepare(request.query)
        if prepared.errors:
            return refusal(prepared.errors)
        try:
            return Operation(prepared, prepared.operation(request.operation_name), request)
        except GraphQLError as error:
            error.extensions = {"code": "OPERATION_RESOLUTION_FAILURE"}
            return refusal([error])

    async def run(self, operation: Operation, context: Context) -> Answer:
        """Run a query or a mutation."""
        assert operation.prepared.document is not None
        result = execute(
            self._schema,
            operation.prepared.document,
            context_value=context,
            variable_values=_variables(operation),
            operation_name=operation.request.operation_name,
            max_coercion_errors=5,
            hide_suggestions=True,
        )
        return answer(result if isinstance(result, ExecutionResult) else await result)

    async def subscribe(self, operation: Operation, context: Context) -> "Subscription | Answer":
        """Begin a subscription: from here on no event of it is missed."""
        assert operation.prepared.document is not None
        executor = Executor.build(
            self._schema,
            operation.prepared.document,
            context_value=context,
            raw_variable_values=_variables(operation),
            operation_name=operation.request.operation_name,
            max_coercion_errors=5,
            hide_suggestions=True,
        )
        if isinstance(executor, list):
            return answer(ExecutionResult(None, executor))
        found = create_source_event_stream(executor)
        stream: Any = await found if executor.is_awaitable(found) else found
        if isinstance(stream, ExecutionResult):
            return refusal(stream.errors or [])
        return Subscription(executor, stream, context)


class Subscription(AsyncIterator[Answer]):
    """A running subscription: one answer per event. Close it after use."""

    def __init__(self, executor: Executor[Any], stream: Stream[Any], context: Context) -> None:
        self._executor = executor
        self._stream = stream
        self._context = context

    async def __anext__(self) -> Answer:
        """Raises StopAsyncIteration, or GqlAppError when the stream ends for a reason that is told."""
        event = await self._stream.__anext__()
        executor = self._executor.build_per_event_executor(event)
        executor.context_value = self._context.fresh()
        result: Any = executor.execute_operation(False)
        if executor.is_awaitable(result):
            result = await result
        return answer(result, cursor=event.cursor)

    async def aclose(self) -> None:
        await self._stream.aclose()


def answer(result: ExecutionResult, *, cursor: str | None = None, request_error: bool = False) -> Answer:
    body: dict[str, Any] = {}
    errors = result.errors
    before_execution = result.data is None and errors is not None and all(error.path is None for error in errors)
    if errors:
        body["errors"] = [present(error) for error in errors]
    if not before_execution:
        body["data"] = result.data
    return Answer(json.dumps(body, separators=(",", ":")), before_execution or request_error, cursor)


def refusal(errors: Sequence[GraphQLError]) -> Answer:
    """Nothing was executed: this is why."""
    return Answer(json.dumps({"errors": [present(e) for e in errors]}, separators=(",", ":")), request_error=True)


def refusal_of(error: GqlAppError) -> Answer:
    return refusal([GraphQLError(error.message, original_error=error)])


def refusal_of_unexpected(error: Exception) -> Answer:
    """For a fault of our own outside of any resolver."""
    return refusal([GraphQLError("", original_error=error)])


def present(error: GraphQLError) -> dict[str, Any]:
    """An error as it is sent: our own with their codes, GraphQL's without the values, all others only as an id."""
    original = error.original_error
    while isinstance(original, GraphQLError) and original.original_error is not None:
        original = original.original_error
    shown: dict[str, Any]
    if isinstance(original, GqlAppError):
        extensions = dict(original.extensions)
        if isinstance(original, UserFault) and original.field:
            extensions["field"] = original.field
        shown = {"message": original.message, "extensions": extensions}
    elif original is None or isinstance(original, GraphQLError):
        code = {"code": "BAD_USER_INPUT"} | dict(error.extensions or {})
        shown = {"message": _SENT_VALUE.sub(".", error.message), "extensions": code}
    else:
        error_id = secrets.token_hex(6)
        logger.error("unexpected error %s at %s", error_id, error.path, exc_info=original)
        message = "Something went wrong on our side. It was logged under the id in `extensions`."
        shown = {"message": message, "extensions": {"code": "INTERNAL", "errorId": error_id}}
    if error.locations:
        shown["locations"] = [location.formatted for location in error.locations]
    if error.path:
        shown["path"] = error.path
    return shown


def _variables(operation: Operation) -> dict[str, Any] | None:
    return dict(operation.request.variables) if operation.request.variables is not None else None
