"""Rules: who is owed a message when something changes. A vertical declares them beside its models:

    @on_change(FuelRequest.status, propagate=True)
    def tell_requester(change: Change[FuelRequest]) -> Iterator[Owed]:
        yield sms(change.session.get_one(User, change.subject.requester_id), f"… {change.new}")

A rule is run right before the commit, with the net change, and what it yields is written in the same transaction.
It may read from ``change.session`` and must not change anything. It may owe nothing.

Must hold: the change, what each rule has decided about it, and the messages are committed together or not at all.
`gql-app check` holds the messages to the decisions.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar
from uuid import UUID, uuid4

from sqlalchemy import bindparam, func, insert
from sqlalchemy.orm import InstrumentedAttribute, Session

from gql_app.audiences.declaration import USER, key_text
from gql_app.changes.capture import Entry, add_recorder
from gql_app.changes.codec import Frozen
from gql_app.changes.models import AUDIENCE, NO_KEYS, ChangeKind
from gql_app.changes.net import Entity, NetChange
from gql_app.changes.subjects import Subjects, keep_deleted
from gql_app.changes.tracking import Tracked, entity_type, tracked_attributes
from gql_app.db import ANNOUNCED, UtcDateTime
from gql_app.deliveries.messages import Owed
from gql_app.deliveries.models import Channel, Delivery, DeliveryState
from gql_app.deliveries.texts import TEXTS, Texts

S = TypeVar("S", bound=Tracked)
V = TypeVar("V")

LONGEST_NAME = 128
"""Characters of a rule's name with its module, as wide as the deliveries' column."""
NO_RECIPIENT = {Channel.SMS: "no phone number", Channel.EMAIL: "no e-mail address"}
"""Why a message is not owed that a rule has yielded."""


@dataclass(frozen=True, slots=True)
class Change(Generic[S]):
    """What a rule is handed.

    `old` and `new` are the values of a rule's only attribute, and None for all other rules. `came` and `left` are the
    keys that see the entity now and did not before, and the other way round; only rules of `on_audience` have them.
    """

    subject: S
    old: Any
    new: Any
    session: Session
    values: Mapping[str, tuple[Any, Any]] = field(default_factory=dict, repr=False)
    came: frozenset[str] = NO_KEYS
    left: frozenset[str] = NO_KEYS

    def changed(self, attribute: InstrumentedAttribute[Any]) -> bool:
        """Whether the transaction has changed this tracked attribute."""
        return attribute.key in self.values

    def was(self, attribute: InstrumentedAttribute[V]) -> V:
        """The value of a tracked attribute before the transaction."""
        found: V = self.values[attribute.key][0] if self.changed(attribute) else getattr(self.subject, attribute.key)
        return found

    @property
    def people_who_came(self) -> Sequence[int]:
        """The ids of the users whom the entity names now and did not name before."""
        return _people(self.came)

    @property
    def people_who_left(self) -> Sequence[int]:
        """The ids of the users whom the entity named before and does not name now."""
        return _people(self.left)


def _people(keys: frozenset[str]) -> Sequence[int]:
    prefix = key_text(USER, "")
    return sorted(int(key.removeprefix(prefix)) for key in keys if key.startswith(prefix))


Rule = Callable[[Change[Any]], Iterable[Owed]]
Condition = Callable[[Change[Any]], bool]


@dataclass(frozen=True, slots=True)
class Registration:
    """A rule, and what it is run for: a change of one of the attributes; without attributes the entity as a whole."""

    model: type[Tracked]
    kind: ChangeKind
    attributes: tuple[str, ...]
    propagate: bool
    when: Condition | None
    rule: Rule

    @property
    def name(self) -> str:
        return f"{self.rule.__module__}.{self.rule.__qualname__}".removeprefix("gql_app.")

    def applies_to(self, model: type[Tracked]) -> bool:
        return issubclass(model, self.model) if self.propagate else model is self.model

    def concerns(self, change: NetChange) -> bool:
        wanted = not self.attributes or change.attribute in self.attributes
        return wanted and self.kind is change.kind and self.applies_to(change.entity.model)


_IN_FORCE = "gql_app_rules"
_DECLARED = "__gql_app_rules__"


def in_force(functions: Iterable[Rule]) -> dict[str, Any]:
    """What the info of a session needs so that these rules are run in it, and no others.

    Raises:
        TypeError: a function is none that `on_change` and the like have declared.
    """
    found: list[Registration] = []
    for each in functions:
        if not registrations_of(each):
            raise TypeError(f"{each.__qualname__} is no rule: declare it with on_change(…), on_create(…) or the like")
        found += registrations_of(each)
    return {_IN_FORCE: tuple(found)}


def registrations_of(function: Rule) -> Sequence[Registration]:
    """What a function was declared to be run for."""
    declared: Sequence[Registration] = getattr(function, _DECLARED, ())
    return tuple(each for each in declared if each.rule is function)  # not those that functools.wraps has copied


def on_change(
    *attributes: InstrumentedAttribute[Any], propagate: bool, when: Condition | None = None
) -> Callable[[Rule], Rule]:
    """Run the rule when one of these tracked attributes of an existing entity changes, once for all of them.

    With ``propagate`` also for subclasses; with ``when`` only where it says so of the change.

    Raises:
        TypeError: an attribute is not tracked, so the rule would never run; or they are not of one model.
    """
    models = {attribute.class_ for attribute in attributes}
    if len(models) != 1:
        raise TypeError("on_change() takes one or several attributes of one model")
    model: Any = next(iter(models))
    for each in attributes:
        if not issubclass(model, Tracked) or each.key not in tracked_attributes(model):
            raise TypeError(f"{model.__name__}.{each.key} is not tracked: declare it with tracked(…)")
    return _register(model, ChangeKind.UPDATED, tuple(each.key for each in attributes), propagate, when)


def on_create(model: type[Tracked], *, propagate: bool, when: Condition | None = None) -> Callable[[Rule], Rule]:
    """Run the rule once for every new entity of this model; the rest as with `on_change`."""
    return _register(model, ChangeKind.CREATED, (), propagate, when)


def on_delete(model: type[Tracked], *, propagate: bool, when: Condition | None = None) -> Callable[[Rule], Rule]:
    """Run the rule once for every deleted entity of this model. ``change.subject`` shows what its row held."""
    keep_deleted(model)
    return _register(model, ChangeKind.DELETED, (), propagate, when)


def on_audience(model: type[Tracked], *, propagate: bool, when: Condition | None = None) -> Callable[[Rule], Rule]:
    """Run the rule when others may see an existing entity of this model: see `Change.came` and `Change.left`."""
    return _register(model, ChangeKind.UPDATED, (AUDIENCE,), propagate, when)


def _register(
    model: type[Tracked], kind: ChangeKind, attributes: tuple[str, ...], propagate: bool, when: Condition | None
) -> Callable[[Rule], Rule]:
    def register(rule: Rule) -> Rule:
        registration = Registration(model, kind, attributes, propagate, when, rule)
        if len(registration.name) > LONGEST_NAME:
            raise TypeError(f"the name {registration.name} is too long: use at most {LONGEST_NAME} characters")
        setattr(rule, _DECLARED, (*registrations_of(rule), registration))
        return rule

    return register


def _owed(session: Session, changes: Sequence[NetChange]) -> Iterator[tuple[str, Entity, Owed]]:
    """What the rules owe, by which rule, and for which entity. Each decision is noted at a change of the entity."""
    met = list(_met(session.info.get(_IN_FORCE, ()), changes))
    subjects = Subjects(session, (its[0].entity for _, its in met))
    for registration, its in met:
        entity = its[0].entity
        change = _change(registration, its, subjects.of(entity), session)
        if registration.when is not None and not registration.when(change):
            continue
        decision: dict[str, Any] = its[0].decisions.setdefault(registration.name, {})
        for owed in _yielded(registration, change):
            if owed.recipient:
                counts = decision.setdefault("owed", {})
                counts[owed.channel.name] = counts.get(owed.channel.name, 0) + 1
                yield registration.name, entity, owed
            else:
                decision.setdefault("nothing", []).append(
                    f"{owed.channel.name}: {NO_RECIPIENT.get(owed.channel, 'no address')}"
                )


def _yielded(registration: Registration, change: Change[Any]) -> Iterator[Owed]:
    """Raises TypeError for a rule that yields nothing of the kind."""
    found: Any = registration.rule(change)
    if not isinstance(found, Iterable):
        raise TypeError(
            f"the rule {registration.name} has returned {found!r}: it must yield sms(…), email(…) or the like"
        )
    for each in found:
        if not isinstance(each, Owed):
            raise TypeError(f"the rule {registration.name} has yielded {each!r}: yield sms(…), email(…) or the like")
        yield each


def _met(
    rules: Sequence[Registration], changes: Sequence[NetChange]
) -> Iterator[tuple[Registration, Sequence[NetChange]]]:
    """Each rule with the changes of one entity that it concerns."""
    by_entity: dict[int, tuple[Entity, list[NetChange]]] = {}
    for change in changes:
        by_entity.setdefault(id(change.entity), (change.entity, []))[1].append(change)
    for _, its in by_entity.values():
        for registration in rules:
            if found := [change for change in its if registration.concerns(change)]:
                yield registration, found


def _change(registration: Registration, its: Sequence[NetChange], subject: Any, session: Session) -> Change[Any]:
    values = {each.attribute: (_value(each.old), _value(each.new)) for each in its if each.old is not None}
    only = len(registration.attributes) == 1 and registration.kind is ChangeKind.UPDATED
    old, new = next(iter(values.values()), (None, None)) if only else (None, None)
    found: dict[str, tuple[Any, Any]] = {name: pair for name, pair in values.items() if name is not None}
    return Change(subject, old, new, session, found, its[0].came, its[0].left)


def _value(frozen: Frozen | None) -> Any:
    return None if frozen is None else frozen.value


_deliveries: Any = Delivery.__table__
_OWE = insert(_deliveries).execution_options(**ANNOUNCED)
_OWE_BY_ITS_CLOCK = _OWE.values(
    due_at=func.greatest(func.statement_timestamp(), bindparam("earliest", type_=UtcDateTime))
)
"""On PostgreSQL a message is due by the clock that the workers go by."""


def _record_owed(session: Session, change_set: UUID, changes: Sequence[NetChange]) -> list[Entry]:
    """The recorder: writes the deliveries that the rules yield, and returns their log entries."""
    now = datetime.now(UTC)
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    texts: Texts = session.info.get(TEXTS) or Texts()
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
            **_wording(texts, owed),
            "language": owed.language,
            "rule": rule,
            "change_set": change_set,
            "cause_id": cause.public_id,
            "cause_type": entity_type(cause.model),
            "not_before": owed.not_before,
            "expires_at": owed.expires_at,
            "priority": 0,
            **({"due_at": max(now, owed.not_before or now)} if is_sqlite else {"earliest": owed.not_before}),
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


def _wording(texts: Texts, owed: Owed) -> Mapping[str, str | None]:
    template, values = (None, None) if owed.wording is None else texts.freeze(owed.channel, owed.wording)
    return {"template": template, "template_values": values}


add_recorder(_record_owed)
