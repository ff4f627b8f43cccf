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

from sqlalchemy import func, insert
from sqlalchemy.orm import InstrumentedAttribute, Session

from gql_app.changes.capture import Entry, add_recorder
from gql_app.changes.codec import Frozen
from gql_app.changes.models import NO_KEYS, ChangeKind
from gql_app.changes.net import NetChange
from gql_app.changes.subjects import Subjects
from gql_app.changes.tracking import Tracked, tracked_attributes
from gql_app.db import ANNOUNCED
from gql_app.deliveries.messages import Owed
from gql_app.deliveries.models import Channel, Delivery, DeliveryState

S = TypeVar("S", bound=Tracked)

LONGEST_NAME = 128
"""Characters of a rule's name with its module, as wide as the deliveries' column."""
NO_RECIPIENT = {Channel.SMS: "no phone number", Channel.EMAIL: "no e-mail address"}
"""Why a message is not owed that a rule has yielded."""


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
    rule: Rule

    @property
    def name(self) -> str:
        return f"{self.rule.__module__}.{self.rule.__qualname__}".removeprefix("gql_app.")

    def applies_to(self, model: type[Tracked]) -> bool:
        return issubclass(model, self.model) if self.propagate else model is self.model


registrations: list[Registration] = []


def on_change(attribute: InstrumentedAttribute[Any], *, propagate: bool) -> Callable[[Rule], Rule]:
    """Run the rule when this tracked attribute of an existing entity changes; with ``propagate`` of subclasses too.

    A rule may owe nothing. What it decides is written down beside the change, and `gql-app check` holds it to that.

    Raises:
        TypeError: the attribute is not tracked, so the rule would never run.
    """
    model: Any = attribute.class_
    name = attribute.key
    if not issubclass(model, Tracked) or name not in tracked_attributes(model):
        raise TypeError(f"{model.__name__}.{name} is not tracked: declare it with tracked(…)")
    return _register(model, ChangeKind.UPDATED, name, propagate)


def on_create(model: type[Tracked], *, propagate: bool) -> Callable[[Rule], Rule]:
    """Run the rule once for every new entity of this model; the rest as with `on_change`."""
    return _register(model, ChangeKind.CREATED, None, propagate)


def _register(model: type[Tracked], kind: ChangeKind, name: str | None, propagate: bool) -> Callable[[Rule], Rule]:
    def register(rule: Rule) -> Rule:
        registration = Registration(model, kind, name, propagate, rule)
        if len(registration.name) > LONGEST_NAME:
            raise TypeError(f"the name {registration.name} is too long: use at most {LONGEST_NAME} characters")
        registrations.append(registration)
        return rule

    return register


def _owed(session: Session, changes: Sequence[NetChange]) -> Iterator[tuple[str, UUID, Owed]]:
    """What the rules owe, by which rule, and for which entity. Each decision is noted at its change."""
    met = [(change, rule) for change in _about(changes) for rule in registrations if _concerns(rule, change)]
    subjects = Subjects(session, (change.entity for change, _ in met))
    for change, registration in met:
        old, new = (None, None) if registration.attribute is None else (_value(change.old), _value(change.new))
        subject = subjects.of(change.entity)
        decision: dict[str, Any] = change.decisions.setdefault(registration.name, {})
        for owed in registration.rule(Change(subject, old, new, session)):
            if owed.recipient:
                counts = decision.setdefault("owed", {})
                counts[owed.channel.name] = counts.get(owed.channel.name, 0) + 1
                yield registration.name, change.entity.public_id, owed
            else:
                decision.setdefault("nothing", []).append(f"{owed.channel.name}: {NO_RECIPIENT[owed.channel]}")


def _about(changes: Sequence[NetChange]) -> Iterator[NetChange]:
    """The changes, and of a new entity one for all of its values."""
    created = set()
    for change in changes:
        if change.kind is not ChangeKind.CREATED:
            yield change
        elif id(change.entity) not in created:
            created.add(id(change.entity))
            yield change


def _concerns(rule: Registration, change: NetChange) -> bool:
    wanted = rule.attribute is None or rule.attribute == change.attribute
    return wanted and rule.kind is change.kind and rule.applies_to(change.entity.model)


def _value(frozen: Frozen | None) -> Any:
    return None if frozen is None else frozen.value


_deliveries: Any = Delivery.__table__
_OWE = insert(_deliveries).execution_options(**ANNOUNCED)
_OWE_BY_ITS_CLOCK = _OWE.values(due_at=func.statement_timestamp())
"""On PostgreSQL a message is due by the clock that the workers go by."""


def _record_owed(session: Session, change_set: UUID, changes: Sequence[NetChange]) -> list[Entry]:
    """The recorder: writes the deliveries that the rules yield, and returns their log entries."""
    now = datetime.now(UTC)
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    due = {"due_at": now} if is_sqlite else {}
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
            "cause_id": cause,
            **due,
            "attempt_count": 0,
            "failure_count": 0,
            "created_at": now,
            "updated_at": now,
        }
        for rule, cause, owed in _owed(session, changes)
    ]
    if rows:
        session.connection().execute(_OWE if is_sqlite else _OWE_BY_ITS_CLOCK, rows)
    return [
        Entry(
            ChangeKind.CREATED,
            Delivery.__entity__,
            row["public_id"],  # type: ignore[arg-type]
            "state",
            None,
            DeliveryState.PENDING.name,
            row["recipient_id"],  # type: ignore[arg-type]
            before=NO_KEYS,
        )
        for row in rows
    ]


add_recorder(_record_owed)
