"""Running operations."""

import asyncio
import json
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from weakref import WeakValueDictionary

import strawberry
from graphql import ExecutionResult, Executor, GraphQLError, OperationDefinitionNode
from graphql.execution import create_source_event_stream
from strawberry.schema.schema_converter import GraphQLCoreConverter

from gql_app.api.context import Context
from gql_app.api.streams import Stream
from gql_app.errors import ConfigurationError, Interrupted, Invalid, RateLimited
from gql_app.execution.answers import Answer, answer, cause, refusal, refusal_of
from gql_app.execution.documents import PER_CHARACTER, Documents, Prepared
from gql_app.execution.executor import PlanningExecutor
from gql_app.execution.introspection import is_introspection
from gql_app.execution.operations import is_mutation, root_fields
from gql_app.execution.patience import as_interruption
from gql_app.execution.plain import PlainSubscription
from gql_app.execution.sharing import Groups
from gql_app.execution.subscription import Subscription
from gql_app.idempotency import TAKES_A_KEY, Once, read_key
from gql_app.limiter import NOBODY, Budgets, Whose


@dataclass(frozen=True, slots=True)
class GraphQLRequest:
    """What to execute. Variables are hidden from its repr: they hold passwords."""

    query: str
    variables: Mapping[str, Any] | None = field(default=None, repr=False)
    operation_name: str | None = None
    idempotency_key: object = None
    """As it was sent; None: without."""


@dataclass(frozen=True, slots=True)
class Operation:
    """A checked document and which of its operations to run."""

    prepared: Prepared
    definition: OperationDefinitionNode
    request: GraphQLRequest


_NO_KEY = (
    "`{}` takes no idempotency key: it hands out a token, takes a password, is for anybody, or keeps no outcome. Send "
    "it without a key, in a request of its own."
)
REQUEST = 20
"""Points that a request costs besides its document and fields: some 200 microseconds."""
DEAR, DEAR_AT_ONCE = 2_000, 2
"""Operations of so many fields hold the event loop for 10 ms and more: so many of them run at a time, so that others
have their turn in between."""
LARGEST_INTROSPECTION = 500_000
"""Characters of an answer about the schema that is kept: five times the usual one of the demo."""
KEPT_INTROSPECTIONS = 16
"""Answers about the schema, which are the same for everybody: tools ask for the same again and again."""

Running = Subscription | PlainSubscription
"""A subscription that has begun."""


