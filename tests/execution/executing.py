"""Executes operations by plans, and as graphql-core and Strawberry do, and tells all that can be seen of it."""

import asyncio
import gc
import json
import warnings
from collections import Counter
from typing import Any

from graphql import ExecutionResult, Executor

from gql_app.execution.documents import Documents, Prepared
from gql_app.execution.executor import PlanningExecutor
from gql_app.execution.plans import Plans
from tests.execution.nasty import SCHEMA, STOCK, calls

DROPPED = {"came": ["_come"], "resolver": ["_resolvers.<locals>", "from_resolver.<locals>"]}
"""What coroutines are called that wait for data, and those that are resolvers, as they are or within Strawberry's."""


async def prepare(text: str) -> Prepared:
    prepared, _ = await Documents(SCHEMA).prepare(text)
    assert not prepared.errors, prepared.errors
    return prepared


def executor(prepared: Prepared, plans: Plans | None, root: Any, **options: Any) -> Any:
    """By plans or, without any, all of it graphql-core's and Strawberry's own."""
    assert prepared.document is not None
    if plans is None:
        return Executor.build(STOCK, prepared.document, root, **options)
    return PlanningExecutor.build(SCHEMA, prepared.document, root, plans=plans, **options)


async def performed(prepared: Prepared, plans: Plans | None, root: Any, **options: Any) -> dict[str, Any]:
    """An execution: its answer, what was called in its course, and what it leaves behind."""
    calls.clear()
    dropped: list[str] = []
    gc.freeze()  # so that it takes no time to collect what this execution drops
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        told = await _told(executor(prepared, plans, root, **options))  # nobody else holds it, and so the errors
        for _ in range(20):  # the loop lets go of what has woken us, and what was cancelled ends
            await asyncio.sleep(0)
        while gc.collect() or warned:
            dropped += [str(each.message) for each in warned]
            warned.clear()  # a warning holds its coroutine, and that what it would have awaited
    gc.unfreeze()
    return told | {
        "calls": list(calls),
        # What is cancelled before its first step drops these, with graphql-core, too; its own have other names.
        "dropped": Counter(name for message in dropped for name in DROPPED if any(x in message for x in DROPPED[name])),
        "anything dropped": bool(dropped),
        "still running": _others(),
    }


async def _told(executor: Any) -> dict[str, Any]:
    found = executor.execute_operation()
    result: ExecutionResult = await found if executor.is_awaitable(found) else found
    while executor.background_futures:
        await asyncio.wait(executor.background_futures)
    return {
        "answer": json.dumps(result.formatted, default=lambda value: type(value).__name__),  # in the order of its keys
        "at once": result is found,
        "causes": [type(error.original_error).__name__ for error in result.errors or ()],
        "running": _others(),
    }


def _others() -> int:
    return len(asyncio.all_tasks()) - 1


async def assert_same(text: str, root: Any, **variables: Any) -> Any:
    """The answer, which is graphql-core's with new plans as well as with those that have been used."""
    prepared = await prepare(text)
    plans = prepared.plans(prepared.operation(None))
    expected = await performed(prepared, None, root, raw_variable_values=variables)
    for used in (plans, plans):
        assert expected == await performed(prepared, used, root, raw_variable_values=variables)
    assert expected["still running"] == 0
    return json.loads(expected["answer"])
