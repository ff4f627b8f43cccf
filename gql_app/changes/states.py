"""The present state as events: what a subscription begins with that asks for a snapshot.

A snapshot is told one entity after the other, in the order of their ids, while changes wait. Each event's cursor names
the position from which changes follow, and the entity: who is cut off goes on behind it. Of an entity that is told
before it changes, the change comes afterwards; of one that changes first, the new state is told, and the change again.

Must hold: the position is taken before anything is read.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy.orm import Session

from gql_app.changes.cursors import Cursor
from gql_app.changes.models import ChangeEvent, ChangeKind


class Row(NamedTuple):
    """An entity and the text of its attribute, as the log writes it."""

    entity_id: UUID
    value: str | None


@dataclass(frozen=True, slots=True)
class State:
    """What there is to tell of: `page` reads the entities that a holder may see, ``(session, holder, behind, limit)``:
    the first ones in the order of their ids whose id comes after ``behind``."""

    entity_type: str
    attribute: str
    page: Callable[[Session, Any, UUID | None, int], Sequence[Row]]

    def event(self, row: Row, at: Cursor) -> "StateEvent":
        return StateEvent(
            position=at.position,
            change_set=_NONE,
            kind=ChangeKind.UPDATED,
            entity_type=self.entity_type,
            entity_id=row.entity_id,
            attribute=self.attribute,
            old_value=None,
            new_value=row.value,
            owner_id=None,
            actor_id=None,
            occurred_at=datetime.now(UTC),
            at=at,
        )


_NONE = UUID(int=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class StateEvent(ChangeEvent):
    """An entity as it is: nothing has happened, so there is no actor and no value before. It occurs when it is read."""

    at: Cursor

    @property
    def cursor(self) -> str:
        return str(self.at)
