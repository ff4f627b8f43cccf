"""How a model says who may see its entities.

class Rental(Tracked, Timestamped, Base):
    __audience__ = Audience(
        owner("renter_id"),                              # the user whose id is in this column; `Change.owner`
        person("landlord_id"),                           # another user
        role(Role.CARETAKER),                            # everybody with this role
        key("organisation", "organisation_id"),          # whoever holds the key organisation:ID
        rows(lambda: Guest, "rental_id", "user_id"),     # the users in the rows of another model
        parent("house_id"),                              # whoever may see the house
        unless="deleted_at",                             # nobody, where this column is set
    )

Admins may see everything, unless a model says `admins=False`. Who holds a key such as `organisation:5` is said by the
rows of a model that has `__grants__ = (grant("organisation", "organisation_id", to="user_id"),)`.
"""

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

USER = "user"
ROLE = "role"
LONGEST_KIND = 32
"""Characters of what stands before the colon of a key."""


@dataclass(frozen=True, slots=True)
class Held:
    """Whoever holds the key of this kind with the value of the column."""

    kind: str
    column: str
    is_owner: bool = False


@dataclass(frozen=True, slots=True)
class RoleHeld:
    """Everybody with the role."""

    role: str


@dataclass(frozen=True, slots=True)
class Rows:
    """Whoever holds a key with a value that the rows of another model have for this entity.

    `of` is the foreign key of these rows to the entity, `column` holds the value.
    """

    model: Callable[[], type[Any]]
    of: str
    column: str
    kind: str


@dataclass(frozen=True, slots=True)
class Parent:
    """Whoever may see the entity that this foreign key refers to."""

    column: str


Part = Held | RoleHeld | Rows | Parent


def owner(column: str) -> Held:
    """The user whose id this column holds: there is one at most, and `Change.owner` names her."""
    return Held(USER, column, is_owner=True)


def person(column: str) -> Held:
    """The user whose id this column holds."""
    return Held(USER, column)


def key(kind: str, column: str) -> Held:
    """Everybody who holds the key ``kind:value``, with the value of this column (an integer or a UUID)."""
    return Held(_named(kind), column)


def role(role: enum.Enum | str) -> RoleHeld:
    """Everybody with this role: the name of a member of an enum, or a text."""
    return RoleHeld(role.name if isinstance(role, enum.Enum) else role)


def rows(model: Callable[[], type[Any]], of: str, column: str, *, kind: str = USER) -> Rows:
    """Those whom the rows of another tracked model name: participants, for instance.

    ``of`` is that model's foreign key to this one; ``column`` holds the user's id, or the value of a key of ``kind``.
    """
    return Rows(model, of, column, kind if kind == USER else _named(kind))


def parent(column: str) -> Parent:
    """Whoever may see the tracked entity that this foreign key refers to."""
    return Parent(column)


@dataclass(frozen=True)
class Audience:
    """Who may see the entities of a model: whom any of the parts names.

    ``unless`` is a column: where it is set (not NULL, not false), nobody but the admins. ``admins=False`` keeps the
    kind from admins, too, as far as no part names them.
    """

    parts: tuple[Part, ...]
    unless: str | None
    admins: bool

    def __init__(self, *parts: Part, unless: str | None = None, admins: bool = True) -> None:
        if sum(isinstance(each, Held) and each.is_owner for each in parts) > 1:
            raise TypeError("an audience has one owner at most: name the others with person(…)")
        object.__setattr__(self, "parts", parts)
        object.__setattr__(self, "unless", unless)
        object.__setattr__(self, "admins", admins)


@dataclass(frozen=True, slots=True)
class Grant:
    """Each row of the model gives one user the key ``kind:value``."""

    kind: str
    column: str
    to: str


def grant(kind: str, column: str, *, to: str) -> Grant:
    """The user whose id ``to`` holds is given the key ``kind:value``, with the value of ``column``.

    The model's own audience must name the user: she has to hear of her keys.
    """
    return Grant(_named(kind), column, to)


def key_text(kind: str, value: object) -> str:
    """A key, as it stands in the log: ``organisation:5``."""
    return f"{kind}:{value}"


def _named(kind: str) -> str:
    if not (kind.isidentifier() and len(kind) <= LONGEST_KIND) or kind in (USER, ROLE):
        raise TypeError(
            f"{kind!r} cannot be the kind of a key: use an identifier of at most {LONGEST_KIND} characters, and "
            f"person(…) or role(…) for users and roles"
        )
    return kind
