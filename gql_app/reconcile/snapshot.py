"""What is known before anything is compared, and how the rows of a statement are streamed."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Executable, Label, Row, Select, inspect, select, type_coerce
from sqlalchemy.orm import Session
from sqlalchemy.types import NULLTYPE

from gql_app.changes import log
from gql_app.changes.codec import Codec
from gql_app.changes.models import ChangeLogState, ChangeRecord, TrackedSince
from gql_app.changes.stored import Read, reader
from gql_app.changes.tracking import Tracked, codecs_of, entity_type, mapper_of, table_of, tracked_attributes
from gql_app.changes.tracking import tracked_models as all_tracked_models
from gql_app.db import UtcDateTime, now
from gql_app.deliveries.models import BUILT_IN, Channel
from gql_app.reconcile.findings import Finding

BATCH = 1_000
"""Rows that are fetched at a time."""
OVERDUE = timedelta(minutes=10)
"""How long something may wait before it is worth a word; also how much clocks and long commits may be apart."""
ROLLOUT = timedelta(hours=1)
"""How long processes of the version before may still write, which do not track what is new."""


@dataclass(frozen=True, slots=True)
class Since:
    """From where something is tracked."""

    position: int
    moment: datetime


class Kind:
    """A kind of tracked entity: its attributes are those of the model and of all its subclasses."""

    def __init__(self, root: type[Tracked], snapshot: "Snapshot") -> None:
        self.name = entity_type(root)
        self.root = root
        self.codecs: dict[str, Codec] = {}
        self.secrets: set[str] = set()
        for mapper in mapper_of(root).self_and_descendants:
            self.codecs.update(codecs_of(mapper.class_, snapshot.dialect))
            self.secrets.update(name for name, secret in tracked_attributes(mapper.class_).items() if secret)

    def same(self, attribute: str, one: str | None, other: str | None) -> bool:
        """Whether two texts of the log mean the same value: older versions wrote some values differently."""
        if one == other:
            return True
        if one is None or other is None:
            return False
        try:
            codec = self.codecs[attribute]
            return bool(codec.decode(one) == codec.decode(other))
        except Exception:  # undecodable, which is a finding of its own
            return False

    def can_read(self, attribute: str, text: str | None) -> bool:
        try:
            self.codecs[attribute].decode(text)
        except Exception:
            return False
        return True


class Snapshot:
    """One moment of the database.

    Values are read as the driver gives them (`raw`): a damaged one must not end the reading.
    """

    def __init__(
        self, session: Session, models: Iterable[type[Tracked]] | None, channels: Iterable[Channel] = BUILT_IN
    ) -> None:
        self._session = session
        self.channels = frozenset(each.name for each in channels)
        self.dialect = session.get_bind().dialect
        self.is_sqlite = self.dialect.name == "sqlite"
        self.now = now(session)
        self.moment: Read = reader(UtcDateTime(), self.dialect)
        there = set(inspect(session.connection()).get_table_names())
        known = list(all_tracked_models() if models is None else models)
        wanted = [m for m in known if table_of(m).name in there]
        self.kinds = {kind.name: kind for kind in (Kind(root, self) for root in _roots(wanted))}
        self.known_types = {entity_type(model) for model in known}
        self.since = self._read_since()
        self.floor = log.floor(session)
        self.pruned_before = self._read_pruned_before()
        self._first_left = self._read_first() if self.floor else None

    def rows(self, query: Select[Any]) -> Iterator[Row[Any]]:
        """The rows of a statement, fetched as they are asked for."""
        return iter(self._session.connection().execute(query, execution_options={"yield_per": BATCH}))

    def scalar(self, query: Executable) -> Any:
        return self._session.connection().execute(query).scalar()

    def may_be_pruned(self, created_at: datetime | None) -> bool:
        """Whether events of that time may have been pruned; None for a time that is not known."""
        if self.floor == 0:
            return False
        return created_at is None or self._first_left is None or created_at < self._first_left[1] + OVERDUE

    def is_split(self, change_set: Any) -> bool:
        """Whether a part of this change set may have been pruned."""
        return self._first_left is not None and self._first_left[0] == change_set

    def may_be_older(self, kind: str, attribute: str, position: int | None, moment: datetime | None) -> bool:
        """Whether something that was created there and then may be older than the tracking of this attribute."""
        since = self.since.get((kind, attribute))
        if since is None or since.position == 0:
            return False
        if position is not None and position <= since.position:
            return True
        return moment is None or moment < since.moment + ROLLOUT

    def _read_since(self) -> Mapping[tuple[str, str], Since]:
        return {
            (row.entity_type, row.attribute): Since(row.since_position, row.since)
            for row in self.rows(select(*TrackedSince.__table__.c))
        }

    def _read_pruned_before(self) -> datetime | None:
        found = self.rows(select(raw(ChangeLogState.deliveries_pruned_before, "moment")))
        moments = [self.moment(row.moment) for row in found if row.moment is not None]
        return max(moments, default=None)

    def _read_first(self) -> tuple[Any, datetime] | None:
        columns = (raw(ChangeRecord.change_set, "change_set"), raw(ChangeRecord.occurred_at, "moment"))
        query = select(*columns).where(ChangeRecord.position > self.floor).order_by(ChangeRecord.position).limit(1)
        return next(((row.change_set, self.moment(row.moment)) for row in self.rows(query)), None)


def raw(column: Any, name: str) -> Label[Any]:
    """A column as the driver gives it."""
    return type_coerce(column, NULLTYPE).label(name)


def public_id(value: Any) -> UUID | None:
    """An id as a finding shows it; None for one that is damaged."""
    try:
        return UUID(str(value))
    except ValueError:
        return None


def finding(what: str, about: Any, detail: str) -> Finding:
    found = public_id(about)
    return Finding(what, found, detail if found or about is None else f"{about!r} {detail}")


def _roots(models: list[type[Tracked]]) -> list[type[Tracked]]:
    """The models that are no subclasses by inheritance of others."""
    return [m for m in models if not any(m is not other and issubclass(m, other) for other in models)]
