"""Right before the commit the rules are run, and what they yield is written into the queue.

Must hold: a message is owed by the very transaction whose change it is about.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import bindparam, func, insert
from sqlalchemy.orm import Session

from gql_app.changes.capture import Entry, add_recorder
from gql_app.changes.codec import Frozen
from gql_app.changes.models import NO_KEYS, ChangeKind
from gql_app.changes.net import Entity, NetChange
from gql_app.changes.subjects import Subjects
from gql_app.changes.tracking import entity_type
from gql_app.db import ANNOUNCED, UtcDateTime
from gql_app.deliveries.messages import Owed
from gql_app.deliveries.models import Channel, Delivery, DeliveryState
from gql_app.deliveries.rules import Change, Registration, Rule, registrations_of
from gql_app.deliveries.texts import TEXTS, Texts

IN_FORCE = "gql_app_rules"
NO_RECIPIENT = {Channel.SMS: "no phone number", Channel.EMAIL: "no e-mail address"}
"""Why a message is not owed that a rule has yielded."""


OPTIONAL = ("subject", "body", "html", "template", "template_values", "language", "not_before", "expires_at")
"""Columns that most messages leave empty."""


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
    return {IN_FORCE: tuple(found)}


def _owed(session: Session, changes: Sequence[NetChange]) -> Iterator[tuple[str, Entity, Owed]]:
    """What the rules owe, by which rule, and for which entity. Each decision is noted at a change of the entity."""
    met = list(_met(session.info.get(IN_FORCE, ()), changes))
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
            **({"due_at": max(now, owed.not_before or now)} if is_sqlite else {"earliest": owed.not_before}),
            "attempt_count": 0,
            "failure_count": 0,
            "created_at": now,
            "updated_at": now,
        }
        for rule, cause, owed in _owed(session, changes)
    ]
    if rows:
        for name in [each for each in OPTIONAL if all(row[each] is None for row in rows)]:
            for row in rows:
                del row[name]  # what is NULL in all of them costs less if it is left out
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
