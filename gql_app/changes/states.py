"""Snapshots: the present state as events.

A snapshot tells one entity after the other, in the order of their ids. Changes wait until it is complete. The cursor of
each event names the position from which changes follow, and the entity. A client that reconnects with it continues
behind that entity. If an entity changes while the snapshot is read, the change is also told afterwards.

Must hold: the position is taken before anything is read. So no change falls in between.
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
    """How to read a snapshot. ``page(session, holder, behind, limit)`` returns the next entities that the holder may
    see, in the order of their ids: those after the id ``behind``, ``limit`` at most."""

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
    """The present state of an entity. It is no change: it has no actor and no old value. `occurred_at` is when it was
    read."""

    at: Cursor

    @property
    def cursor(self) -> str:
        return str(self.at)
