"""What rules have owed, held against the messages that are there.

Events, messages, and messages that are gone are read in the order of their change sets, side by side.
"""

import heapq
import json
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from operator import attrgetter
from typing import Any

from sqlalchemy import Row, Select, func, literal, null, select

from gql_app.changes.models import ChangeKind, ChangeOutbox, ChangeRecord
from gql_app.changes.stored import UNREADABLE
from gql_app.deliveries.models import Delivery
from gql_app.reconcile.chains import ENDED, was_pruned
from gql_app.reconcile.findings import Finding
from gql_app.reconcile.snapshot import Snapshot, finding, raw

EVENT, MESSAGE, GONE = range(3)

_change_set = attrgetter("change_set")

Owing = tuple[Any, str, str]
"""The entity that was the cause, the rule, the channel."""


def look(snapshot: Snapshot) -> Iterator[Finding]:
    streams = [snapshot.rows(query) for query in (*_events(), _messages(), _gone())]
    for change_set, rows in groupby(heapq.merge(*streams, key=_change_set), _change_set):
        if not snapshot.is_split(change_set):  # a decision of it may be pruned
            yield from ChangeSet(snapshot).judge(rows)


def _events() -> Iterator[Select[Any]]:
    for table in (ChangeRecord, ChangeOutbox):
        yield select(
            literal(EVENT).label("what"),
            raw(table.change_set, "change_set"),
            raw(table.entity_id, "about"),
            table.decisions,
        ).order_by(table.change_set)


def _messages() -> Select[Any]:
    """Those that rules have owed. Their texts are not read: the length tells two different ones apart."""
    return (
        select(
            literal(MESSAGE).label("what"),
            raw(Delivery.change_set, "change_set"),
            raw(Delivery.cause_id, "about"),
            Delivery.rule,
            raw(Delivery.channel, "channel"),
            Delivery.recipient,
            Delivery.subject,
            func.length(func.coalesce(Delivery.body, Delivery.template.concat(Delivery.template_values))).label(
                "length"
            ),
            raw(Delivery.created_at, "created_at"),
        )
        .where(Delivery.cause_id.is_not(None))
        .order_by(Delivery.change_set)
    )


def _gone() -> Select[Any]:
    """Messages that the log tells of and that are not there, with their last states."""
    latest = select(func.max(ChangeRecord.position)).where(ChangeRecord.entity_id == _created.c.entity_id)
    return (
        select(
            literal(GONE).label("what"),
            raw(_created.c.change_set, "change_set"),
            _last.c.new_value.label("state"),
            raw(_last.c.occurred_at, "occurred_at"),
        )
        .select_from(_created)
        .outerjoin(Delivery.__table__, Delivery.public_id == _created.c.entity_id)
        .join(_last, _last.c.position == latest.scalar_subquery())
        .where(
            _created.c.entity_type == Delivery.__entity__,
            _created.c.kind == ChangeKind.CREATED,
            Delivery.id == null(),
        )
        .order_by(_created.c.change_set)
    )


_created: Any = ChangeRecord.__table__.alias("created")
_last: Any = ChangeRecord.__table__.alias("last")


class ChangeSet:
    """What was committed together: its events, what they owe, and the messages of it."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._subjects: set[Any] = set()
        self._owed: Counter[Owing] = Counter()
        self._known = False
        self._there: Counter[Owing] = Counter()
        self._alike: Counter[tuple[Any, ...]] = Counter()
        self._forgotten = 0

    def judge(self, rows: Iterator[Row[Any]]) -> Iterator[Finding]:
        for row in rows:  # the events first, then the messages, then what is gone
            if row.what == EVENT:
                yield from self._add_event(row)
            elif row.what == MESSAGE:
                yield from self._add_message(row)
            elif row.state in ENDED and was_pruned(self._snapshot, self._moment(row.occurred_at)):
                self._forgotten += 1
        if self._known:
            yield from self._compare()
        else:
            yield from self._find_doubled()

    def _add_event(self, row: Row[Any]) -> Iterator[Finding]:
        self._subjects.add(row.about)
        if row.decisions is None:
            return
        self._known = True
        try:
            for rule, decision in json.loads(row.decisions).items():
                for channel, count in decision.get("owed", {}).items():
                    self._owed[row.about, rule, str(channel)] += int(count)
        except (AttributeError, *UNREADABLE):
            self._known = False
            yield finding("unreadable", row.about, f"the decisions of the change set {row.change_set} cannot be read")

    def _add_message(self, row: Row[Any]) -> Iterator[Finding]:
        owing = (row.about, row.rule, row.channel)
        self._there[owing] += 1
        if not self._known:
            self._alike[*owing, row.recipient, row.subject, row.length] += 1
        if row.about not in self._subjects and not self._snapshot.may_be_pruned(self._moment(row.created_at)):
            detail = (
                f"{row.rule} owes a message by {row.channel} for the change set {row.change_set}, which has no event"
            )
            yield finding("owed by nothing", row.about, detail)

    def _moment(self, value: Any) -> Any:
        try:
            return self._snapshot.moment(value)
        except UNREADABLE:
            return None

    def _compare(self) -> Iterator[Finding]:
        """Where decisions were written down they are complete: the counts must be equal."""
        missing = self._owed - self._there
        if missing.total() > self._forgotten:
            for (about, rule, channel), count in missing.items():
                yield finding("missing message", about, f"{rule} owes {count} more by {channel}")
        for (about, rule, channel), count in (self._there - self._owed).items():
            if about not in self._subjects:
                continue  # found already
            if self._owed[about, rule, channel]:
                yield finding("owed twice", about, f"{rule} has {count} more messages by {channel} than it owes")
            else:
                yield finding("owed by nothing", about, f"{rule} has {count} messages by {channel} and owes none")

    def _find_doubled(self) -> Iterator[Finding]:
        """Where nothing was written down (by an older version), two messages that are alike are one too many."""
        for (about, rule, channel, *_), count in self._alike.items():
            if count > 1:
                yield finding("owed twice", about, f"{rule} has {count} equal messages by {channel} to one recipient")
