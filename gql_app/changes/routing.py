"""Who wants an event: one look-up per shape of topic in use, however many listeners there are.

Must hold: whoever listens to a topic that matches an event gets it, once.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Generic, Protocol, TypeVar

from gql_app.changes.models import ChangeEvent
from gql_app.changes.topics import Topic, matching
from gql_app.errors import GqlAppError

L = TypeVar("L")


class Listener(Protocol):
    """Hears of the events that one of its topics matches."""

    def offer(self, event: ChangeEvent) -> None: ...


class Mortal(Protocol):
    """Ends when an event matches one of the topics."""

    @property
    def until(self) -> Mapping[Topic, GqlAppError]: ...

    def end(self, error: GqlAppError) -> None: ...


class Renewed(Protocol):
    """May see more or less than before, when an event matches one of its topics."""

    def renew(self) -> None: ...


class _Index(Generic[L]):
    """Entries by topic."""

    def __init__(self) -> None:
        self._entries: dict[Topic, set[L]] = {}
        self._shapes: Counter[tuple[bool, ...]] = Counter()

    def add(self, topics: Iterable[Topic], entry: L) -> None:
        for topic in topics:
            entries = self._entries.get(topic)
            if entries is None:
                entries = self._entries[topic] = set()
                self._shapes[topic.shape] += 1
            entries.add(entry)

    def discard(self, topics: Iterable[Topic], entry: L) -> None:
        for topic in topics:
            entries = self._entries.get(topic)
            if entries is not None and entry in entries:
                entries.discard(entry)
                if not entries:
                    del self._entries[topic]
                    self._shapes[topic.shape] -= 1

    def matching(self, event: ChangeEvent) -> Iterator[tuple[Topic, L]]:
        for shape, count in tuple(self._shapes.items()):
            if count:
                for topic in matching(event, shape):
                    for entry in tuple(self._entries.get(topic, ())):
                        yield topic, entry


class Router:
    """Hands each event to its listeners.

    Must hold: those whose time is over with it, or who may see more or less from then on, hear of that first.
    """

    def __init__(self) -> None:
        self.listeners: _Index[Listener] = _Index()
        self.mortals: _Index[Mortal] = _Index()
        self.renewed: _Index[Renewed] = _Index()

    def route(self, event: ChangeEvent) -> None:
        for topic, mortal in self.mortals.matching(event):
            mortal.end(mortal.until[topic])
        for _, viewer in self.renewed.matching(event):
            viewer.renew()
        for _, listener in self.listeners.matching(event):
            listener.offer(event)
