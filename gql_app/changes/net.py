"""The net changes of a transaction: A→B→A says nothing, and what a savepoint took back was never there.

Must hold: everything here was frozen when its statement ran. What becomes of the objects later (changed, cloned, made
transient, expunged) changes nothing of what is logged.
"""

import weakref
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from gql_app.changes.codec import Frozen
from gql_app.changes.models import NO_KEYS, ChangeKind
from gql_app.changes.tracking import Tracked, entity_type

Pair = tuple[Frozen, Frozen]
"""An attribute's value before and after."""


@dataclass(slots=True)
class Entity:
    """One entity's part in a transaction.

    `held` are the values that decide who may see it (`audiences.registry.followed`), now or right before its end;
    `held_before` are those before the transaction, None where it was not there. `subject` is the object by which it
    was changed, None where a statement changed many rows.
    """

    model: type[Tracked]
    public_id: UUID
    held: Mapping[str, Any]
    held_before: Mapping[str, Any] | None
    subject: Tracked | None = None
    created: bool = False
    deleted: bool = False
    values: dict[str, Pair] = field(default_factory=dict, repr=False)

    def absorb(self, later: "Entity") -> None:
        self.model = later.model
        self.held = later.held
        self.subject = later.subject or self.subject
        self.deleted = later.deleted
        for name, (old, new) in later.values.items():
            first = self.values[name][0] if name in self.values else old
            self.values[name] = (first, new)

    def net(self) -> Iterator["NetChange"]:
        if self.deleted:
            if not self.created:
                yield NetChange(self, ChangeKind.DELETED)
            return
        kind = ChangeKind.CREATED if self.created else ChangeKind.UPDATED
        changed = [(name, pair) for name, pair in self.values.items() if pair[0].text != pair[1].text]
        for name, (old, new) in changed:
            yield NetChange(self, kind, name, old, new)
        if self.created and not changed:
            yield NetChange(self, kind)


@dataclass(frozen=True, slots=True)
class NetChange:
    """What one attribute was before the transaction and what it is after it.

    `attribute`, `old` and `new` are None for a created or deleted entity as a whole. The attribute `AUDIENCE` tells
    that others may see the entity now; `came` and `left` are the keys that do and no longer do. Recorders fill
    `decisions`: what each rule made of this change.
    """

    entity: Entity
    kind: ChangeKind
    attribute: str | None = None
    old: Frozen | None = None
    new: Frozen | None = None
    came: frozenset[str] = NO_KEYS
    left: frozenset[str] = NO_KEYS
    decisions: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)


_FLUSH = "a flush"

Key = tuple[str, UUID]
"""The kind of entity, and its public id: primary keys change, and are used again."""


class Pending:
    """What a session has flushed and not yet committed: one frame for the transaction, one per open savepoint.

    It hears of savepoints from the connection (see `db.guard`), whoever opens them.
    """

    def __init__(self, session: Session) -> None:
        self._session = weakref.ref(session)
        self._frames: list[_Frame] = [_Frame("")]
        self._flushed = False
        self.in_bulk = False
        """Whether statements by criteria were executed: the session's objects may be behind their rows."""
        self.follows: MutableMapping[Any, Any] | None = None
        """The ``info`` of the connection whose changes these are."""

    def __bool__(self) -> bool:
        """Whether there is anything that is not recorded yet."""
        return any(frame.entities for frame in self._frames)

    @property
    def flushing(self) -> bool:
        """Whether the session is in the middle of a flush."""
        session = self._session()
        return session is not None and session._flushing

    def forget(self) -> None:
        """The transaction has ended."""
        self._frames = [_Frame("")]
        self._flushed = self.in_bulk = False

    def flush_begins(self) -> None:
        """Must hold: a flush that fails half-way is not committed, even if the roll-back that answers it fails."""
        if not self._flushed:
            self._flushed = True
            if self.spoiled is None:
                self.spoil(_FLUSH)

    def flush_ends(self) -> None:
        self._flushed = False
        self._rename_spoiled(None)

    def another_flush(self) -> None:
        """Before a flush: if one before it has never ended, what that left stays spoiled."""
        if self._flushed:
            self._flushed = False
            self._rename_spoiled("an earlier flush")

    def _rename_spoiled(self, what: str | None) -> None:
        for frame in self._frames:
            if frame.spoiled == _FLUSH:
                frame.spoiled = what

    def add(self, entity: Entity) -> None:
        entities = self._frames[-1].entities.setdefault((entity_type(entity.model), entity.public_id), [])
        if entities and not (entities[-1].deleted and entity.created):
            entities[-1].absorb(entity)
        else:  # a deleted one comes again
            entities.append(entity)

    def spoil(self, what: str) -> None:
        """Something was changed and could not be recorded: only a roll-back, of the innermost savepoint that is open
        or of everything, makes it good."""
        self._frames[-1].spoiled = what

    def make_good(self) -> None:
        """All of it is recorded after all."""
        for frame in self._frames:
            frame.spoiled = None

    @property
    def spoiled(self) -> str | None:
        return next((frame.spoiled for frame in self._frames if frame.spoiled), None)

    def opened(self, savepoint: str) -> None:
        self._frames.append(_Frame(savepoint))

    def released(self, savepoint: str) -> None:
        """What it holds, with all savepoints within it, counts for the frame around it."""
        self._merge(self._closed(savepoint))

    def _merge(self, frames: "list[_Frame]") -> None:
        for frame in frames:
            for entities in frame.entities.values():
                for entity in entities:
                    self.add(entity)
            self._frames[-1].spoiled = self._frames[-1].spoiled or frame.spoiled

    def rolled_back(self, savepoint: str) -> None:
        """What it holds, with all savepoints within it, was never there."""
        if self._closed(savepoint):
            self._frames.append(_Frame(savepoint))  # it is still there, and may be rolled back to again
        if not any(frame.spoiled == _FLUSH for frame in self._frames):
            self._flushed = False  # a flush that fails rolls its savepoint back

    def _closed(self, savepoint: str) -> "list[_Frame]":
        place = len(self._frames) - 1
        while place and self._frames[place].savepoint != savepoint:
            place -= 1
        return self._from(place) if place else []

    def _from(self, place: int) -> "list[_Frame]":
        closed, self._frames = self._frames[place:], self._frames[:place]
        return closed

    def take(self) -> list[Entity]:
        """All that was touched, in the order in which it first was; afterwards there is nothing."""
        if len(self._frames) > 1:  # left open: the commit releases them
            self._merge(self._from(1))
        entities, self._frames[0].entities = self._frames[0].entities, {}
        return [entity for each in entities.values() for entity in each]


@dataclass(slots=True)
class _Frame:
    savepoint: str
    entities: dict[Key, list[Entity]] = field(default_factory=dict)
    spoiled: str | None = None
