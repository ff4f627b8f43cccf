"""Rules: who is owed a message when something changes. A vertical declares them beside its models:

    @on_change(FuelRequest.status, propagate=True)
    def tell_requester(change: Change[FuelRequest]) -> Iterator[Owed]:
        yield sms(change.session.get_one(User, change.subject.requester_id), f"… {change.new}")

A rule is run right before the commit, with the net change, and what it yields is written in the same transaction.
It may read from ``change.session`` and must not change anything. It may owe nothing.

Must hold: the change, what each rule has decided about it, and the messages are committed together or not at all.
`gql-app check` holds the messages to the decisions.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from sqlalchemy.orm import InstrumentedAttribute, Session

from gql_app.audiences.declaration import USER, key_text
from gql_app.changes.models import AUDIENCE, NO_KEYS, ChangeKind
from gql_app.changes.net import NetChange
from gql_app.changes.subjects import keep_deleted
from gql_app.changes.tracking import Tracked, tracked_attributes
from gql_app.deliveries.messages import Owed

S = TypeVar("S", bound=Tracked)
V = TypeVar("V")

LONGEST_NAME = 128
"""Characters of a rule's name with its module, as wide as the deliveries' column."""


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


_DECLARED = "__gql_app_rules__"


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