class Engine:
    """Executes operations of one schema."""

    def __init__(
        self,
        schema: strawberry.Schema,
        *,
        fast: bool = True,
        budgets: Budgets | None = None,
        introspection: bool = True,
    ) -> None:
        """``fast``: by plans, otherwise graphql-core's executor does it alone. Without ``budgets`` there are no limits
        over time.

        Raises:
            ConfigurationError: the schema has extensions, which only Strawberry's own way of executing calls.
        """
        if extensions := schema.get_extensions():
            raise ConfigurationError(
                f"The schema has extensions that would never be called, such as {type(extensions[0]).__name__}: "
                "operations are not executed by Strawberry. Take `extensions` and `directives` out of the schema; "
                "extensions and permissions of a field work, and so does ASGI middleware."
            )
        self._schema = schema._schema
        self._fast = fast
        self._kind: type[Executor[Any]] = PlanningExecutor if fast else Executor
        self._documents = Documents(self._schema, introspection=introspection)
        self._groups = Groups()
        self._budgets = budgets
        self._dear = asyncio.Semaphore(DEAR_AT_ONCE)
        self._introspections: OrderedDict[tuple[Prepared, str | None], Answer] = OrderedDict()
        self._executors: WeakValueDictionary[Hashable, Executor[Any]] = WeakValueDictionary()
        """One for all subscriptions that want the same: what is copied for each event is the same for all of them."""

    def close(self) -> None:
        self._documents.close()

    async def prepare(self, request: GraphQLRequest, whose: Whose = NOBODY) -> Operation | Answer:
        """The operation to run, or the answer that says what is wrong with the request."""
        try:
            prepared = await self._checked(request.query, whose)
        except RateLimited as error:
            return refusal_of(error)
        if prepared.errors:
            return refusal(prepared.errors)
        try:
            definition = prepared.operation(request.operation_name)
            declared = {each.variable.name.value for each in definition.variable_definitions or ()}
            variables = {name: value for name, value in (request.variables or {}).items() if name in declared}
            return Operation(prepared, definition, replace(request, variables=variables))
        except GraphQLError as error:
            error.extensions = {"code": "OPERATION_RESOLUTION_FAILURE"}
            return refusal([error])

    async def run(self, operation: Operation, context: Context) -> Answer:
        """Run a query or a mutation."""
        if not is_introspection(operation.definition):
            if (refused := self._charge(operation, context)) is not None:
                return refused
            if operation.prepared.cost < DEAR:
                return await self._run(operation, context)
            async with self._dear:
                return await self._run(operation, context)
        key = operation.prepared, operation.request.operation_name
        if key not in self._introspections:
            if (refused := self._charge(operation, context)) is not None:
                return refused
            found = await self._run(operation, context)
            if len(found.body) > LARGEST_INTROSPECTION:
                return found
            self._introspections[key] = found
            if len(self._introspections) > KEPT_INTROSPECTIONS:
                self._introspections.popitem(last=False)
        return self._introspections[key]

    async def _checked(self, text: str, whose: Whose) -> Prepared:
        """Must hold: who has spent her budget is refused before anything is computed for her. Raises RateLimited."""
        if self._budgets is None:
            return (await self._documents.prepare(text, whose))[0]
        foreseen = 0.0 if self._documents.knows(text) else len(text) * PER_CHARACTER
        self._budgets.spend(whose.address, None, REQUEST + foreseen)
        prepared, points = await self._documents.prepare(text, whose)
        if points > foreseen:
            self._budgets.owe(whose.address, points - foreseen)
        return prepared

    def _charge(self, operation: Operation, context: Context) -> Answer | None:
        """Take what the operation costs from the budgets; the refusal, if one is spent."""
        if self._budgets is None:
            return None
        try:
            self._budgets.spend(*context.spender, operation.prepared.cost)
        except RateLimited as error:
            return refusal_of(error)
        return None

    async def _run(self, operation: Operation, context: Context) -> Answer:
        if operation.request.idempotency_key is not None and is_mutation(operation.definition):
            try:
                context.once = self._once(operation)
            except Invalid as error:
                return refusal_of(error)
        executor = self._executor(operation, context)
        if isinstance(executor, list):
            return answer(ExecutionResult(None, executor))
        result: Any = executor.execute_operation()
        return answer(result if isinstance(result, ExecutionResult) else await result)

    async def subscribe(self, operation: Operation, context: Context) -> Running | Answer:
        """Begin a subscription: from here on no event of it is missed. Raises Interrupted: the database is away."""
        if (refused := self._charge(operation, context)) is not None:
            return refused
        executor = self._executor(operation, context)
        if isinstance(executor, list):
            return answer(ExecutionResult(None, executor))
        found = create_source_event_stream(executor)
        stream: Any = await found if executor.is_awaitable(found) else found
        if isinstance(stream, ExecutionResult):
            errors = stream.errors or []
            if (away := next(filter(None, map(_interruption, errors)), None)) is not None:
                raise away
            return refusal(errors)
        if not isinstance(stream, Stream):
            return PlainSubscription(executor, stream, context)
        wanted = _wanted(operation, stream)
        executor = self._executors.setdefault(wanted, executor)
        return Subscription(executor, stream, context, self._groups, wanted)

    def _once(self, operation: Operation) -> Once:
        """What is to be done once. Raises Invalid: that is no key, or an outcome of these mutations cannot be kept."""
        kind = self._schema.mutation_type
        for name in root_fields(operation.prepared.document, operation.definition):
            field = kind.fields[name] if kind is not None else None
            definition: Any = field and field.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
            resolver = getattr(definition, "base_resolver", None)
            if not getattr(getattr(resolver, "wrapped_func", None), TAKES_A_KEY, False):
                raise Invalid(_NO_KEY.format(name))
        asked = operation.request
        called = operation.definition.name.value if operation.definition.name else None
        return Once.of(read_key(asked.idempotency_key), asked.query, called, asked.variables)

    def _executor(self, operation: Operation, context: Context) -> Executor[Any] | list[GraphQLError]:
        """Ready to execute, or what is wrong with the variables."""
        assert operation.prepared.document is not None
        options: dict[str, Any] = {"plans": operation.prepared.plans(operation.definition)} if self._fast else {}
        return self._kind.build(
            self._schema,
            operation.prepared.document,
            context_value=context,
            raw_variable_values=_variables(operation),
            operation_name=operation.request.operation_name,
            max_coercion_errors=5,
            hide_suggestions=True,
            **options,
        )


def _interruption(error: GraphQLError) -> Interrupted | None:
    raised = cause(error)
    return None if raised is None else as_interruption(raised)


def _variables(operation: Operation) -> dict[str, Any] | None:
    return dict(operation.request.variables) if operation.request.variables is not None else None


def _wanted(operation: Operation, stream: Stream[Any]) -> Hashable:
    """The same for all subscriptions that ask for the same.

    The variable that only says where one resumes makes no difference between them.
    """
    variables = dict(operation.request.variables or {})
    for name in operation.prepared.resume_variables:
        variables.pop(name, None)
    return operation.prepared, operation.request.operation_name, json.dumps(variables, sort_keys=True), stream.identity
