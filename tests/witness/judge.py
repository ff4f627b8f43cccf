"""Holds what the triggers saw against what the log says, transaction by transaction."""

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from gql_app.changes.models import AUDIENCE
from tests.witness.images import Entry, Image, Testimony
from tests.witness.kinds import PRUNED, Attribute, Kind, Row
from tests.witness.tracing import Step, Tracer
from tests.witness.triggers import CHANGED
from tests.witness.values import denotes, meaning


def judge(testimony: Testimony, kinds: Iterable[Kind]) -> list[str]:
    """A sentence about every disagreement; none where the log is right."""
    kinds = list(kinds)
    secrets = {(kind.entity, each.name) for kind in kinds for each in kind.attributes if each.secret}
    tracer = Tracer(kinds)
    transactions: dict[str, Transaction] = {}
    for name, image in _by_transaction(testimony.images):
        transaction = transactions.setdefault(name, Transaction(name, secrets))
        if image.op == "LOG":
            assert image.new is not None
            transaction.entries.append(Entry.of(image.new))
        else:
            for step in tracer.steps(image):
                transaction.take(step)
    return [
        *tracer.wrong,
        *(sentence for transaction in transactions.values() for sentence in transaction.disagreements()),
        *_shared_change_sets(transactions.values()),
        *_log_as_told(_in_order(testimony.images), testimony.kept, testimony.pruned_through, secrets),
    ]


def _in_order(images: Sequence[Image]) -> list[Entry]:
    return [Entry.of(image.new) for image in images if image.op == "LOG" and image.new is not None]


def _by_transaction(images: Sequence[Image]) -> Iterator[tuple[str, Image]]:
    """Each image with the name of its transaction.

    On SQLite there is one writer at a time and entries are written right before the commit: a transaction is all up to
    and with the following entries of one change set. One without entries is counted to the next one.
    """
    number, closing = 1, None
    for image in images:
        if image.tx is not None:
            yield f"transaction {image.tx}", image
            continue
        change_set = image.new["change_set"] if image.op == "LOG" and image.new else None
        if closing is not None and change_set != closing:
            number += 1
        closing = change_set
        yield f"transaction {number}", image


@dataclass(slots=True)
class Life:
    """What became of one entity in one transaction, from its first to its last row image.

    `rows` are its rows before and after, `last` is the base row at the end, or right before its own end. `marks` counts
    how often each secret column was replaced.
    """

    kind: Kind
    entity: UUID
    existed: bool
    ended: bool = False
    rows: dict[str, tuple[Row | None, Row | None]] = field(default_factory=dict)
    marks: Counter[str] = field(default_factory=Counter)
    last: Row | None = None
    owner_row: Row | None = None
    images: list[int] = field(default_factory=list)

    def absorb(self, step: Step) -> None:
        first = self.rows[step.table][0] if step.table in self.rows else step.old
        self.rows[step.table] = (first, step.new)
        if step.of_base:
            self.ended = step.new is None
            self.last = step.new or step.old
        self.owner_row = step.owner_row or self.owner_row
        self.images.append(step.image)
        if step.old is not None and step.new is not None:
            for column in self.kind.secrets_of(step.table):
                self.marks[column] += step.new[column] == CHANGED or (step.new[column] is None) != (
                    step.old[column] is None
                )

    @property
    def owner(self) -> int | None:
        if self.kind.owner is None:
            return None
        table, column = self.kind.owner
        # Of its end those hear who could see it before the transaction.
        row = self.rows.get(table, (None, None))[0] if self.ended else self.owner_row
        owner: int | None = None if row is None else row[column]
        return owner

    @property
    def about(self) -> str:
        return f"{self.kind.entity} {self.entity} (images {self.images[0]}…{self.images[-1]})"

    def expected(self) -> Iterator["Expected"]:
        """The entries that this life is worth."""
        if self.ended:
            if self.existed:
                prunable = PRUNED.get(self.kind.entity)
                yield Expected(self, "DELETED", optional=bool(prunable and self.last and prunable(self.last)))
            return
        kind = "UPDATED" if self.existed else "CREATED"
        changed = [each for each in map(self._change, self.kind.attributes) if each is not None]
        yield from changed
        if kind == "CREATED" and not changed:
            yield Expected(self, kind)

    def _change(self, attribute: Attribute) -> "Expected | None":
        before, after = self.rows.get(attribute.table, (None, None))
        old, new = (None if row is None else row[attribute.column] for row in (before, after))
        kind = "UPDATED" if self.existed else "CREATED"
        if attribute.secret:
            if (old is None) != (new is None):
                return Expected(self, kind, attribute)
            marks = self.marks[attribute.column] if old is not None else 0
            # Replaced several times: perhaps by the first value in the end. The marks cannot tell.
            return Expected(self, kind, attribute, optional=marks > 1) if marks else None
        old, new = meaning(attribute.type, old), meaning(attribute.type, new)
        return None if old == new else Expected(self, kind, attribute, old, new)


