"""What is read for a declared type: no more than is asked for, and nothing again that a mutation has just written."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

import pytest
import strawberry
from sqlalchemy import event, update
from sqlalchemy.orm import Session, joinedload

from gql_app import Node, Vertical, Viewer, entity, mutation, related
from gql_app.accounts import ACCOUNTS, NewUser, Passwords, sign_up
from gql_app.accounts.graphql import User as Person
from gql_app.accounts.graphql import users_by_id
from gql_app.db import Database
from gql_app.settings import Settings
from gql_app.testing.client import Client
from gql_app.testing.server import Running, serving
from tests.declared import models
from tests.people import PASSWORD, log_in


@entity(
    models.Parcel,
    many="parcels",
    orders=[models.Parcel.created_at, models.Parcel.pieces.desc(), models.Parcel.price.asc()],
)
class Parcel(Node):
    """Something that is sent."""

    label: str | None
    price: Decimal | None
    pieces: int | None
    seen_at: datetime | None
    sender: Person = related(models.Parcel.sender_id, by=users_by_id)


@entity(models.Rental, many="rentals", orders=[models.Rental.place])
class Rental(Node):
    """A flat; its title is made of what it has."""

    place: str
    ended_because: str | None

    @strawberry.field(description="Where it is, and why it has ended.")
    def title(self) -> str:
        return f"{self.place} {self.ended_because}"


@mutation(Parcel)
def send(session: Session, viewer: Viewer, label: str, price: Decimal | None = None) -> models.Parcel:
    """Send something."""
    parcel = models.Parcel(sender_id=viewer.id, label=label, price=price, seen_at=datetime(2026, 1, 2, 3, tzinfo=UTC))
    session.add(parcel)
    return parcel


@mutation(Parcel)
def relabel(session: Session, viewer: Viewer, parcel: models.Parcel, label: str) -> models.Parcel:
    """Write something else on it."""
    parcel.label = label
    return parcel


@mutation(Parcel)
def relabel_all(session: Session, viewer: Viewer, parcel: models.Parcel, label: str) -> models.Parcel:
    """The same for all of one's own, behind the back of the loaded one."""
    mine = update(models.Parcel).where(models.Parcel.sender_id == viewer.id).values(label=label)
    session.execute(mine, execution_options={"synchronize_session": False})
    return parcel


@mutation(Parcel)
def give_away(session: Session, viewer: Viewer, parcel: models.Parcel) -> models.Parcel:
    """Give it to nobody whom there is."""
    parcel.sender_id = viewer.id + 1000
    return parcel


@mutation(Parcel)
def throw_away(session: Session, viewer: Viewer, parcel: models.Parcel) -> models.Parcel:
    """Be rid of it."""
    session.delete(parcel)
    return parcel


Loaded = Annotated[models.Rental, joinedload(models.Rental.renter)]


@mutation(Rental)
def visit(session: Session, viewer: Viewer, rental: Loaded) -> models.Rental:
    """Go and see the renter."""
    rental.ended_because = f"visited {rental.renter.name}"
    return rental


APP = (
    ACCOUNTS,
    Vertical("parcels", entities=(Parcel,), mutations=(send, relabel, relabel_all, give_away, throw_away)),
    Vertical("rentals", entities=(Rental,), models=(models.Tenant,), mutations=(visit,)),
)
SEND = "mutation ($l: String!, $p: Decimal) { send(input: {label: $l, price: $p}) { parcel { id label price pieces seenAt } errors { code } } }"  # noqa: E501


def change(name: str, more: str = "") -> str:
    return f"mutation ($id: ID!) {{ {name}(input: {{id: $id{more}}}) {{ parcel {{ label }} errors {{ code }} }} }}"


@pytest.fixture
async def site(tables: Database, settings: Settings) -> AsyncIterator[Running]:
    async with serving(settings, APP) as running:
        yield running


async def signed_up(site: Running, name: str) -> tuple[Client, int]:
    hashed = await site.app.resource(Passwords).hash(PASSWORD)

    def add(session: Session) -> int:
        user, _ = sign_up(session, NewUser(name, f"{name}@example.test", hashed), None)
        session.add(models.Tenant(id=user.id, name=name))
        return user.id

    key = await site.app.db.write(add)
    return await log_in(site.url, name), key


@contextlib.contextmanager
def reading(site: Running, table: str) -> Iterator[list[str]]:
    """The statements in the block that read this table."""
    found: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if statement.startswith("SELECT") and f"FROM {table}" in statement:
            found.append(statement)

    for engine in site.app.db.sync_engines:
        event.listen(engine, "before_cursor_execute", note)
    yield found
    for engine in site.app.db.sync_engines:
        event.remove(engine, "before_cursor_execute", note)


