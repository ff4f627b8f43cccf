"""Who may see a row, and what a transaction tells to whom: in dictionaries and sets, without the product's code."""

from collections.abc import Iterator
from dataclasses import dataclass

from tests.audiences.world import Row, Which, World

Key = tuple[str, object]
Keys = frozenset[Key]
NONE: Keys = frozenset()
APPROVERS: Key = ("role", "APPROVER")


@dataclass(frozen=True, slots=True)
class Rule:
    """How a kind is seen.

    `told` are the columns of which the log tells. `named`: a kind of key and the column with its value. `related`:
    another kind, its columns that refer here and that hold the value, and the kind of key. `above`: the column that
    refers to an entity of another kind. `whole`: approvers see each one of the kind at any time.
    """

    told: tuple[str, ...]
    named: tuple[tuple[str, str], ...] = ()
    approvers: bool = False
    related: tuple[str, str, str, str] | None = None
    above: tuple[tuple[str, str], ...] = ()
    hidden_by: str | None = None
    admins: bool = True
    whole: bool = False


RULES = {
    "Rental": Rule(("status", "landlord_id"), (("user", "renter_id"), ("user", "landlord_id"))),
    "Talk": Rule(("status",), related=("Participant", "talk_id", "user_id", "user")),
    "Participant": Rule(("status", "talk_id"), (("user", "user_id"),), above=(("talk_id", "Talk"),)),
    "Message": Rule(("status",), above=(("talk_id", "Talk"),)),
    "Reaction": Rule(("status", "message_id"), above=(("message_id", "Message"),), hidden_by="gone"),
    "Membership": Rule(
        ("status", "user_id", "organisation_id", "crew_id", "gone"),
        (("user", "user_id"), ("organisation", "organisation_id")),
        hidden_by="gone",
    ),
    "Boat": Rule(
        ("status", "organisation_id", "gone"),
        (("organisation", "organisation_id"),),
        approvers=True,
        hidden_by="gone",
    ),
    "Guide": Rule(
        ("status",),
        (("crew", "crew_id"),),
        approvers=True,
        related=("Share", "guide_id", "organisation_id", "organisation"),
        whole=True,
    ),
    "Share": Rule(("status", "revoked"), above=(("guide_id", "Guide"),), hidden_by="revoked"),
    "Note": Rule(
        ("status", "author_id", "guide_id"),
        (("user", "author_id"),),
        above=(("guide_id", "Guide"), ("boat_id", "Boat")),
    ),
    "Receipt": Rule(("status",), above=(("rental_id", "Rental"), ("guide_id", "Guide")), whole=True),
    "Diary": Rule(("status",), (("user", "writer_id"),), admins=False),
    "Page": Rule(("status",), above=(("diary_id", "Diary"),), admins=False),
}
GRANTED = (("organisation", "organisation_id"), ("crew", "crew_id"))


def is_hidden(kind: str, row: Row) -> bool:
    column = RULES[kind].hidden_by
    return column is not None and row[column] is not None and row[column] is not False


def keys_of(world: World, kind: str, row: Row) -> Keys:
    """The keys that open a row."""
    rule = RULES[kind]
    if is_hidden(kind, row):
        return NONE
    found: set[Key] = {(name, row[column]) for name, column in rule.named if row[column] is not None}
    if rule.approvers:
        found.add(APPROVERS)
    if rule.related is not None:
        other, refers, value, name = rule.related
        found |= {
            (name, each[value])
            for each in world.rows[other].values()
            if each[refers] == row["id"] and not is_hidden(other, each)
        }
    for column, other in rule.above:
        parent = world.by_key(other, row[column])
        if parent is not None:
            found |= keys_of(world, other, parent)
    return frozenset(found)


def held_by(world: World, user: int) -> Keys:
    """The keys that a user holds."""
    found: set[Key] = {("user", user), ("role", world.roles[user])}
    for row in world.rows["Membership"].values():
        if row["user_id"] == user and not is_hidden("Membership", row):
            found |= {(name, row[column]) for name, column in GRANTED if row[column] is not None}
    return frozenset(found)


def may(kind: str, held: Keys, keys: Keys) -> bool:
    """Whether who holds these keys may see what is opened by those."""
    return bool(held & keys) or (("role", "ADMIN") in held and RULES[kind].admins)


def sees(kind: str, held: Keys, keys: Keys) -> bool:
    """The same of something that is there or was: of some kinds an approver sees all, at any time."""
    return may(kind, held, keys) or (RULES[kind].whole and APPROVERS in held)


@dataclass(frozen=True, slots=True)
class Told:
    """An entry. `before`: where it tells that an entity came or left, who could see it until then."""

    change: str
    which: Which
    attribute: str | None
    keys: Keys
    before: Keys | None = None

    def heard(self, held: Keys) -> bool:
        return sees(self.which[0], held, self.keys)

    def sight(self, held: Keys) -> str | None:
        """What it is to somebody who looks at what comes and leaves."""
        if self.before is None:
            return None
        kind = self.which[0]
        after = self.change != "DELETED" and self.heard(held)
        before = self.change != "CREATED" and sees(kind, held, self.before)
        if after == before:
            return None
        return "CAME" if after else "LEFT"


@dataclass(frozen=True, slots=True)
class Telling:
    """All that a transaction tells, and what it may tell besides."""

    told: tuple[Told, ...]
    optional: tuple[Told, ...]


def telling(before: World, after: World) -> Telling:
    """``after`` is a copy of ``before`` to which the steps of the transaction were applied."""
    told: list[Told] = []
    optional: list[Told] = []
    old, new = dict(before.all()), dict(after.all())
    for which in sorted(old.keys() | new.keys() | after.touched):
        kind = which[0]
        was, now = old.get(which), new.get(which)
        if was is None and now is None:
            continue
        keys_before = NONE if was is None else keys_of(before, kind, was)
        if now is None:
            told.append(Told("DELETED", which, None, keys_before, keys_before))
            continue
        keys = keys_of(after, kind, now)
        if was is None:
            told += _created(which, now, keys)
            continue
        told += [Told("UPDATED", which, name, keys) for name in RULES[kind].told if was[name] != now[name]]
        if keys != keys_before:
            entry = Told("UPDATED", which, "audience", keys, keys_before)
            if was != now or not RULES[kind].above:
                told.append(entry)
            elif which in after.touched:
                optional.append(entry)
    return Telling(tuple(told), tuple(optional))


def _created(which: Which, row: Row, keys: Keys) -> Iterator[Told]:
    """Any of them may be the one that tells that it came: the first in the log."""
    for name in RULES[which[0]].told:
        if row[name] is not None:
            yield Told("CREATED", which, name, keys, NONE)
