"""What the steps of a program share: the session, and the rows that are the program's own."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from sqlalchemy import and_
from sqlalchemy.orm import Session

from tests.changes.property.models import KINDS, Crate, Port, Seal, Ship

SPAN = 100
"""Keys from one program to the next. Programs share tables, and never touch each other's rows."""


class Oops(Exception):
    """What units of work, rules and listeners raise."""


class Skipped(Exception):
    """The row that a step is about is not there."""


ACCIDENTS = (AssertionError, LookupError, AttributeError, NameError, ArithmeticError)
"""What nobody raises to refuse something: no step catches them."""


@dataclass(frozen=True)
class Act:
    """A unit of work while it runs. Rows are called by small numbers. It holds on to the objects that it finds."""

    session: Session
    base: int
    held: list[object] = field(default_factory=list)

    def key(self, kind: str, n: int) -> Any:
        return f"{self.base + n}" if kind == "Seal" else self.base + n

    def find(self, kind: str, n: int) -> Any:
        """Raises Skipped."""
        found = self.session.get(KINDS[kind], self.key(kind, n))
        if found is None:
            raise Skipped
        self.held.append(found)
        return found

    def must_be_free(self, kind: str, n: int) -> None:
        """Raises Skipped where a row of this number is there."""
        root = kind if kind in ("Crate", "Seal") else "Ship"
        if self.session.get(KINDS[root], self.key(kind, n)) is not None:
            raise Skipped

    def new(self, kind: str, n: int, **values: Any) -> Any:
        """A new object, in the session only if the caller adds it."""
        key = {"name" if kind == "Seal" else "id": self.key(kind, n)}
        return KINDS[kind](**key, **{name: self.value(name, value) for name, value in values.items()})

    def value(self, name: str, value: Any) -> Any:
        """What a step's value means for this program: numbers of rows become keys."""
        if value is not None and name in ("ship_id", "crate_id", "next_id", "rank") and isinstance(value, int):
            return self.base + value
        return dict(value) if isinstance(value, dict) else value

    def mine(self, model: type[Any]) -> Any:
        """The criterion that holds a statement on this program's rows."""
        column = {Crate: Crate.ship_id, Seal: Seal.crate_id, Port: Port.id}.get(model, Ship.id)
        return and_(column >= self.base, column < self.base + SPAN)


class Step(Protocol):
    """One step of a unit of work: a frozen dataclass, whose repr is the code that makes it."""

    def run(self, it: Act) -> None: ...


def run_all(steps: tuple[Step, ...], it: Act) -> None:
    for step in steps:
        with suppress(Skipped):
            step.run(it)


def populate(session: Session, bases: Iterable[int]) -> None:
    """What programs find: each two ships, a tanker and a tug, with crates, seals and ports."""
    acts = [Act(session, base) for base in bases]
    session.add_all(each for it in acts for each in _things(it))
    session.flush()
    for it in acts:
        it.find("Ship", 1).next_id = it.key("Ship", 2)


def _things(it: Act) -> Iterator[object]:
    yield it.new("Ship", 1, captain=1, name="a", spec={"k": 1}, depth=5)
    yield it.new("Ship", 2, captain=2, mood="CALM", plan={"a": [1, "x"]}, depth=1, code="s")
    yield it.new("Tanker", 3, captain=1, name="c", cargo="oil", rank=3)
    yield it.new("Tug", 4, name="d", power=1.5, depth=4)
    for n, label, ship in ((1, "x", 1), (2, "y", 1), (3, "z", 3)):
        yield it.new("Crate", n, label=label, ship_id=ship)
    yield it.new("Seal", 1, mood="WILD", crate_id=1)
    yield it.new("Seal", 2, crate_id=3)
    for n in (1, 2, 3, 4):
        yield Port(id=it.base + n, ship_id=it.base + n, title=f"port {n}")
