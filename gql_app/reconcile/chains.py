"""The log as chains: of each entity and attribute, every old value is the value before it, and the last is the row's.

The log and the rows are read in the order of the entities' ids, side by side.
"""

import heapq
from collections.abc import Generator, Iterator
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter
from typing import Any

from sqlalchemy import Row, null, select

from gql_app.changes.models import AUDIENCE, ChangeKind, ChangeOutbox, ChangeRecord
from gql_app.changes.stored import UNREADABLE
from gql_app.deliveries.models import Delivery, DeliveryState
from gql_app.reconcile.findings import Finding
from gql_app.reconcile.rows import DAMAGED, Reader, TrackedRow
from gql_app.reconcile.snapshot import Kind, Snapshot, finding, raw

SLACK = timedelta(minutes=1)
"""How much later the log may tell of a message's end than its row did."""
ENDED = {state.name for state in (DeliveryState.SENT, DeliveryState.DELIVERED)} | {
    state.name for state in (DeliveryState.UNDELIVERED, DeliveryState.DEAD, DeliveryState.SUPPRESSED)
}
ALIKE = {("Delivery", "state"): {"SENDING": "PENDING"}}
"""Values that older versions told of in place of others."""

_about = attrgetter("about")


def look(snapshot: Snapshot) -> Iterator[Finding]:
    streams = [_rows(snapshot, kind) for kind in snapshot.kinds.values()]
    rows: Iterator[Any] = groupby(heapq.merge(*streams, key=_about), _about)
    row = next(rows, None)
    for about, entries in groupby(_entries(snapshot), _about):
        while row is not None and row[0] < about:
            yield from _judge(snapshot, row[0], (), row[1])
            row = next(rows, None)
        if row is not None and row[0] == about:
            yield from _judge(snapshot, about, entries, row[1])
            row = next(rows, None)
        else:
            yield from _judge(snapshot, about, entries, ())
    while row is not None:
        yield from _judge(snapshot, row[0], (), row[1])
        row = next(rows, None)


def _rows(snapshot: Snapshot, kind: Kind) -> Iterator[TrackedRow]:
    owner = Delivery.__table__.c.recipient_id if kind.root is Delivery else None
    return Reader(snapshot, kind, owner).rows()


def _entries(snapshot: Snapshot) -> Iterator[Row[Any]]:
    """The entries of one entity after the other, each in its order; those in the outbox are the latest."""
    events = snapshot.rows(_select(ChangeRecord, ChangeRecord.position))
    waiting = snapshot.rows(_select(ChangeOutbox, null()).order_by(ChangeOutbox.id))
    return heapq.merge(events, waiting, key=_about)


def _select(table: Any, position: Any) -> Any:
    query = select(
        raw(table.entity_id, "about"),
        position.label("position"),
        raw(table.change_set, "change_set"),
        raw(table.kind, "kind"),
        table.entity_type,
        table.attribute,
        table.old_value,
        table.new_value,
        table.owner_id,
        raw(table.occurred_at, "occurred_at"),
    ).order_by(table.entity_id)
    return query.order_by(table.position) if table is ChangeRecord else query


def _judge(snapshot: Snapshot, about: Any, entries: Any, rows: Any) -> Iterator[Finding]:
    """What is wrong with one entity. Entries and rows are read once, and not kept."""
    chains: dict[str, Chain] = {}
    for entry in entries:
        kind = snapshot.kinds.get(entry.entity_type)
        if kind is not None:
            chain = chains.get(kind.name)
            if chain is None:
                chain = chains[kind.name] = Chain(snapshot, kind, about)
            yield from chain.follow(entry)
        elif entry.entity_type not in snapshot.known_types and (entry.entity_type, "") not in snapshot.since:
            yield finding("unknown", about, f"nobody knows the entity type {entry.entity_type!r}")
    for row in rows:
        chain = chains.pop(row.kind.name, None) or Chain(snapshot, row.kind, about)
        yield from chain.compare(row)
    for chain in chains.values():
        yield from chain.without_row()


