"""What a subscriber wants to hear of."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, and_, false, or_, true

from gql_app.changes.models import ChangeEvent, ChangeKind, ChangeRecord

_COLUMNS = ("entity_type", "attribute", "entity_id", "owner_id", "new_value")


class Topic(NamedTuple):
    """The events that a subscriber wants: each field is a value, or None for any.

    `key` is one of those who may read the event, `lost` one of those who could see the entity until then. `turns`:
    only events which tell that the entity came or left, for anybody. `changed`: only those of an entity that was there
    before and is there after.
    """

    entity_type: str | None = None
    attribute: str | None = None
    entity_id: UUID | None = None
    owner_id: int | None = None
    new_value: str | None = None
    turns: bool | None = None
    changed: bool | None = None
    key: str | None = None
    lost: str | None = None

    def matches(self, event: ChangeEvent) -> bool:
        return (
            all(wanted is None or wanted == value for wanted, value in zip(self, _values(event), strict=False))
            and (self.key is None or self.key in event.keys)
            and (self.lost is None or self.lost in event.lost)
        )

    def where(self) -> ColumnElement[bool]:
        """The condition on an entry of the log, but for keys (see `pages`)."""
        columns = ChangeRecord.__table__.c
        given = ((name, value) for name, value in self._asdict().items() if name in _COLUMNS and value is not None)
        turns = columns.audience_before.is_not(None) if self.turns else true()
        changed = columns.kind == ChangeKind.UPDATED if self.changed else true()
        return and_(true(), *(columns[name] == value for name, value in given), turns, changed)

    @property
    def shape(self) -> tuple[bool, ...]:
        """Which fields are given."""
        return tuple(field is not None for field in self)


def matching(event: ChangeEvent, shape: tuple[bool, ...]) -> Iterator[Topic]:
    """The topics of this shape that match the event."""
    values: list[Any] = []
    *plain, by_key, by_lost = shape
    for wanted, value in zip(plain, _values(event), strict=True):
        # A field that the event lacks matches only those who do not ask for it, and they have another shape.
        if wanted and (value is None or value is False):
            return
        values.append(value if wanted else None)
    for key in event.keys if by_key else (None,):
        for lost in event.lost if by_lost else (None,):
            yield Topic._make((*values, key, lost))


def _values(event: ChangeEvent) -> tuple[Any, ...]:
    """In the order of a topic's fields, but for the keys."""
    changed = event.kind is ChangeKind.UPDATED
    return event.entity_type, event.attribute, event.entity_id, event.owner_id, event.new_value, event.turns, changed


def any_of(topics: Iterable[Topic]) -> ColumnElement[bool]:
    return or_(false(), *(topic.where() for topic in topics))
