"""`gql-app check`: holds the rows, the change log and the deliveries against each other.

It reads one snapshot, changes nothing, and finds what must never be: a change that was not recorded, a message that is
not there or is there twice, a message that nobody will ever look at again.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, inspect, select
from sqlalchemy.orm import Session

from gql_app.changes import log
from gql_app.changes.models import ChangeKind, ChangeOutbox, ChangeRecord
from gql_app.changes.tracking import Tracked, codecs_of, entity_type, table_of, tracked_attributes, tracked_models
from gql_app.deliveries.models import Delivery, DeliveryState
from gql_app.deliveries.rules import Registration, registrations

OVERDUE = timedelta(minutes=10)
"""How long a message may be due before this is worth a word: perhaps no worker runs."""
UNFINISHED = (DeliveryState.PENDING, DeliveryState.UNKNOWN)
BATCH = 1_000


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that must not be. `what` is a stable name, `about` an entity's public id."""

    what: str
    about: UUID
    detail: str

    def __str__(self) -> str:
        return f"{self.what}: {self.about} {self.detail}"


def reconcile(session: Session) -> list[Finding]:
    """All findings; an empty list is what one wants to see."""
    if session.get_bind().dialect.name == "postgresql":  # elsewhere a transaction is one snapshot anyway
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
    whole = log.floor(session) == 0
    return [
        *_rows_against_log(session, whole),
        *_log_against_rows(session),
        *_states(session),
        *_missing_messages(session),
        *_doubled_messages(session),
    ]


def _roots(session: Session) -> list[type[Tracked]]:
    """The tracked models that are no subclasses by inheritance of others, as far as this database has their tables."""
    there = set(inspect(session.connection()).get_table_names())
    models = [m for m in tracked_models() if table_of(m).name in there]
    return [m for m in models if not any(m is not other and issubclass(m, other) for other in models)]


def _rows_against_log(session: Session, whole: bool) -> Iterator[Finding]:
    """Every tracked row's present value must be the one that the last event about it tells of."""
    for model in _roots(session):
        names = [name for name, secret in tracked_attributes(model).items() if not secret]
        for rows in session.scalars(select(model)).yield_per(BATCH).partitions():
            told = _last_values(session, entity_type(model), [row.public_id for row in rows])
            for row in rows:
                yield from _row_against_log(row, names, told.get(row.public_id, {}), whole, session.get_bind().dialect)


def _row_against_log(
    row: Any, names: list[str], told: dict[str | None, str | None], whole: bool, dialect: Any
) -> Iterator[Finding]:
    if not told and whole:
        yield Finding("unrecorded", row.public_id, f"{row.__entity__} has no event")
        return
    for name in names:
        value = codecs_of(type(row), dialect)[name].frozen(getattr(row, name)).text
        if name in told and told[name] != value:
            yield Finding("differs", row.public_id, f"{row.__entity__}.{name} is not what the log says")
        elif name not in told and value is not None and whole:
            yield Finding("unrecorded", row.public_id, f"{row.__entity__}.{name} has no event")


def _last_values(session: Session, kind: str, ids: list[UUID]) -> dict[UUID, dict[str | None, str | None]]:
    found: dict[UUID, dict[str | None, str | None]] = {}
    for source, key in ((ChangeRecord, ChangeRecord.position), (ChangeOutbox, ChangeOutbox.id)):
        query = select(source.entity_id, source.attribute, source.new_value)
        query = query.where(source.entity_type == kind, source.entity_id.in_(ids)).order_by(key)
        for entity_id, attribute, value in session.execute(query):
            found.setdefault(entity_id, {})[attribute] = value
    return found


def _log_against_rows(session: Session) -> Iterator[Finding]:
    """What the log says was created and not deleted must be there."""
    for model in _roots(session):
        kind = entity_type(model)
        gone = select(ChangeRecord.entity_id).where(
            ChangeRecord.entity_type == kind, ChangeRecord.kind == ChangeKind.DELETED
        )
        query = (
            select(ChangeRecord.entity_id)
            .distinct()
            .where(
                ChangeRecord.entity_type == kind,
                ChangeRecord.kind == ChangeKind.CREATED,
                ChangeRecord.entity_id.not_in(select(model.public_id)),
                ChangeRecord.entity_id.not_in(gone),
            )
        )
        if model is not Delivery:  # old deliveries are pruned, which is no change
            yield from (Finding("missing row", each, kind) for each in session.scalars(query))


def _states(session: Session) -> Iterator[Finding]:
    """A message has ended, or is due some time."""
    odd = Delivery.due_at.is_(None) == Delivery.state.in_(UNFINISHED)
    for row in session.scalars(select(Delivery).where(odd)):
        yield Finding("stuck", row.public_id, f"is {row.state.name}, due {row.due_at}")
    late = select(Delivery).where(Delivery.due_at < datetime.now(UTC) - OVERDUE)
    for row in session.scalars(late):
        yield Finding("overdue", row.public_id, f"is {row.shown_state.name}, due since {row.due_at}")


def _missing_messages(session: Session) -> Iterator[Finding]:
    """Every event that a rule is about must have its message, as long as messages of that age are kept."""
    since = session.scalar(select(func.min(Delivery.created_at)))
    for rule in registrations:
        for change_set, subject in session.execute(_events_of(rule, since)):
            if not session.scalar(_messages_of(rule, change_set, subject)):
                yield Finding("not owed", subject, f"{rule.name} owes a message for the change set {change_set}")


def _events_of(rule: Registration, since: datetime | None) -> Any:
    query = select(ChangeRecord.change_set, ChangeRecord.entity_id).distinct()
    query = query.where(ChangeRecord.entity_type == entity_type(rule.model), ChangeRecord.kind == rule.kind)
    if rule.attribute is not None:
        query = query.where(ChangeRecord.attribute == rule.attribute)
    if since is not None:
        query = query.where(ChangeRecord.occurred_at >= since)
    subjects = select(rule.model.public_id)
    if not rule.propagate:
        mapper: Any = rule.model.__mapper__  # type: ignore[attr-defined]
        if mapper.polymorphic_on is not None:
            subjects = subjects.where(mapper.polymorphic_on == mapper.polymorphic_identity)
    return query.where(ChangeRecord.entity_id.in_(subjects))


def _messages_of(rule: Registration, change_set: UUID, subject: UUID) -> Any:
    return select(func.count()).where(
        Delivery.change_set == change_set, Delivery.cause_id == subject, Delivery.rule == rule.name
    )


def _doubled_messages(session: Session) -> Iterator[Finding]:
    key = (Delivery.change_set, Delivery.cause_id, Delivery.rule, Delivery.channel, Delivery.recipient)
    query = select(*key, func.count()).where(Delivery.cause_id.is_not(None)).group_by(*key).having(func.count() > 1)
    for _, cause, rule, channel, _, count in session.execute(query):
        assert cause is not None
        yield Finding("owed twice", cause, f"{rule} owes {count} messages by {channel.name} to one recipient")


def summary(findings: list[Finding]) -> str:
    counts = Counter(finding.what for finding in findings)
    return ", ".join(f"{count} {what}" for what, count in counts.most_common())
