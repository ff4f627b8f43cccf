"""What cannot be what it is declared to be is refused at import, with a sentence."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
import strawberry
from sqlalchemy import DateTime, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, configure_mappers, mapped_column

from gql_app import Audience, BigId, Node, Tracked, Vertical, Viewer, entity, mutation, owner, related, shows, tracked
from gql_app.application import Application
from gql_app.audiences import registry
from gql_app.errors import ConfigurationError
from gql_app.schema import build
from tests.declared import models
from tests.declared.verticals import Crane, Parcel, Rental, Tenant


class Base(DeclarativeBase):
    """Of its own: these tables are nowhere."""


class Odd(Tracked, Base):
    """With what cannot be shown."""

    __tablename__ = "dec_odd"
    __entity__ = "DecOdd"
    __audience__ = Audience(owner("id"))

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    pin: Mapped[str] = tracked(String(8), secret=True)
    moment: Mapped[datetime] = tracked(DateTime)
    story: Mapped[str] = tracked(Text)
    cursor: Mapped[str] = tracked(String(8))
    plain: Mapped[str] = mapped_column(String(8))
    raw: Mapped[bytes] = mapped_column()


configure_mappers()
registry.discard(Odd)


def typed(**annotations: Any) -> Any:
    """A class with these fields, to be declared."""
    made: Any = type("Odd", (Node,), {"__annotations__": annotations})
    return made


def of_odd(**options: Any) -> Callable[[], Any]:
    return lambda: entity(Odd, **options)(typed(plain=str))


def unit(code: str) -> Callable[[], Any]:
    """A unit of work with this head."""

    def declare() -> Any:
        names: dict[str, Any] = {**vars(models), "Session": Session, "Viewer": Viewer}
        exec(f"def do({code}):\n    'Do it.'", names)
        return mutation(Rental)(names["do"])

    return declare


def undocumented(session: Session, viewer: Viewer, why: str) -> None:
    pass


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "a field of nothing": (lambda: entity(Odd)(typed(colour=str)), "Odd.colour shows nothing"),
    "another type": (lambda: entity(Odd)(typed(plain=int)), "declared as int, and Odd.plain holds str"),
    "null where there may be one": (lambda: entity(models.Parcel)(typed(label=str)), "and .* holds str . None"),
    "a secret": (lambda: entity(Odd)(typed(pin=str)), "Odd.pin is secret"),
    "a filter by a secret": (of_odd(many="odds", filters=[Odd.pin]), "Odd.pin is secret"),
    "moments without a timezone": (lambda: entity(Odd)(typed(moment=datetime)), "make its column UtcDateTime"),
    "bytes": (lambda: entity(Odd)(typed(raw=bytes)), "holds bytes, for which there is no GraphQL type"),
    "no node": (lambda: entity(Odd)(type("Odd", (), {"__annotations__": {}})), "must be a Node"),
    "an order by a long text": (of_odd(many="odds", orders=[Odd.story]), "too long to order by"),
    "a filter without a list": (of_odd(filters=[Odd.plain]), "has filters or orders and no list"),
    "a list with the name of one": (of_odd(many="odd"), "cannot be the name of the list"),
    "a list with no name": (of_odd(many="my odds"), "cannot be the name of the list"),
    "a stream of what is not tracked": (of_odd(streams=[Odd.plain]), "it is not tracked"),
    "a stream of a secret": (of_odd(streams=[Odd.pin]), "it is secret"),
    "a stream called cursor": (of_odd(streams=[Odd.cursor]), "has a name that each event has for something else"),
    "a stream of the base": (
        lambda: entity(models.Crane, streams=[models.Crane.load])(type("Kran", (Node,), {"__annotations__": {}})),
        "belongs to the base",
    ),
    "related to no foreign key": (
        lambda: entity(Odd)(type("Odd", (Node,), {"__annotations__": {"x": Tenant | None}, "x": related(Odd.plain)})),
        "no foreign key to Tenant",
    ),
    "related and never null": (
        lambda: entity(models.Rental)(
            type("R", (Node,), {"__annotations__": {"x": Tenant}, "x": related(models.Rental.renter_id)})
        ),
        "must be declared as",
    ),
    "no unit of work": (unit("session: Session"), "must be a unit of work"),
    "another first parameter": (unit("viewer: Viewer, session: Session"), "must be a unit of work"),
    "nothing to say": (unit("session: Session, viewer: Viewer"), "give it at least one parameter"),
    "parameters without a name": (unit("session: Session, viewer: Viewer, *rest: str"), "name its parameters"),
    "one name for two": (unit("session: Session, viewer: Viewer, rental: Rental, id: str"), "become the field id"),
    "an entity that may be left out": (
        unit("session: Session, viewer: Viewer, rental: Rental | None = None"), "take its id as a text",
    ),
    "no docstring": (lambda: mutation(Rental)(undocumented), "has no docstring"),
    "a type that is no entity": (lambda: mutation(Node)(undocumented), "is no type of a model"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused(name: str) -> None:
    declare, sentence = REFUSED[name]
    with pytest.raises(TypeError, match=sentence):
        declare()


@strawberry.interface(description="Something with a label.")
class Labelled:
    label: str | None = strawberry.field(description="What is written on it.")

    @strawberry.field(description="How long the label is.")
    def length(self) -> int:
        return len(self.label or "")


def test_fields_may_be_inherited_or_described_by_hand() -> None:
    @entity(models.Parcel)
    class Sent(Node, Labelled):
        """A parcel."""

        pieces: int | None = strawberry.field(description="How many.")

    found: Any = Sent.__gql_app_entity__  # type: ignore[attr-defined]
    assert {"label", "pieces"} <= set(found.fields.names)
    text = str(build([Vertical("sent", entities=(Sent,))]))
    assert "type Sent implements Node & Labelled" in text or "type Sent implements Labelled & Node" in text


def test_a_field_does_not_take_the_name_of_another_attribute() -> None:
    """It would be taken for that one where it is asked who may see, and in cursors."""

    class Swapped(Node):
        """A parcel."""

        sender_id: int = shows(models.Parcel.pieces)

    with pytest.raises(TypeError, match="has an attribute of that name"):
        entity(models.Parcel)(Swapped)


def test_two_ways_to_find_one_kind_are_refused() -> None:
    class Other(Node):
        """Another one."""

    declared = entity(models.Parcel)(Other)
    with pytest.raises(ConfigurationError, match="DecParcel are found in two ways, by a and b"):
        Application([Vertical("a", entities=(Parcel,)), Vertical("b", entities=(declared,))])
    with pytest.raises(ConfigurationError, match="found in two ways"):
        Application([Vertical("a", entities=(Parcel, declared))])


def test_a_list_needs_no_orders_and_may_be_ordered_by_large_numbers() -> None:
    class Plain(Node):
        """A tenant."""

    class Large(Node):
        """A parcel."""

    tenants = entity(models.Tenant, many="tenants")(Plain)
    parcels = entity(models.Parcel, many="larges", orders=[models.Parcel.sender_id])(Large)
    text = str(build([Vertical("lists", entities=(tenants, parcels))]))
    assert "tenants(" in text
    assert "SENDER_ID" in text


def test_the_type_of_a_subclass_needs_its_base() -> None:
    """Its models are those of the base."""
    assert models.Truck in Application([Vertical("cranes", entities=(Crane,))]).catalog