class Chain:
    """What the log says of one entity, entry by entry."""

    def __init__(self, snapshot: Snapshot, kind: Kind, about: Any) -> None:
        self._snapshot = snapshot
        self._kind = kind
        self._about = about
        self._values: dict[str, str | None] = {}
        self._created: Row[Any] | None = None
        self._last: Row[Any] | None = None
        self._settled = False  # an entry has followed that is not part of the creation
        self._begun = False
        self._ended = False
        self._blamed = False  # for its beginning
        self._owners: set[int | None] = set()

    @property
    def _whole(self) -> bool:
        """Whether the log has all of it, from the creation on."""
        return self._created is not None and not self._snapshot.is_split(self._created.change_set)

    def _find(self, what: str, detail: str, entry: Row[Any] | None = None) -> Finding:
        where = "" if entry is None else f" (at {entry.position or 'the outbox'})"
        return finding(what, self._about, f"{self._kind.name}{detail}{where}")

    def follow(self, entry: Row[Any]) -> Iterator[Finding]:
        self._last = entry
        self._owners.add(entry.owner_id)
        if entry.kind == ChangeKind.CREATED.name:
            yield from self._create(entry)
        elif self._ended:
            yield self._find("after the end", f" is {entry.kind} after its deletion", entry)
        elif entry.kind == ChangeKind.UPDATED.name:
            yield from self._update(entry)
        elif entry.kind == ChangeKind.DELETED.name:
            yield from self._delete(entry)
        else:
            yield self._find("malformed", f" is {entry.kind!r}, which is no kind of change", entry)
        self._begun = True

    def _create(self, entry: Row[Any]) -> Iterator[Finding]:
        name = entry.attribute
        if self._ended or not self._begun:
            self._values, self._created, self._settled, self._ended = {}, entry, False, False
        elif self._created is None or self._settled or self._created.change_set != entry.change_set:
            yield self._find("created twice", f" is created{_of(name)} when it is there already", entry)
            return
        if name is None:
            if entry.new_value is not None:
                yield self._find("malformed", " is created with a value of no attribute", entry)
        elif name in self._values:
            yield self._find("created twice", f".{name} is created twice", entry)
        elif (yield from self._knows(entry)):
            if entry.old_value is not None:
                yield self._find("malformed", f".{name} is created with an old value", entry)
            self._values[name] = entry.new_value

    def _update(self, entry: Row[Any]) -> Iterator[Finding]:
        name, old, new = entry.attribute, entry.old_value, entry.new_value
        self._settled = True
        yield from self._must_have_begun(entry)
        if name is None:
            yield self._find("malformed", " changes without an attribute", entry)
            return
        if not (yield from self._knows(entry)):
            return
        if name not in self._kind.secrets:
            if name not in self._values and not self._is_free(name):
                self._values[name] = None
            if name in self._values and not self._same(name, self._values[name], old):
                yield self._find("broken chain", f".{name} has another value before than {_short(old)}", entry)
            if old == new:
                yield self._find("says nothing", f".{name} stays {_short(new)}", entry)
        self._values[name] = new

    def _delete(self, entry: Row[Any]) -> Iterator[Finding]:
        yield from self._must_have_begun(entry)
        if entry.attribute is not None or entry.old_value is not None or entry.new_value is not None:
            yield self._find("malformed", " is deleted with values", entry)
        self._ended = True
        self._values.clear()

    def _knows(self, entry: Row[Any]) -> Generator[Finding, None, bool]:
        """Whether this version can follow the attribute; those that it does not have any more are passed over."""
        name = entry.attribute
        if name == AUDIENCE:
            return False
        if name not in self._kind.codecs:
            if (self._kind.name, name) not in self._snapshot.since:
                yield self._find("unknown", f" has no attribute {name!r}", entry)
            return False
        if name in self._kind.secrets:
            if entry.old_value is not None or entry.new_value is not None:
                yield self._find("secret told", f".{name} is secret, and the log has a value", entry)
        else:
            texts = (entry.new_value,) if name in self._values else (entry.old_value, entry.new_value)
            for text in texts:
                if not self._kind.can_read(name, text):
                    yield self._find("unreadable", f".{name} cannot be {_short(text)}", entry)
        return True

    def _must_have_begun(self, entry: Row[Any]) -> Iterator[Finding]:
        """When nothing is known of its row yet; `compare` looks again."""
        old = self._snapshot.may_be_pruned(None) or self._snapshot.may_be_older(self._kind.name, "", None, None)
        if not self._begun and not old:
            self._blamed = True
            yield self._find("no beginning", f" is {entry.kind} before it is created", entry)

    def _is_free(self, name: str) -> bool:
        """Whether the value before the first entry may be any: it was pruned, or is older than the tracking."""
        if not self._whole or self._created is None:
            return True
        moment = self._moment(self._created)
        return self._snapshot.may_be_older(self._kind.name, name, self._created.position, moment)

    def _moment(self, entry: Row[Any]) -> datetime | None:
        try:
            return self._snapshot.moment(entry.occurred_at)  # type: ignore[no-any-return]
        except UNREADABLE:
            return None

    def _same(self, name: str, told: str | None, other: str | None) -> bool:
        alike = ALIKE.get((self._kind.name, name), {})
        return self._kind.same(name, alike.get(told or "", told), alike.get(other or "", other))

    def compare(self, row: TrackedRow) -> Iterator[Finding]:
        """Hold the end of the chain against the row."""
        if row.fault is not None:
            yield self._find("half a row", f" {row.fault}")
        if self._ended:
            yield self._find("deleted and there", " is there, and the log says that it was deleted")
            return
        if self._created is None and not self._may_be_old(row):
            if not self._blamed:
                what, detail = ("no beginning", "no creation") if self._begun else ("unrecorded", "no event")
                yield self._find(what, f" has {detail} in the log")
            return
        for name, text in row.texts.items():
            yield from self._compare_value(name, text)
        if row.owner_id is not None and self._owners - {row.owner_id}:
            yield self._find("wrong owner", f" belongs to the user {row.owner_id}, and the log says otherwise")

    def _compare_value(self, name: str, text: Any) -> Iterator[Finding]:
        if text is DAMAGED:
            yield self._find("unreadable", f".{name} holds a value in the row that it cannot have")
        elif name not in self._values:
            if text is not None and not self._is_free(name):
                yield self._find("unrecorded", f".{name} has no event")
        elif name not in self._kind.secrets and not self._same(name, self._values[name], text):
            yield self._find("differs", f".{name} is not what the log says")

    def _may_be_old(self, row: TrackedRow) -> bool:
        old = self._snapshot.may_be_older(self._kind.name, "", None, row.created_at)
        return old or self._snapshot.may_be_pruned(row.created_at)

    def without_row(self) -> Iterator[Finding]:
        if not self._ended and not (self._kind.root is Delivery and self._may_be_pruned()):
            yield self._find("missing row", " is not there, and the log does not say that it was deleted")

    def _may_be_pruned(self) -> bool:
        """Whether this is a message that had ended and was forgotten, which is no change."""
        if self._last is None or self._values.get("state") not in ENDED:
            return False
        return was_pruned(self._snapshot, self._moment(self._last))


def was_pruned(snapshot: Snapshot, ended_at: datetime | None) -> bool:
    """Whether a message that ended then may have been forgotten."""
    before = snapshot.pruned_before
    return before is not None and ended_at is not None and ended_at < before + SLACK


def _of(attribute: str | None) -> str:
    return "" if attribute is None else f" with {attribute}"


def _short(text: str | None) -> str:
    return "NULL" if text is None else repr(text if len(text) <= 40 else text[:39] + "…")
