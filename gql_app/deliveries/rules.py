"""Rules: who is owed a message when something changes. A vertical declares them beside its models:

    @on_change(FuelRequest.status, propagate=True)
    def tell_requester(change: Change[FuelRequest]) -> Iterator[Owed]:
        yield sms(change.session.get_one(User, change.subject.requester_id), f"… {change.new}")

A rule is run right before the commit, with the net change, and what it yields is written in the same transaction.
It may read from ``change.session`` and must not change anything.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar
from uuid import UUID, uuid4

from sqlalchemy import insert
from sqlalchemy.orm import InstrumentedAttribute, Session

from gql_app.changes.capture import Entry, add_recorder
from gql_app.changes.models import ChangeKind
from gql_app.changes.net import NetChange
from gql_app.changes.tracking import Tracked, tracked_attributes
from gql_app.deliveries.messages import Owed
from gql_app.deliveries.models import Delivery, DeliveryState

S = TypeVar("S", bound=Tracked)


@dataclass(frozen=True, slots=True)
class Change(Generic[S]):
    """What a rule is handed. `old` and `new` are None where the entity as a whole was created or deleted."""

    subject: S
    old: Any
    new: Any
    session: Session


Rule = Callable[[Change[Any]], Iterable[Owed]]


@dataclass(frozen=True, slots=True)
class Registration:
    """A rule, and what it is run for."""

    model: type[Tracked]
    kind: ChangeKind
    attribute: str | None
    propagate: bool
    sometimes: bool
    rule: Rule

    @property
    def name(self) -> str:
        return f"{self.rule.__module__}.{self.rule.__qualname__}".removeprefix("gql_app.")

    def applies_to(self, subject: Tracked) -> bool:
        return isinstance(subject, self.model) if self.propagate else type(subject) is self.model


registrations: list[Registration] = []


def on_change(
    attribute: InstrumentedAttribute[Any], *, propagate: bool, sometimes: bool = False
) -> Callable[[Rule], Rule]:
    """Run the rule when this tracked attribute of an existing entity changes; with ``propagate`` of subclasses too.

    A rule that owes a message only ``sometimes`` says so; for all others `gql-app check` misses one that is not there.

    Raises:
        TypeError: the attribute is not tracked, so the rule would never run.
    """
    model: Any = attribute.class_
    name = attribute.key
    if not issubclass(model, Tracked) or name not in tracked_attributes(model):
        raise TypeError(f"{model.__name__}.{name} is not tracked: declare it with tracked(…)")
    return _register(model, ChangeKind.UPDATED, name, propagate, sometimes)


def on_create(model: type[Tracked], *, propagate: bool, sometimes: bool = False) -> Callable[[Rule], Rule]:
    """Run the rule once for every new entity of this model; the rest as with `on_change`."""
    return _register(model, ChangeKind.CREATED, None, propagate, sometimes)


def _register(
    model: type[Tracked], kind: ChangeKind, name: str | None, propagate: bool, sometimes: bool
) -> Callable[[Rule], Rule]:
    def register(rule: Rule) -> Rule:
        registrations.append(Registration(model, kind, name, propagate, sometimes, rule))
        return rule

    return register


def _owed(session: Session, changes: Sequence[NetChange]) -> Iterator[tuple[str, Tracked, Owed]]:
    created = set()
    for change in changes:
        first = change.kind is not ChangeKind.CREATED or id(change.subject) not in created
        if change.kind is ChangeKind.CREATED:
            created.add(id(change.subject))
        for registration in registrations:
            wanted = change.attribute == registration.attribute if registration.attribute else first
            if wanted and change.kind is registration.kind and registration.applies_to(change.subject):
                whole = registration.attribute is None
                old, new = (None, None) if whole else (change.old, change.new)
                for owed in registration.rule(Change(change.subject, old, new, session)):
                    yield registration.name, change.subject, owed


def _record_owed(session: Session, change_set: UUID, changes: Sequence[NetChange]) -> list[Entry]:
    """The recorder: writes the deliveries that the rules yield, and returns their log entries."""
    now = datetime.now(UTC)
    rows = [
        {
            "public_id": uuid4(),
            "version": 1,
            "channel": owed.channel,
            "state": DeliveryState.PENDING,
            "recipient_id": owed.recipient_id,
            "recipient": owed.recipient,
            "subject": owed.subject,
            "body": owed.body,
            "html": owed.html,
            "rule": rule,
            "change_set": change_set,
            "cause_id": cause.public_id,
            "due_at": now,
            "attempt_count": 0,
            "failure_count": 0,
            "created_at": now,
            "updated_at": now,
        }
        for rule, cause, owed in _owed(session, changes)
        if owed.recipient
    ]
    if rows:
        session.connection().execute(insert(Delivery.__table__), rows)  # type: ignore[arg-type]
    return [
        Entry(
            ChangeKind.CREATED,
            Delivery.__entity__,
            row["public_id"],  # type: ignore[arg-type]
            "state",
            None,
            DeliveryState.PENDING.name,
            row["recipient_id"],  # type: ignore[arg-type]
        )
        for row in rows
    ]


add_recorder(_record_owed)
