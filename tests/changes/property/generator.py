"""Makes a program of a seed. The same seed makes the same program, for ever on one version of this file."""

import copy
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from tests.changes.property import frames, objects, past, statements
from tests.changes.property.acting import Step
from tests.changes.property.program import Program, Round, Unit
from tests.changes.property.rules import BOOM

SHIPS, CRATES, SEALS = 5, 4, 3
"""So many rows are called by their numbers: some are there at the start, some are not."""
START = datetime(2026, 1, 1, tzinfo=UTC)
NUMBERS = {"Ship": SHIPS, "Tanker": SHIPS, "Tug": SHIPS, "Crate": CRATES, "Seal": SEALS}
ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "Ship": ("name", "code", "mood", "spec", "plan", "price", "since", "depth", "rank", "next_id", "captain"),
    "Tanker": ("name", "depth", "cargo", "full"),
    "Tug": ("name", "depth", "power"),
    "Crate": ("label", "ship_id"),
    "Seal": ("mood", "crate_id"),
}

JSONS = [{key: value} for key in "kl" for value in (1, 2, "x", None, [1, {"y": "z"}])]
GIVEN: dict[str, Sequence[Any]] = {
    "ship_id": range(1, 5),
    "crate_id": range(1, 5),
    "depth": (0, 2, 3, 5) * 4 + (-1,),
    "captain": range(1, 4),
    "name": ("a", "b", "c", "é'", "") * 3 + (BOOM,),
    "mood": ("CALM", "WILD"),
    "spec": JSONS,
    "plan": JSONS,
    "price": [Decimal(text) for text in ("1.50", "1.5", "0", "-2.25", "99999999.99")],
    "since": [START + timedelta(minutes=n, microseconds=n % 2) for n in range(3)],
    "rank": range(1, 5),
    "next_id": range(1, 5),
    "full": (True, False),
    "power": (0.1, 1.5, -0.0, 1e30),
    "code": ("x", "y", "z"),
    "cargo": ("x", "y", "z"),
    "label": ("x", "y", "z"),
}
NEVER_NULL = {"ship_id", "crate_id", "depth"}


