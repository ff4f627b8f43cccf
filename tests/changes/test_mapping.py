"""What cannot be recorded is refused when a model is mapped, by name and with what to do instead."""

import enum
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import (
    ARRAY,
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
    Time,
    UniqueConstraint,
    Uuid,
    func,
)
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    MappedAsDataclass,
    configure_mappers,
    mapped_column,
    relationship,
)

from gql_app.audiences import Audience, owner, parent
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


def untracked_base(base: Any) -> None:
    own = {"__tablename__": "hulls", "id": mapped_column(Integer, primary_key=True)}
    hull: Any = type("Hull", (base,), {"__annotations__": {}, **own})
    key = mapped_column(ForeignKey(hull.id), primary_key=True)
    type("Raft", (Tracked, hull), {"__annotations__": {}, "__tablename__": "rafts", "__entity__": "Raft", "id": key})


def joined(**actions: Any) -> Callable[[Any], Any]:
    """A subclass with a table of its own, whose key refers to another table as well."""

    def make(base: Any) -> None:
        parent, quay = boat(base), boat(base)
        keys = ForeignKey(parent.id, ondelete="CASCADE"), ForeignKey(quay.id, **actions)
        key = mapped_column(Integer, *keys, primary_key=True)
        name = f"{parent.__name__}Sub"
        own = {"__tablename__": name.lower(), "id": key}
        args = {"inherit_condition": key.column == parent.__table__.c.id}
        type(name, (parent,), {"__annotations__": {}, **own, "__mapper_args__": args})

    return make


def owner_of_its_own(base: Any) -> None:
    parent = boat(base)
    own = {"__tablename__": "owned", "__audience__": Audience(owner("keeper")), "keeper": mapped_column(Integer)}
    key = mapped_column(ForeignKey(parent.id), primary_key=True)
    type("Owned", (parent,), {"__annotations__": {}, **own, "id": key})


def parent_of_its_own_kind(base: Any) -> None:
    audience = Audience(owner("keeper"), parent("up"))
    boat(base, __tablename__="tree", __audience__=audience, keeper=mapped_column(Integer),
         up=mapped_column(ForeignKey("tree.id")))  # fmt: skip


def dataclass_model(base: Any) -> None:
    class Data(MappedAsDataclass, DeclarativeBase):
        pass

    boat(Data)


def with_a_schema(base: Any) -> None:
    base.metadata.schema = "s"
    parent = boat(base)
    key = mapped_column(ForeignKey(f"{parent.__tablename__}.id", ondelete="CASCADE"), primary_key=True)
    type("Rowing", (parent,), {"__annotations__": {}, "__tablename__": "rowing", "id": key})


def added_later(base: Any) -> None:
    parent, late = boat(base), boat(base)
    late.parent = tracked(ForeignKey(parent.id, ondelete="CASCADE"))


def abstract(base: Any) -> None:
    class Shared(Tracked, base):  # type: ignore[misc]
        __abstract__ = True
        __mapper_args__ = {"eager_defaults": True}  # noqa: RUF012

    for name in ("Abstract1", "Abstract2"):
        own = {"__tablename__": name.lower(), "__entity__": name, "id": mapped_column(Integer, primary_key=True)}
        model: Any = type(name, (Shared,), {"__annotations__": {}, **own})
        assert model.__mapper__.version_id_col is model.__table__.c.version
        assert model.__mapper__.eager_defaults is True


def mixin(base: Any) -> None:
    class Kept(Tracked):
        note: Mapped[str | None] = tracked(String(9))

    for name in ("Mixed1", "Mixed2"):
        own = {"__tablename__": name.lower(), "__entity__": name, "id": mapped_column(Integer, primary_key=True)}
        model: Any = type(name, (Kept, base), {"__annotations__": {}, **own})
        assert model.__mapper__.version_id_col is model.__table__.c.version


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
    "an owner that is no column": (
        lambda base: boat(base, __audience__=Audience(owner("nobody"))),
        "__audience__ names 'nobody'.*column",
    ),
    "a parent of its own kind": (parent_of_its_own_kind, "that of a parent of its own kind.*in columns"),
    "no version": (imperative, "no version"),
    "concrete inheritance": (concrete, "concrete inheritance.*joined"),
    "ON DELETE CASCADE": (cascading(ondelete="CASCADE"), "ON DELETE CASCADE.*unit of work"),
    "ON DELETE SET NULL": (cascading(ondelete="SET NULL"), "changed by the database.*unit of work"),
    "ON UPDATE CASCADE": (cascading(onupdate="CASCADE"), "changed by the database.*unit of work"),
    "ON DELETE CASCADE of a column added later": (added_later, "ON DELETE CASCADE.*unit of work"),
    "ON DELETE CASCADE of a key that refers to two": (joined(ondelete="CASCADE"), "ON DELETE CASCADE.*unit of work"),
    "an untracked base": (untracked_base, "mapped base .* is not.*make the base Tracked"),
    "a public_id that may be there twice": (
        lambda base: boat(base, public_id=mapped_column(Uuid)),
        "public_id is overridden.*leave it",
    ),
    "deleted rows that are not counted": (
        lambda base: boat(base, __mapper_args__={"confirm_deleted_rows": False}),
        "deleted its row.*leave",
    ),
    "an owner in the table of a subclass": (
        owner_of_its_own,
        "Owned has an __audience__ of its own.*let the base",
    ),
    "a dataclass": (dataclass_model, "is a dataclass.*plain ones"),
    "a time with its zone": (with_a_column(Time(timezone=True)), "cannot be tracked.*leave its timezone out"),
    "an array of enums": (with_a_column(ARRAY(Enum(Size))), "cannot be tracked.*JSON"),
    "a secondary table": (many_to_many, "which the log does not follow.*viewonly=True"),
    "no active_history": (
        lambda base: boat(base, size=mapped_column(Integer, info={"gql_app_tracked": True, "gql_app_secret": False})),
        "without active_history.*tracked\\(",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_the_log_could_not_follow_is_refused(base: Any, what: str) -> None:
    make, words = REFUSED[what]
    with pytest.raises(TypeError, match=words):
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
    "the key of a subclass": joined(),
    "the key of a subclass in a schema": with_a_schema,
    "an abstract base with arguments for the mapper": abstract,
    "a mixin that is tracked": mixin,
    "a public_id that a constraint makes unique": lambda base: boat(
        base, public_id=mapped_column(Uuid, default=uuid4), __table_args__=(UniqueConstraint("public_id"),)
    ),
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
