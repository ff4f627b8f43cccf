"""What a subscriber wants to hear of, and what it may hear of."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, and_, false, or_, true

from gql_app.changes.models import ChangeEvent, ChangeRecord


class Topic(NamedTuple):
    """The events that a subscriber wants: each field is a value, or None for any."""

    entity_type: str | None = None
    attribute: str | None = None
    entity_id: UUID | None = None
    owner_id: int | None = None

    def matches(self, event: ChangeEvent) -> bool:
        return all(wanted is None or wanted == getattr(event, name) for name, wanted in self._asdict().items())

    def where(self) -> ColumnElement[bool]:
        columns = ChangeRecord.__table__.c
        return and_(true(), *(columns[name] == v for name, v in self._asdict().items() if v is not None))

    @property
    def shape(self) -> tuple[bool, ...]:
        """Which fields are given."""
        return tuple(field is not None for field in self)


@dataclass(frozen=True, slots=True)
class Scope:
    """The events that somebody may see: all, or those that she owns and all about certain kinds of entities."""

    owner_id: int | None = None
    entity_types: frozenset[str] = frozenset()
    everything: bool = False

    def sees(self, event: ChangeEvent) -> bool:
        return (
            self.everything
            or (self.owner_id is not None and event.owner_id == self.owner_id)
            or event.entity_type in self.entity_types
        )

    def where(self) -> ColumnElement[bool]:
        if self.everything:
            return true()
        own = ChangeRecord.owner_id == self.owner_id if self.owner_id is not None else false()
        return or_(own, ChangeRecord.entity_type.in_(sorted(self.entity_types)))

    def about(self, topics: Iterable[Topic]) -> "Scope":
        """As much of this scope as decides about events of these topics: the same for many who look."""
        kinds = frozenset(topic.entity_type for topic in topics)
        if self.everything or not kinds <= self.entity_types:
            return self
        return Scope(entity_types=frozenset(kind for kind in kinds if kind is not None))

    def narrow(self, topic: Topic) -> tuple[Topic, ...]:
        """The same wish as topics that already hold as much of this scope as routing can check."""
        if self.everything or topic.entity_type in self.entity_types:
            return (topic,)
        own = () if self.owner_id is None else (topic._replace(owner_id=self.owner_id),)
        if topic.entity_type is None:
            return own + tuple(topic._replace(entity_type=kind) for kind in sorted(self.entity_types))
        return own


def any_of(topics: Iterable[Topic]) -> ColumnElement[bool]:
    return or_(false(), *(topic.where() for topic in topics))
