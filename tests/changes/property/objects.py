"""Steps that change objects, which the session flushes."""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import inspect
from sqlalchemy.orm import make_transient
from sqlalchemy.orm.attributes import flag_modified

from tests.changes.property.acting import Act, Skipped
from tests.changes.property.models import KINDS, Crate, Seal, Ship

Values = dict[str, Any]


@dataclass(frozen=True)
class Add:
    """A new object; ``blind``: though there may be one with its key."""

    kind: str
    n: int
    values: Values
    blind: bool = False

    def run(self, it: Act) -> None:
        if not self.blind:
            it.must_be_free(self.kind, self.n)
        it.session.add(it.new(self.kind, self.n, **self.values))


@dataclass(frozen=True)
class Assign:
    kind: str
    n: int
    values: Values

    def run(self, it: Act) -> None:
        found = it.find(self.kind, self.n)
        for name, value in self.values.items():
            if hasattr(type(found), name):
                setattr(found, name, it.value(name, value))


IN_PLACE = ("flagged", "assigned", "unseen")


@dataclass(frozen=True)
class InPlace:
    """Change a JSON in place. Then: tell the session, or assign another value, or tell nobody, so that it is lost.

    `spec` is of a type that tells the session by itself.
    """

    n: int
    key: str
    value: int
    then: str = "flagged"

    def run(self, it: Act) -> None:
        ship = it.find("Ship", self.n)
        if self.then == "unseen":
            ship.plan = {"k": 0}
            it.session.flush()
        if ship.spec is not None:
            ship.spec[self.key] = self.value
        if isinstance(ship.plan, dict):
            ship.plan[self.key] = self.value
            if self.then == "flagged":
                flag_modified(ship, "plan")
        if self.then == "assigned":
            ship.spec, ship.plan = ({**(each or {}), "m": self.value} for each in (ship.spec, ship.plan))


@dataclass(frozen=True)
class Delete:
    """Delete an object, with `values` that were assigned and never reach the row."""

    kind: str
    n: int
    values: Values = field(default_factory=dict)

    def run(self, it: Act) -> None:
        found = it.find(self.kind, self.n)
        with it.session.no_autoflush:
            Assign(self.kind, self.n, self.values).run(it)
            it.session.delete(found)
            if self.values:
                it.session.flush()


@dataclass(frozen=True)
class Replace:
    """Delete one and add another under its key; `flush` between the two."""

    kind: str
    n: int
    values: Values
    other: str = ""
    flush: bool = False

    def run(self, it: Act) -> None:
        it.session.delete(it.find(self.kind, self.n))
        if self.flush:
            it.session.flush()
        it.session.add(it.new(self.other or self.kind, self.n, **self.values))


@dataclass(frozen=True)
class Merge:
    """Merge a copy of a row that came from elsewhere; or of one that is not there."""

    kind: str
    n: int
    values: Values
    expunged: bool = False

    def run(self, it: Act) -> None:
        root = Ship if self.kind not in ("Crate", "Seal") else KINDS[self.kind]
        found: Any = it.session.get(root, it.key(self.kind, self.n))
        if found is not None and type(found) is not KINDS[self.kind]:
            raise Skipped
        copy = it.new(self.kind, self.n, **self.values)
        if found is not None:
            copy.public_id, copy.version = found.public_id, found.version
            if self.expunged:
                it.session.flush()
                it.session.expunge(found)
        it.session.merge(copy)


@dataclass(frozen=True)
class Expunge:
    """Change an object and take it out of the session, and perhaps put it back."""

    kind: str
    n: int
    values: Values = field(default_factory=dict)
    flush: bool = False
    back: bool = False

    def run(self, it: Act) -> None:
        found = it.find(self.kind, self.n)
        Assign(self.kind, self.n, self.values).run(it)
        if self.flush:
            it.session.flush()
        it.session.expunge(found)
        if self.back:
            it.session.add(found)


