"""What cannot be recorded is refused when a model is mapped, by name and with what to do instead."""

import enum
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import (
    Column,
    Computed,
    Enum,
    FetchedValue,
    ForeignKey,
    Identity,
    Integer,
    PickleType,
    String,
    Table,
    Uuid,
    func,
)
from sqlalchemy.orm import (
    DeclarativeBase,
    configure_mappers,
    mapped_column,
    relationship,
)

from gql_app.changes.mapping import Untrackable
from gql_app.changes.tracking import Tracked, tracked
from gql_app.deliveries.rules import on_change, on_create

number = 0


class Size(enum.Enum):
    SMALL = 1


@pytest.fixture
def base() -> Iterator[type[DeclarativeBase]]:
    class Own(DeclarativeBase):
        pass

    yield Own
    Own.registry.dispose()


def boat(base: Any, **attributes: Any) -> Any:
    """A tracked model with these attributes besides its id."""
    global number  # noqa: PLW0603  (no two models of one test run may have one name)
    number += 1
    name = f"Mapped{number}"
    own = {"__tablename__": name.lower(), "__entity__": name, "id": mapped_column(Integer, primary_key=True)}
    return type(name, (Tracked, base), {"__annotations__": {}, **own, **attributes})


def with_a_column(*args: Any, **kwargs: Any) -> Callable[[Any], Any]:
    return lambda base: boat(base, size=tracked(*args, **kwargs))


def concrete(base: Any) -> None:
    parent = boat(base)
    mapper_args = {"concrete": True}
    type("Raft", (parent,), {"__tablename__": "rafts", "id": mapped_column(Integer, primary_key=True),
                             "__mapper_args__": mapper_args})  # fmt: skip


def many_to_many(base: Any) -> None:
    tag = boat(base)
    Table("links", base.metadata, Column("a", ForeignKey(tag.id)), Column("b", ForeignKey("quays.id")))
    boat(base, __tablename__="quays", tags=relationship(tag, secondary="links"))


def imperative(base: Any) -> None:
    class Dinghy(Tracked):
        __entity__ = "Dinghy"

    table = Table("dinghies", base.metadata, Column("id", Integer, primary_key=True), Column("public_id", Uuid))
    base.registry.map_imperatively(Dinghy, table)


def twice(base: Any) -> None:
    first = boat(base)
    boat(base, __entity__=first.__entity__)


def cascading(**actions: Any) -> Callable[[Any], Any]:
    def make(base: Any) -> None:
        parent = boat(base)
        boat(base, parent=tracked(ForeignKey(parent.id, **actions)))

    return make


REFUSED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "onupdate": (with_a_column(Integer, onupdate=lambda: 7), "onupdate=.*assign it"),
    "onupdate of SQL": (with_a_column(Integer, onupdate=func.now()), "onupdate=.*assign it"),
    "Computed": (with_a_column(Integer, Computed("id + 1")), "computed by the database.*in Python"),
    "Identity": (with_a_column(Integer, Identity()), "computed by the database.*in Python"),
    "server_onupdate": (with_a_column(Integer, server_onupdate=FetchedValue()), "server_onupdate.*assign it"),
    "server_default": (with_a_column(Integer, server_default="1"), "server_default=.*add a default="),
    "default of SQL": (with_a_column(Integer, default=func.now()), "SQL expression.*use a value"),
    "a type without a text": (with_a_column(PickleType), "cannot be tracked.*python_type"),
    "an attribute's long name": (lambda base: boat(base, **{"x" * 65: tracked(Integer)}), "too long.*at most 64"),
    "an entity's long name": (lambda base: boat(base, __entity__="X" * 65), "too long.*at most 64"),
    "no entity": (lambda base: boat(base, __entity__=None), "no __entity__.*add __entity__"),
    "one entity twice": (twice, "both call themselves"),
    "an owner that is no column": (lambda base: boat(base, __owner__="nobody"), "__owner__ names 'nobody'.*column"),
    "no version": (imperative, "no version"),
    "concrete inheritance": (concrete, "concrete inheritance.*joined"),
    "ON DELETE CASCADE": (cascading(ondelete="CASCADE"), "ON DELETE CASCADE.*unit of work"),
    "ON DELETE SET NULL": (cascading(ondelete="SET NULL"), "changed by the database.*unit of work"),
    "ON UPDATE CASCADE": (cascading(onupdate="CASCADE"), "changed by the database.*unit of work"),
    "a secondary table": (many_to_many, "which the log does not follow.*viewonly=True"),
    "no active_history": (
        lambda base: boat(base, size=mapped_column(Integer, info={"gql_app_tracked": True, "gql_app_secret": False})),
        "without active_history.*tracked\\(",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_the_log_could_not_follow_is_refused(base: Any, what: str) -> None:
    make, words = REFUSED[what]
    with pytest.raises(Untrackable, match=words):
        make(base)
        configure_mappers()


FINE: dict[str, Callable[[Any], Any]] = {
    "a value": with_a_column(Integer, default=1),
    "a function": with_a_column(Integer, default=lambda: 1),
    "a database's default besides ours": with_a_column(Integer, default=1, server_default="1"),
    "an enum": with_a_column(Enum(Size)),
    "another name in the database": with_a_column("groesse", String(40)),
    "deferred": with_a_column(String(40), deferred=True),
    "an untracked attribute with onupdate": lambda base: boat(base, seen=mapped_column(Integer, onupdate=1)),
    "ON DELETE SET NULL of what is not followed": lambda base: boat(
        base, x=mapped_column(ForeignKey(boat(base).id, ondelete="SET NULL"))
    ),
}


@pytest.mark.parametrize("what", FINE)
def test_what_the_log_can_follow_is_mapped(base: Any, what: str) -> None:
    FINE[what](base)
    configure_mappers()


def test_a_rule_with_a_long_name_is_refused(base: Any) -> None:
    def rule(change: object) -> tuple[()]:
        return ()

    rule.__qualname__ = "x" * 128
    with pytest.raises(TypeError, match=r"too long.*at most 128"):
        on_create(boat(base), propagate=True)(rule)


def test_a_rule_on_what_is_not_tracked_is_refused(base: Any) -> None:
    model = boat(base, seen=mapped_column(Integer))
    with pytest.raises(TypeError, match="not tracked"):
        on_change(model.seen, propagate=True)
