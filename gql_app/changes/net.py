"""The net changes of a transaction: A→B→A says nothing, and what a savepoint took back was never there."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from gql_app.changes.models import ChangeKind
from gql_app.changes.tracking import Tracked

Key = tuple[type, object]
"""The class at the root of the inheritance, and the primary key."""


@dataclass(frozen=True, slots=True)
class NetChange:
    """What one attribute was before the transaction and what it is after it.

    `attribute` is None for a created or deleted entity as a whole; `old` and `new` are the Python values.
    """

    subject: Tracked
    kind: ChangeKind
    attribute: str | None
    old: object
    new: object


@dataclass(slots=True)
class _Entity:
    subject: Tracked
    created: bool = False
    deleted: bool = False
    values: dict[str, tuple[object, object]] = field(default_factory=dict)

    def absorb(self, later: "_Entity") -> None:
        self.subject = later.subject
        self.deleted = later.deleted
        for name, (old, new) in later.values.items():
            first = self.values[name][0] if name in self.values else old
            self.values[name] = (first, new)

    def net(self) -> Iterator[NetChange]:
        if self.deleted:
            if not self.created:
                yield NetChange(self.subject, ChangeKind.DELETED, None, None, None)
            return
        kind = ChangeKind.CREATED if self.created else ChangeKind.UPDATED
        changed = [(name, old, new) for name, (old, new) in self.values.items() if old != new]
        for name, old, new in changed:
            yield NetChange(self.subject, kind, name, old, new)
        if self.created and not changed:
            yield NetChange(self.subject, kind, None, None, None)


class Pending:
    """What a session has flushed and not yet committed: one frame for the transaction, one per open savepoint."""

    def __init__(self) -> None:
        self._frames: list[dict[Key, list[_Entity]]] = [{}]
        self._released = False

    def __bool__(self) -> bool:
        return any(self._frames)

    def created(self, key: Key, subject: Tracked, values: dict[str, object]) -> None:
        self._add(key, _Entity(subject, created=True, values={k: (None, v) for k, v in values.items()}))

    def updated(self, key: Key, subject: Tracked, values: dict[str, tuple[object, object]]) -> None:
        if values:
            self._add(key, _Entity(subject, values=values))

    def deleted(self, key: Key, subject: Tracked) -> None:
        self._add(key, _Entity(subject, deleted=True))

    def open_savepoint(self) -> None:
        self._frames.append({})

    def release_savepoint(self) -> None:
        """The innermost savepoint was released: what it holds counts for the frame around it."""
        self._released = True

    def close_savepoint(self) -> None:
        """The innermost savepoint ended: what it holds is gone unless it was released."""
        frame = self._frames.pop()
        if self._released:
            for key, entities in frame.items():
                for entity in entities:
                    self._add(key, entity)
        self._released = False

    def take(self) -> list[NetChange]:
        """All net changes, in the order in which their entities were first touched; afterwards there are none."""
        frame, self._frames[0] = self._frames[0], {}
        return [change for entities in frame.values() for entity in entities for change in entity.net()]

    def _add(self, key: Key, entity: _Entity) -> None:
        entities = self._frames[-1].setdefault(key, [])
        if entities and not (entities[-1].deleted and entity.created):
            entities[-1].absorb(entity)
        else:  # the key of a deleted one is used again
            entities.append(entity)
