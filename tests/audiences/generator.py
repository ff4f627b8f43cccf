"""Transactions of a seed: each is a list of steps that can be done in the world as it is by then."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any
from uuid import UUID

from tests.audiences.world import (
    BulkChange,
    BulkDelete,
    Change,
    Copied,
    Create,
    Delete,
    Promote,
    Row,
    Savepoint,
    Step,
    Where,
    Which,
    World,
    primary_key,
)

MOST_STEPS = 6
MANY = 70
"""Rows of a transaction of which a stream keeps not all in its buffer."""
ORGANISATIONS = [UUID(int=7 * 10**9 + number) for number in range(3)]
CREWS = [1, 2, 3]
ROLES = ["USER", "USER", "APPROVER", "ADMIN"]

FIELDS: dict[str, dict[str, str]] = {
    "Rental": {"status": "text", "renter_id": "user?", "landlord_id": "user"},
    "Talk": {"status": "text"},
    "Participant": {"status": "text", "talk_id": "Talk", "user_id": "user"},
    "Message": {"status": "text", "talk_id": "Talk"},
    "Reaction": {"status": "text", "message_id": "Message", "gone": "gone"},
    "Membership": {
        "status": "text",
        "user_id": "user",
        "organisation_id": "organisation?",
        "crew_id": "crew?",
        "gone": "gone",
    },
    "Boat": {"status": "text", "organisation_id": "organisation?", "gone": "gone"},
    "Guide": {"status": "text", "crew_id": "crew?"},
    "Share": {"status": "text", "guide_id": "Guide", "organisation_id": "organisation", "revoked": "flag"},
    "Note": {"status": "text", "author_id": "user?", "guide_id": "Guide?", "boat_id": "Boat?"},
    "Receipt": {"status": "text", "rental_id": "Rental?", "guide_id": "Guide"},
    "Diary": {"status": "text", "writer_id": "user"},
    "Page": {"status": "text", "diary_id": "Diary"},
}
"""The columns and what they hold; with a question mark they may hold nothing."""
WEIGHTS = {"Participant": 4, "Message": 3, "Membership": 4, "Share": 2, "Boat": 2, "Talk": 2, "Note": 2}
COPIES = {("Rental", "renter_id"): "landlord_id", ("Rental", "landlord_id"): "renter_id"}
LEAVES = [kind for kind in FIELDS if not any(kind in named for each in FIELDS.values() for named in each.values())]
LEAVES = [kind for kind in LEAVES if not any(f"{kind}?" in each.values() for each in FIELDS.values())]
KINDS = [kind for kind in FIELDS for _ in range(WEIGHTS.get(kind, 1))]


def children_of(world: World, kind: str, number: int) -> Iterator[Which]:
    """The rows that refer to this one."""
    key = primary_key(kind, number)
    for other, fields in FIELDS.items():
        for column, domain in fields.items():
            if domain.removesuffix("?") == kind:
                yield from ((other, n) for n, row in world.rows[other].items() if row[column] == key)


class Generator:
    """Makes transactions; it follows what its steps do in a world of its own."""

    def __init__(self, seed: int, users: Sequence[int]) -> None:
        self._random = Random(seed)
        self._users = users
        self._number = 0

    def first_world(self) -> World:
        return World({kind: {} for kind in FIELDS}, dict.fromkeys(self._users, "USER"))

    def transaction(self, world: World) -> list[Step]:
        """Steps that can be done in this world, which stays as it is."""
        working = world.copy()
        if self._chance(0.04):
            return list(self._many(working))
        return list(self._steps(working, self._random.randint(1, MOST_STEPS)))

    def _steps(self, world: World, count: int) -> Iterator[Step]:
        for _ in range(count):
            for step in self._some(world):
                world.apply([step])
                yield step

    def _some(self, world: World) -> Iterator[Step]:
        kind = self._random.choice(KINDS)
        what = self._random.random()
        if what < 0.30:
            yield from self._create(world, kind)
        elif what < 0.62:
            yield from self._change(world, kind)
        elif what < 0.72:
            yield from self._delete(world, kind)
        elif what < 0.82:
            yield from self._bulk(world, kind)
        elif what < 0.87:
            yield Promote(self._random.choice(self._users), self._random.choice(ROLES))
        elif what < 0.93:
            yield from self._there_and_back(world, kind)
        else:
            inner = tuple(self._steps(world.copy(), self._random.randint(1, 3)))
            yield Savepoint(inner, kept=self._chance(0.4))

    def _create(self, world: World, kind: str) -> Iterator[Step]:
        values = {name: self._value(world, domain) for name, domain in FIELDS[kind].items()}
        if any(
            values[name] is None and domain[0].isupper() and domain[-1] != "?" for name, domain in FIELDS[kind].items()
        ):
            return  # there is nothing that it could belong to
        self._number += 1
        yield Create(kind, self._number, values)

    def _change(self, world: World, kind: str) -> Iterator[Step]:
        if not world.rows[kind]:
            yield from self._create(world, kind)
            return
        number = self._random.choice(list(world.rows[kind]))
        yield Change(kind, number, self._new(world, kind), flush=self._chance(0.6))

    def _new(self, world: World, kind: str) -> Row:
        """Other values of one or two columns."""
        names = self._random.sample(list(FIELDS[kind]), min(len(FIELDS[kind]), self._random.choice([1, 1, 2])))
        return {name: self._value(world, FIELDS[kind][name]) for name in names}

    def _there_and_back(self, world: World, kind: str) -> Iterator[Step]:
        """A key that is gained and lost, or lost and gained; or an entity that comes, changes and goes."""
        if self._chance(0.5) and kind in LEAVES:
            for step in self._create(world, kind):
                assert isinstance(step, Create)
                yield step
                yield Change(kind, step.number, self._new(world, kind))
                yield Delete(kind, step.number)
        elif world.rows[kind]:
            number = self._random.choice(list(world.rows[kind]))
            values = self._new(world, kind)
            back = {name: world.rows[kind][number][name] for name in values}
            yield Change(kind, number, values)
            yield Change(kind, number, back)

    def _delete(self, world: World, kind: str) -> Iterator[Step]:
        if world.rows[kind]:
            yield from self._with_children(world, kind, self._random.choice(list(world.rows[kind])))

    def _with_children(self, world: World, kind: str, number: int) -> Iterator[Step]:
        for other, each in [*children_of(world, kind, number)]:
            yield from self._with_children(world, other, each)
        yield Delete(kind, number)

    def _bulk(self, world: World, kind: str) -> Iterator[Step]:
        if not world.rows[kind]:
            return
        column = self._random.choice(list(FIELDS[kind]))
        held = [row[column] for row in world.rows[kind].values()]
        where = Where(column, tuple({self._random.choice(held): None for _ in range(self._random.randint(1, 2))}))
        if kind in LEAVES and self._chance(0.3):
            yield BulkDelete(kind, where)
            return
        name = self._random.choice(list(FIELDS[kind]))
        value = self._value(world, FIELDS[kind][name])
        copied = COPIES.get((kind, name))
        has_value = copied is not None and all(
            world.rows[kind][number][copied] is not None for number in world.met(kind, where)
        )
        yield BulkChange(kind, where, {name: Copied(copied) if copied and has_value and self._chance(0.5) else value})

    def _many(self, world: World) -> Iterator[Step]:
        """More rows than a stream's buffer holds, changed at once."""
        kind = self._random.choice(["Rental", "Boat", "Diary", "Membership", "Note"])
        for _ in range(MANY):
            yield from self._create(world, kind)
        if self._chance(0.5):
            yield BulkChange(kind, Where("status", ("a", "b")), self._new(world, kind))

    def _value(self, world: World, domain: str) -> Any:
        name, optional = domain.removesuffix("?"), domain.endswith("?")
        if optional and self._chance(0.3):
            return None
        if name[0].isupper():
            found = list(world.rows[name])
            return primary_key(name, self._random.choice(found)) if found else None
        domains: dict[str, Sequence[Any]] = {
            "text": "abc",
            "user": self._users,
            "organisation": ORGANISATIONS,
            "crew": CREWS,
            "gone": (None, None, None, 0, 1),
            "flag": (None, False, False, True),
        }
        return self._random.choice(domains[name])

    def _chance(self, of: float) -> bool:
        return self._random.random() < of
