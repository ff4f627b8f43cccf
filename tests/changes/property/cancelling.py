"""Cancels a task exactly where it waits for the nth time."""

import asyncio
from collections.abc import Coroutine, Generator
from functools import partial
from itertools import count
from typing import Any


class Cancelled:
    """Await this in place of the coroutine."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], nth: int) -> None:
        self._coroutine = coroutine
        self._nth = nth

    def __await__(self) -> Generator[Any, Any, Any]:
        resume = partial(self._coroutine.send, None)
        for number in count():
            try:
                waiting = resume()
            except StopIteration as end:
                return end.value
            task = asyncio.current_task()
            if number == self._nth and task is not None:
                task.cancel()  # the task cancels what it is told to wait for now
            try:
                yield waiting
                resume = partial(self._coroutine.send, None)
            except BaseException as error:
                resume = partial(self._coroutine.throw, error)
        raise AssertionError("unreachable")
