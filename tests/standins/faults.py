"""The script of what goes wrong next."""

from collections import deque
from collections.abc import Collection, Iterable
from typing import Generic, TypeVar

Fault = TypeVar("Fault")


class FaultScript(Generic[Fault]):
    """A queue of faults, consumed one per occasion; `default` is what happens once the queue is empty."""

    def __init__(self, default: Fault) -> None:
        self.default = default
        self._queue: deque[Fault] = deque()

    def append(self, fault: Fault) -> None:
        """Add one fault at the end of the queue."""
        self._queue.append(fault)

    def extend(self, faults: Iterable[Fault]) -> None:
        """Add faults at the end of the queue."""
        self._queue.extend(faults)

    def clear(self) -> None:
        """Forget the queue; `default` stays."""
        self._queue.clear()

    def __len__(self) -> int:
        return len(self._queue)

    def take(self) -> Fault:
        """The next fault, or the default."""
        return self._queue.popleft() if self._queue else self.default

    def take_one_of(self, kinds: Collection[Fault]) -> Fault | None:
        """The next fault if it is one of `kinds`, else None and the queue stays as it is."""
        following = self._queue[0] if self._queue else self.default
        if following not in kinds:
            return None
        return self.take()
