"""What the log has told, as the oracle understands it: each entry by its position."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from gql_app.changes.models import ChangeEvent
from tests.audiences.listening import KINDS, Sight, sight_of
from tests.audiences.oracle import APPROVERS, GRANTED, NONE, RULES, Keys, Telling, Told, keys_of, sees
from tests.audiences.world import PUBLIC, Which, World, public_id

Fact = tuple[int, Told]
What = tuple[str, Which, str | None]


def texts(kind: str, keys: Keys) -> frozenset[str]:
    """The keys as they stand in the log, where those who see all of a kind are not named."""
    whole = {APPROVERS} if RULES[kind].whole else set()
    return frozenset(f"{name}:{value}" for name, value in keys - whole)


def keys_in(event: ChangeEvent) -> frozenset[str]:
    return event.keys if event.owner_id is None else event.keys | {f"user:{event.owner_id}"}


def what_of(event: ChangeEvent) -> What:
    kind = event.entity_type.removeprefix("Aud")
    return event.kind.name, (kind, event.entity_id.int - PUBLIC), event.attribute


@dataclass
class Facts:
    """All facts, those of the latest transaction, and which user's role changed where.

    `moments` are the positions after each transaction, with the world as it was then.
    """

    all: list[Fact] = field(default_factory=list)
    latest: list[Fact] = field(default_factory=list)
    roles: list[tuple[int, int]] = field(default_factory=list)
    latest_roles: list[tuple[int, int]] = field(default_factory=list)
    moments: list[tuple[int, World]] = field(default_factory=list)
    last: dict[Which, frozenset[str]] = field(default_factory=dict)
    by_position: dict[int, Told] = field(default_factory=dict)
    index: set[tuple[str, int, bool]] = field(default_factory=set)
    """By which keys an entry is to be found, besides the owner's; with True those that lost it."""

    def began(self, position: int, world: World) -> None:
        self.moments.append((position, world))

    def since(self, position: int) -> list[Fact]:
        return [fact for fact in self.all if fact[0] > position]

    def at(self, position: int) -> Told | None:
        return self.by_position.get(position)

    def learn(self, telling: Telling, events: Sequence[ChangeEvent], users: Mapping[UUID, int]) -> list[str]:
        """What the log has got wrong of a transaction."""
        self.latest = []
        role_changes = (each for each in events if (each.entity_type, each.attribute) == ("User", "role"))
        self.latest_roles = [(event.position, users[event.entity_id]) for event in role_changes]
        self.roles += self.latest_roles
        wrong = list(self._learn(telling, [event for event in events if event.entity_type in KINDS]))
        self.all += self.latest
        self.by_position |= dict(self.latest)
        return wrong

    def _learn(self, telling: Telling, events: Sequence[ChangeEvent]) -> Iterator[str]:
        expected = {(each.change, each.which, each.attribute): each for each in telling.told}
        optional = {(each.change, each.which, each.attribute): each for each in telling.optional}
        came: set[Which] = set()
        for event in events:
            what = what_of(event)
            told = expected.pop(what, None) or optional.pop(what, None)
            if told is None:
                yield f"the log tells {what} at {event.position}, and nothing of the kind happened"
                continue
            if told.change == "CREATED":
                if told.which in came:
                    told = replace(told, before=None)
                came.add(told.which)
            yield from _compare(event, told)
            self.latest.append((event.position, told))
            self.last[told.which] = keys_in(event)
            keys, before = (texts(told.which[0], each) for each in (told.keys, told.before or NONE))
            self.index |= {(key, event.position, False) for key in keys - {f"user:{event.owner_id}"}}
            self.index |= {(key, event.position, True) for key in before - keys}
        yield from (f"the log does not tell {each}" for each in expected.values())

    def last_keys_against(self, world: World) -> Iterator[str]:
        """Where what the log said last is not who may see it now; children follow what is above them untold."""
        for which, row in world.all():
            if not RULES[which[0]].above:
                keys = texts(which[0], keys_of(world, which[0], row))
                if self.last[which] != keys:
                    yield f"the log said {sorted(self.last[which])} of {which} last, and it is {sorted(keys)}"

    def renewed_at(self, user: int) -> int | None:
        """Where the latest transaction told her that her keys may have changed."""
        positions = [position for position, each in self.latest_roles if each == user]
        positions += [position for position, told in self.latest if _is_of_her_keys(told, user)]
        return min(positions, default=None)

    def noticed(self, position: int, held: Keys) -> bool:
        """Whether who holds these keys is told by this entry that something came or left, or of her own keys."""
        told = self.by_position.get(position)
        return told is not None and (told.heard(held) or (told.before is not None and bool(told.before & held)))

    def sights(self, user: int, held: Keys, facts: Iterable[Fact], roles: Iterable[tuple[int, int]]) -> list[Sight]:
        """What she hears of who looks at what comes and leaves, with these keys."""
        found = [sight_of(position, "RELOAD", "User", UUID(int=0)) for position, each in roles if each == user]
        for position, told in facts:
            what = _reload(told, user, held) or told.sight(held)
            if what is not None:
                kind, number = told.which
                found.append(sight_of(position, what, f"Aud{kind}", public_id(number)))
        return sorted(found)


def _compare(event: ChangeEvent, told: Told) -> Iterator[str]:
    kind = told.which[0]
    if keys_in(event) != (keys := texts(kind, told.keys)):
        yield f"{told.which} {told.attribute} at {event.position} is for {sorted(keys_in(event))}, not {sorted(keys)}"
    before = None if told.before is None else texts(kind, told.before)
    found = event.keys_before if event.turns else None
    if found != before:
        yield f"{told.which} {told.attribute} at {event.position} was for {found} before, not {before}"


def _is_of_her_keys(told: Told, user: int) -> bool:
    return told.which[0] == "Membership" and ("user", user) in told.keys | (told.before or frozenset())


def _reload(told: Told, user: int, held: Keys) -> str | None:
    if not _is_of_her_keys(told, user):
        return None
    changed = told.change == "UPDATED" and told.attribute in {column for _, column in GRANTED}
    if told.before is not None or (changed and sees("Membership", held, told.keys)):
        return "RELOAD"
    return None