@dataclass(frozen=True, slots=True)
class Expected:
    """An entry that must be there, or with `optional` may be."""

    life: Life
    kind: str
    attribute: Attribute | None = None
    old: Any = None
    new: Any = None
    optional: bool = False

    @property
    def name(self) -> str | None:
        return None if self.attribute is None else self.attribute.name

    def __str__(self) -> str:
        if self.attribute is None:
            return f"{self.life.about} was {self.kind}"
        change = "" if self.attribute.secret else f" from {self.old!r} to {self.new!r}"
        return f"{self.life.about} was {self.kind}: {self.name} changed{change}"

    @property
    def place(self) -> tuple[str, UUID, str | None]:
        """What its entry is about."""
        return self.life.kind.entity, self.life.entity, self.name

    def compare(self, entry: Entry) -> Iterator[str]:
        """What this entry says wrong."""
        if entry.kind != self.kind:
            yield f"{self}, and its entry says {entry.kind}"
        if self.attribute is not None and self.attribute.secret:
            if entry.old_value is not None or entry.new_value is not None:
                yield f"{self}, and its entry holds a value of this secret attribute"
        else:
            for which, text, value in (("old", entry.old_value, self.old), ("new", entry.new_value, self.new)):
                if not denotes(text, value):
                    yield f"{self}, and its entry has the {which} value {text!r}"
        if self.life.kind.names_owner and entry.owner_id != self.life.owner:
            yield f"{self} and belongs to {self.life.owner}, and its entry has the owner {entry.owner_id}"


@dataclass(slots=True)
class Transaction:
    """One transaction: what became of its entities, and its entries."""

    name: str
    secrets: set[tuple[str, str]]
    lives: dict[tuple[str, UUID], list[Life]] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)

    def take(self, step: Step) -> None:
        lives = self.lives.setdefault((step.kind.entity, step.entity), [])
        begins = step.of_base and step.old is None
        if not lives or begins:
            lives.append(Life(step.kind, step.entity, existed=not begins))
        lives[-1].absorb(step)

    def disagreements(self) -> Iterator[str]:
        unexplained = defaultdict(list)
        for entry in self.entries:
            unexplained[entry.entity_type, entry.entity_id, entry.attribute].append(entry)
        for each in [each for lives in self.lives.values() for life in lives for each in life.expected()]:
            found = unexplained[each.place]
            if found:
                entry = next((entry for entry in found if entry.kind == each.kind), found[0])
                found.remove(entry)
                yield from (f"{self.name}: {sentence}" for sentence in each.compare(entry))
            elif not each.optional:
                yield f"{self.name}: {each}, and no entry says so"
        for entry in itertools.chain.from_iterable(unexplained.values()):
            if entry.attribute == AUDIENCE and entry.old_value is entry.new_value is None:
                continue  # who may see it is judged by `tests/audiences`
            yield f"{self.name}: no row image explains the entry {describe(entry, self.secrets)}"
        if len(change_sets := {entry.change_set for entry in self.entries}) > 1:
            yield f"{self.name}: it has {len(change_sets)} change sets"


def _shared_change_sets(transactions: Iterable[Transaction]) -> Iterator[str]:
    found = defaultdict(list)
    for transaction in transactions:
        for change_set in {entry.change_set for entry in transaction.entries}:
            found[change_set].append(transaction.name)
    for change_set, names in found.items():
        if len(names) > 1:
            yield f"the change set {change_set} is that of {' and '.join(names)}"


def _log_as_told(
    told: Iterable[Entry], kept: Iterable[Entry], pruned_through: int, secrets: set[tuple[str, str]]
) -> Iterator[str]:
    """Except for what was pruned, the log must hold what was written into it, in the same order for each entity."""
    written, there = defaultdict(list), defaultdict(list)
    for entry in told:
        if entry.position is None or entry.position > pruned_through:
            written[entry.entity_type, entry.entity_id].append(entry)
    for entry in kept:
        there[entry.entity_type, entry.entity_id].append(entry)
    for about in {**written, **there}:
        before, after = written[about], there[about]
        if before == after or (pruned_through and after == before[len(before) - len(after) :]):
            continue
        gone, foreign = list(_beyond(before, after)), list(_beyond(after, before))
        for entry in gone:
            yield f"an entry was written and is not in the log any more: {describe(entry, secrets)}"
        for entry in foreign:
            yield f"an entry is in the log and was never written as such: {describe(entry, secrets)}"
        if not gone and not foreign:
            yield f"the entries of {about[0]} {about[1]} are in the log in another order than they were written"


def _beyond(some: Sequence[Entry], others: Iterable[Entry]) -> Iterator[Entry]:
    rest = list(others)
    for entry in some:
        if entry in rest:
            rest.remove(entry)
        else:
            yield entry


def describe(entry: Entry, secrets: set[tuple[str, str]]) -> str:
    """An entry in words; a secret that should not be in it is not repeated."""
    text = f"{entry.kind} {entry.entity_type} {entry.entity_id}"
    if entry.attribute is None:
        return text
    values = "" if (entry.entity_type, entry.attribute) in secrets else f": {entry.old_value!r} → {entry.new_value!r}"
    return f"{text} {entry.attribute}{values}"