async def test_a_mutation_shows_what_it_has_written_as_it_is_stored_without_reading_it(site: Running) -> None:
    ada, _ = await signed_up(site, "ada")
    with reading(site, "dec_parcels") as found:
        made = (await ada.data(SEND, l="a", p="1.5"))["parcel"]
    assert found == []
    now = await ada.data("query ($id: ID!) { parcel(id: $id) { id label price pieces seenAt } }", id=made["id"])
    assert made == now
    with reading(site, "dec_parcels") as found:
        assert (await ada.data(change("relabel", ', label: "b"'), id=made["id"]))["parcel"] == {"label": "b"}
    assert len(found) == 1  # to load it


async def test_what_a_mutation_did_behind_its_objects_back_is_shown_as_it_is(site: Running) -> None:
    ada, _ = await signed_up(site, "ada")
    parcel = (await ada.data(SEND, l="a"))["parcel"]["id"]
    for name, more, left in (
        ("relabelAll", ', label: "all"', {"label": "all"}),
        ("giveAway", "", None),
        ("throwAway", "", None),
    ):
        target = parcel if name != "throwAway" else (await ada.data(SEND, l="b"))["parcel"]["id"]
        assert await ada.data(change(name, more), id=target) == {"parcel": left, "errors": []}
    assert await ada.data(change("relabel", ', label: "c"'), id=parcel) == {
        "parcel": None,
        "errors": [{"code": "NOT_FOUND"}],
    }


async def test_a_list_reads_what_is_asked_for_and_people_all_at_once(site: Running) -> None:
    ada, _ = await signed_up(site, "ada")
    for label in "abc":
        await ada.data(SEND, l=label)
    with reading(site, "dec_parcels") as found, reading(site, "users") as people:
        page = await ada.data("{ parcels { nodes { ...P } } } fragment P on Parcel { label sender { username } }")
    assert page["nodes"] == [{"label": each, "sender": {"username": "ada"}} for each in "cba"]
    assert len(found) == 1
    assert "label" in found[0]
    assert "seen_at" not in found[0]
    assert len(people) == 1


async def test_who_writes_a_field_by_hand_finds_all_attributes(site: Running) -> None:
    ada, key = await signed_up(site, "ada")
    rental = models.Rental(renter_id=key, landlord_id=key, place="Elm Street")
    await site.app.db.write(lambda session: session.add(rental))
    assert await ada.data("{ rentals { nodes { title } } }") == {"nodes": [{"title": "Elm Street None"}]}


async def test_orders_have_a_direction_of_their_own(site: Running) -> None:
    ada, key = await signed_up(site, "ada")

    def add(session: Session) -> None:
        session.add_all(models.Parcel(sender_id=key, pieces=each, price=Decimal(-each)) for each in (2, 3, 1))

    await site.app.db.write(add)
    query = "query ($o: ParcelOrder) { parcels(orderBy: $o) { nodes { pieces } } }"
    for order, pieces in (
        ({"field": "PIECES"}, [3, 2, 1]),
        ({"field": "PIECES", "direction": "ASC"}, [1, 2, 3]),
        ({"field": "PRICE"}, [3, 2, 1]),
        ({"field": "PRICE", "direction": "DESC"}, [1, 2, 3]),
    ):
        assert [each["pieces"] for each in (await ada.data(query, o=order))["nodes"]] == pieces


async def test_a_mutation_may_say_how_its_entity_is_loaded(site: Running) -> None:
    ada, key = await signed_up(site, "ada")
    rental = models.Rental(renter_id=key, landlord_id=key, place="Elm Street")
    await site.app.db.write(lambda session: session.add(rental))
    (found,) = (await ada.data("{ rentals { nodes { id } } }"))["nodes"]
    with reading(site, "dec_tenants") as alone:
        done = await ada.data("mutation ($id: ID!) { visit(input: {id: $id}) { rental { title } } }", id=found["id"])
    assert done == {"rental": {"title": "Elm Street visited ada"}}
    assert alone == []


@pytest.mark.parametrize(
    "order", [models.Parcel.label + "x", models.Tenant.name.desc(), models.Parcel.label.desc().nulls_last()]
)
def test_an_order_is_an_attribute_of_the_model_with_or_without_a_direction(order: Any) -> None:
    class Sent(Node):
        """A parcel."""

    with pytest.raises(TypeError, match=r"no attribute of Parcel, nor one with \.asc\(\) or \.desc\(\)"):
        entity(models.Parcel, many="all_sent", orders=[order])(Sent)