class Generator:
    def __init__(self, seed: int) -> None:
        self.random = Random(seed)

    def program(self) -> Program:
        return tuple(self._round() for _ in range(self.random.randint(1, 3)))

    def _round(self) -> Round:
        count = self.random.choices((1, 2, 3), (8, 3, 1))[0]
        return tuple(self._unit() for _ in range(count))

    def _unit(self) -> Unit:
        steps = self._steps(self.random.randint(1, 6), depth=0)
        if self._rarely(12):
            steps = (*steps, frames.Fail())
        if self._rarely(5):
            return Unit(steps, self.random.randrange(40), hard=self._rarely(2))
        return Unit(steps)

    def _steps(self, count: int, depth: int) -> tuple[Step, ...]:
        return tuple(self._step(depth) for _ in range(count))

    def _step(self, depth: int) -> Step:
        if depth < 3 and self._rarely(4):
            return self._frame(depth)
        return self.random.choices(
            (self._object, self._relation, self._bulk, self._odd, self._past), (40, 15, 25, 20, 2)
        )[0]()

    def _frame(self, depth: int) -> Step:
        choose = self.random.choice
        steps = self._steps(self.random.randint(1, 3), depth + 1)
        match self.random.choices(("nested", "caught", "faulty", "quietly", "commit"), (8, 2, 6, 4, 2))[0]:
            case "nested":
                ending = choose(("commit", "rollback", "open", "error"))
                return frames.Nested(steps, ending, of_connection=self._rarely(4))
            case "caught":
                return frames.Caught(steps)
            case "faulty":
                return self._faulty(steps)
            case "quietly":
                return frames.Quietly(steps)
        steps = (*steps, frames.Commit(back=self._rarely(4)))
        if self._rarely(2):
            steps = (frames.Faulty(steps, self.random.randint(1, 12), after=not self._rarely(3)),)
        elif self._rarely(2):
            steps = (objects.Assign("Ship", self._number("Ship"), {"name": BOOM}), *steps)
        return frames.Caught(steps)

    def _faulty(self, steps: tuple[Step, ...]) -> Step:
        """An error in the middle, which is caught where nothing, all, or a savepoint inside is rolled back."""
        fault = frames.Faulty((*steps, objects.Flush()), self.random.randint(1, 6), after=not self._rarely(3))
        match self.random.choice(("caught", "caught within", "rolled back")):
            case "caught":
                return frames.Caught((fault,))
            case "caught within":
                return frames.Nested((frames.Caught((fault,)),), self.random.choice(("commit", "open", "rollback")))
        return frames.Nested((fault,), "error")

    def _object(self) -> Step:
        kind, n = self._row()
        match self.random.choices(("assign", "add", "delete", "in place", "flush"), (10, 4, 4, 2, 4))[0]:
            case "assign":
                return objects.Assign(kind, n, self._values(kind))
            case "add":
                return objects.Add(kind, n, self._whole(kind), blind=self._rarely(12))
            case "delete":
                return objects.Delete(kind, n, self._whole(kind) if self._rarely(4) else {})
            case "in place":
                key, value = self.random.choice("kl"), self.random.randint(2, 4)
                return objects.InPlace(self.random.randint(1, 2), key, value, self.random.choice(objects.IN_PLACE))
        return objects.Flush()

    def _relation(self) -> Step:
        flip = self._rarely(2)
        kind = "Crate" if flip else "Seal"
        parent = "Ship" if flip else "Crate"
        match self.random.choice(("orphan", "load", "point", "point", "rename")):
            case "orphan":
                return objects.Orphan(kind, self._number(parent), all=self._rarely(2))
            case "load":
                return objects.Load(kind, self._number(kind), self._number(parent))
            case "point":
                to = None if self._rarely(4) else self._number("Ship")
                return objects.Point(self._number("Ship"), to, back=self._rarely(3))
        return objects.Rename(self._number("Seal"), self._number("Seal"))

    def _odd(self) -> Step:
        kind, n = self._row()
        half = self._rarely(2)
        match self.random.choice(("replace", "merge", "expunge", "transient", "clone", "forget")):
            case "replace":
                other = "Tug" if kind == "Ship" and self._rarely(4) else ""
                return objects.Replace(kind, n, self._whole(kind), other, flush=half)
            case "merge":
                return objects.Merge(kind, n, self._whole(kind), expunged=half)
            case "expunge":
                return objects.Expunge(kind, n, self._values(kind), flush=half, back=self._rarely(2))
            case "transient":
                before, after, to = self._values(kind), self._values(kind), self._number(kind)
                return objects.Transient(kind, n, to, before, after, again=half, same=self._rarely(4))
            case "clone":
                return objects.Clone(kind, n, self._number(kind), public_id=self._rarely(6))
        return objects.Forget(kind, n, refresh=half)

    def _bulk(self) -> Step:
        kind = self.random.choices(("Ship", "Tug", "Crate", "Seal"), (6, 2, 3, 2))[0]
        rows = tuple(sorted({self._number("Ship") for _ in range(self.random.randint(0, 3))}))
        form = self.random.choices(("plain", "join", "cte", "subquery", "exists"), (4, 2, 2, 1, 1))[0]
        criteria = statements.Criteria(form, rows)
        sync = self.random.choice(("auto", "evaluate", "fetch", False, None))
        options = {} if sync is None else {"synchronize_session": sync}
        if self._rarely(8):
            options["autoflush"] = False
        if self._rarely(4):
            kind = self.random.choices(("Ship", "Tug", "Crate", "Seal"), (1, 1, 2, 4))[0]
            return statements.Remove(kind, criteria, returning=self._rarely(3), options=options)
        computed = self.random.choice(("depth", "rank", "name", "label")) if self._rarely(3) else None
        values = self._values(kind)
        titled = kind in ("Ship", "Tug") and rows != () and self._rarely(3)
        for name in (computed, "name" if titled else None):
            values.pop(name or "", None)
        return statements.Update(
            kind,
            values,
            criteria,
            (computed,) if computed and not (titled and computed == "name") else (),
            returning=self._rarely(3),
            options=options,
            titled=titled,
        )

    def _past(self) -> Step:
        return past.Past(self.random.choice(tuple(past.FORMS)))

    def _row(self) -> tuple[str, int]:
        kind = self.random.choices(tuple(NUMBERS), (6, 2, 2, 4, 2))[0]
        return kind, self._number(kind)

    def _number(self, kind: str) -> int:
        return self.random.randint(1, NUMBERS[kind])

    def _values(self, kind: str) -> dict[str, Any]:
        names = self.random.sample(ATTRIBUTES[kind], self.random.randint(1, 2))
        return {name: self._value(name) for name in names}

    def _whole(self, kind: str) -> dict[str, Any]:
        """Values of a new row."""
        parent = {"Crate": "ship_id", "Seal": "crate_id"}.get(kind)
        owned = {"captain": self._value("captain")} if kind == "Ship" else {}
        return owned | self._values(kind) | ({parent: self._value(parent)} if parent else {})

    def _value(self, name: str) -> Any:
        given = GIVEN[name]
        if name not in NEVER_NULL and self._rarely(7):
            return None
        return copy.deepcopy(self.random.choice(given))

    def _rarely(self, one_in: int) -> bool:
        return self.random.randrange(one_in) == 0


def program(seed: int) -> Program:
    return Generator(seed).program()
