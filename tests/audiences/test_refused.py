"""What cannot be followed is refused when the model is mapped, with a sentence."""

import enum
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
from sqlalchemy import BigInteger, Boolean, Enum, ForeignKey, ForeignKeyConstraint, Integer, String, Uuid
from sqlalchemy.orm import DeclarativeBase, configure_mappers, mapped_column

from gql_app.audiences import Audience, grant, key, owner, parent, registry, rows
from gql_app.audiences.kinds import Untrackable
from gql_app.changes.tracking import Tracked, tracked

_numbers = count()
"""The classes of one test may still be there in the next one."""

Make = Callable[[type[Any]], Any]


class Level(enum.IntEnum):
    """An integer that is none."""

    LOW = 1


def model(base: type[Any], name: str, audience: Audience, **columns: Any) -> type[Any]:
    own = {
        "__tablename__": name.lower(),
        "__entity__": f"Ref{name}{next(_numbers)}",
        "__audience__": audience,
        "__annotations__": {},
    }
    columns.setdefault("id", mapped_column(BigInteger, primary_key=True))
    return type(name, (Tracked, base), {**own, **columns})


def composite(base: type[Any]) -> None:
    keys = {"id": mapped_column(Integer, primary_key=True), "number": mapped_column(Integer, primary_key=True)}
    model(base, "House", Audience(owner("keeper")), keeper=mapped_column(Integer), **keys)
    args = (ForeignKeyConstraint(["org", "house"], ["house.id", "house.number"]),)
    columns = {"org": mapped_column(Integer), "house": mapped_column(Integer)}
    model(base, "Room", Audience(parent("house")), __table_args__=args, **columns)


def two_targets(base: type[Any]) -> None:
    for name in ("First", "Second"):
        model(base, name, Audience(owner("keeper")), keeper=mapped_column(Integer))
    up = mapped_column(BigInteger, ForeignKey("first.id"), ForeignKey("second.id"))
    model(base, "Child", Audience(parent("up")), up=up)


def of_a_subclass(base: type[Any]) -> None:
    top = model(base, "Top", Audience(owner("keeper")), keeper=mapped_column(Integer))
    own = {"__tablename__": "sub", "__annotations__": {}, "id": mapped_column(ForeignKey("top.id"), primary_key=True)}
    type("Sub", (top,), own)
    model(base, "Leaf", Audience(parent("up")), up=mapped_column(BigInteger, ForeignKey("sub.id")))


def participants(base: type[Any], **options: Any) -> None:
    talk = mapped_column(BigInteger, ForeignKey("talk.id", **options))
    guest = model(base, "Guest", Audience(), talk=talk, who=mapped_column(Integer))
    model(base, "Talk", Audience(rows(lambda: guest, "talk", "who")))


def keys_of_two_types(base: type[Any]) -> None:
    club = model(base, "Member", Audience(owner("who")), who=mapped_column(Integer), club=tracked(Integer))
    club.__grants__ = (grant("refclub", "club", to="who"),)
    model(base, "Match", Audience(key("refclub", "club")), club=mapped_column(Uuid()))


def granted_to_nobody(base: type[Any]) -> None:
    columns = {"who": mapped_column(Integer), "club": tracked(Integer)}
    grants = (grant("refclub", "club", to="who"),)
    model(base, "Member", Audience(key("crew", "who")), __grants__=grants, **columns)


def with_owner(kind: Any) -> Make:
    return lambda base: model(base, "Boat", Audience(owner("keeper")), keeper=mapped_column(kind))


REFUSED: dict[str, tuple[Make, str]] = {
    "a parent by a part of its key": (composite, "Room.house decides.*this column alone"),
    "a parent in one of two tables": (two_targets, "Child.up decides.*one foreign key"),
    "a parent that is a subclass": (of_a_subclass, "Leaf.up decides.*base table"),
    "an owner who is known by a UUID": (with_owner(Uuid()), "users are known by integers"),
    "an owner who is a text": (with_owner(String(8)), "users are known by integers"),
    "an owner who is true": (with_owner(Boolean), "users are known by integers"),
    "an owner who is an enum": (with_owner(Enum(Level)), "users are known by integers"),
    "participants whom the database forgets": (
        lambda base: participants(base, ondelete="SET NULL"),
        "Guest.talk decides who may see.*changed by the database",
    ),
    "participants whom the database moves": (
        lambda base: participants(base, onupdate="CASCADE"),
        "Guest.talk decides who may see.*changed by the database",
    ),
    "keys of two types": (keys_of_two_types, "make keys of the kind refclub of different types"),
    "keys for somebody who does not hear of it": (granted_to_nobody, "name it in __audience__.*person"),
    "two owners": (
        lambda base: model(base, "Boat", Audience(owner("a"), owner("b")), a=mapped_column(), b=mapped_column()),
        "one owner at most",
    ),
    "a key that is a role": (lambda base: key("role", "x"), "use an identifier.*role"),
}


@pytest.fixture
def base() -> Iterator[type[Any]]:
    class Base(DeclarativeBase):
        pass

    yield Base
    for mapper in Base.registry.mappers:
        registry.discard(mapper.class_)
    Base.registry.dispose()


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_followed_is_refused(base: type[Any], name: str) -> None:
    make, sentence = REFUSED[name]
    with pytest.raises((Untrackable, TypeError), match=sentence):
        make(base)
        configure_mappers()