@dataclass(frozen=True)
class Transient:
    """Change an object, flush, make it transient, change it again, and perhaps add it as a new one: a way to clone it.

    With ``same`` under the same key and public id: if the row is still there, the database refuses it.
    """

    kind: str
    n: int
    to: int
    before: Values = field(default_factory=dict)
    after: Values = field(default_factory=dict)
    again: bool = False
    same: bool = False

    def run(self, it: Act) -> None:
        if not self.same:
            it.must_be_free(self.kind, self.to)
        found = it.find(self.kind, self.n)
        Assign(self.kind, self.n, self.before).run(it)
        it.session.flush()
        if inspect(found).session is not it.session:
            raise Skipped
        make_transient(found)
        if not self.same:
            found.public_id = None
            setattr(found, "name" if self.kind == "Seal" else "id", it.key(self.kind, self.to))
            if self.kind not in ("Seal", "Crate"):
                found.rank = None
        for name, value in self.after.items():
            setattr(found, name, it.value(name, value))
        if self.again:
            it.session.add(found)


@dataclass(frozen=True)
class Clone:
    """A new object with the values of another one; with `public_id` too, which the database refuses."""

    kind: str
    n: int
    to: int
    public_id: bool = False

    def run(self, it: Act) -> None:
        it.must_be_free(self.kind, self.to)
        found = it.find(self.kind, self.n)
        names: tuple[str, ...] = ("mood", "crate_id") if self.kind == "Seal" else ("label", "ship_id")
        if isinstance(found, Ship):
            names = ("captain", "name", "code", "mood", "spec", "plan", "price", "since", "depth", "next_id")
        key = {"name" if self.kind == "Seal" else "id": it.key(self.kind, self.to)}
        copy = type(found)(**key, **{name: getattr(found, name) for name in names})
        if self.public_id:
            copy.public_id = found.public_id
        it.session.add(copy)


@dataclass(frozen=True)
class Orphan:
    """Take crates out of their ship, or seals out of their crate: they are deleted by the flush."""

    kind: str
    n: int
    all: bool = False

    def run(self, it: Act) -> None:
        parent = it.find("Ship" if self.kind == "Crate" else "Crate", self.n)
        children = parent.crates if self.kind == "Crate" else parent.seals
        if self.all:
            children.clear()
        elif children:
            children.pop()


@dataclass(frozen=True)
class Load:
    """Put a child, there or new, into another collection."""

    kind: str
    n: int
    to: int

    def run(self, it: Act) -> None:
        parent = it.find("Ship" if self.kind == "Crate" else "Crate", self.to)
        model: Any = Crate if self.kind == "Crate" else Seal
        with it.session.no_autoflush:
            child = it.session.get(model, it.key(self.kind, self.n)) or it.new(self.kind, self.n)
            children: Any = parent.crates if self.kind == "Crate" else parent.seals
            if child in children:
                raise Skipped  # twice in a list, and taken out once: SQLAlchemy deletes it, and the list keeps it
            children.append(child)


@dataclass(frozen=True)
class Point:
    """A relationship with post_update, from either of its sides."""

    n: int
    to: int | None
    back: bool = False

    def run(self, it: Act) -> None:
        ship = it.find("Ship", self.n)
        if ship in it.session.deleted:
            raise Skipped  # see `known`
        other = None if self.to is None else it.find("Ship", self.to)
        if self.back and other is not None:
            other.befores.append(ship)
        else:
            ship.next = other


@dataclass(frozen=True)
class Rename:
    """Give a seal another primary key."""

    n: int
    to: int

    def run(self, it: Act) -> None:
        it.must_be_free("Seal", self.to)
        it.find("Seal", self.n).name = it.key("Seal", self.to)


@dataclass(frozen=True)
class Forget:
    """Expire or refresh an object; what is not flushed is lost."""

    kind: str
    n: int
    refresh: bool = False

    def run(self, it: Act) -> None:
        found = it.find(self.kind, self.n)
        if inspect(found).session is not it.session or not inspect(found).persistent:
            raise Skipped
        if self.refresh:
            it.session.refresh(found)
        else:
            it.session.expire(found)


@dataclass(frozen=True)
class Flush:
    def run(self, it: Act) -> None:
        it.session.flush()
