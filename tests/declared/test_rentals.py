"""Two people, a conflict, a stream, messages: what comes from the declaration does what was declared."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.orm import Session

from gql_app.accounts import NewUser, Passwords, User, sign_up
from gql_app.api.ids import encode_id
from gql_app.deliveries.models import Delivery
from gql_app.testing.client import Client
from gql_app.testing.server import Running
from tests.declared.models import Rental, Tenant, Truck
from tests.people import PASSWORD, log_in
from tests.things import rows_of

OFFER = "mutation ($to: ID!, $place: String!) { offerRental(input: {renterId: $to, place: $place}) { rental { id } errors { code field } } }"  # noqa: E501
AGREE = "mutation ($id: ID!) { agree(input: {id: $id}) { rental { status } errors { code field } } }"
END = "mutation ($id: ID!, $why: String) { endRental(input: {id: $id, because: $why}) { rental { isOver endedBecause } errors { code } } }"  # noqa: E501
RENTAL = "query ($id: ID!) { rental(id: $id) { place status landlord { name } } }"
RENTALS = "query ($f: RentalFilter, $o: RentalOrder) { rentals(filter: $f, orderBy: $o) { nodes { place } } }"
STATUS = "subscription ($id: ID, $after: String) { rentalStatusChanged(id: $id, after: $after) { cursor previousStatus status rental { place } } }"  # noqa: E501


@pytest.fixture
async def people(site: Running) -> dict[str, Client]:
    """ada, bea and cleo, who are tenants."""
    hashed = await site.app.resource(Passwords).hash(PASSWORD)
    for name in ("ada", "bea", "cleo"):

        def add(session: Session, name: str = name) -> None:
            user, _ = sign_up(session, NewUser(name, f"{name}@example.test", hashed), None)
            session.add(Tenant(id=user.id, name=name, phone_number="+15005550100"))

        await site.app.db.write(add)
    return {name: await log_in(site.url, name) for name in ("ada", "bea", "cleo")}


async def tenant(site: Running, name: str) -> str:
    (found,) = [each for each in await rows_of(site.app.db, Tenant) if each.name == name]
    return encode_id("DecTenant", found.public_id)


async def offer(site: Running, by: Client, to: str, place: str) -> str:
    return str((await by.data(OFFER, to=await tenant(site, to), place=place))["rental"]["id"])


async def test_a_rental_from_the_offer_to_its_end(site: Running, people: dict[str, Client]) -> None:
    ada, bea, cleo = people["ada"], people["bea"], people["cleo"]
    async with ada.subscribed(STATUS) as adas, bea.subscribed(STATUS) as beas, cleo.subscribed(STATUS) as cleos:
        rental = await offer(site, ada, "bea", "12 Elm Street")
        assert await bea.data(AGREE, id=rental) == {"rental": {"status": "AGREED"}, "errors": []}
        conflict = {"rental": None, "errors": [{"code": "CONFLICT", "field": ["input", "id"]}]}
        assert await bea.data(AGREE, id=rental) == conflict
        assert await ada.error(AGREE, id=rental) == "FORBIDDEN"
        missing = {"rental": None, "errors": [{"code": "NOT_FOUND", "field": ["input", "id"]}]}
        assert await cleo.data(AGREE, id=rental) == missing
        ended = await ada.data(END, id=rental, why="sold")
        assert ended == {"rental": {"isOver": True, "endedBecause": "sold"}, "errors": []}
        for stream in (adas, beas):
            events = await stream.take(3)
            assert [(each["previousStatus"], each["status"]) for each in events] == [
                (None, "OFFERED"), ("OFFERED", "AGREED"), ("AGREED", "ENDED"),
            ]  # fmt: skip
            assert events[-1]["rental"] == {"place": "12 Elm Street"}
        other = await offer(site, cleo, "cleo", "Her own")
        assert (await cleos.next())["rental"] == {"place": "Her own"}  # nothing of the others'
        async with bea.subscribed(STATUS, after=events[0]["cursor"]) as resumed:
            assert [each["status"] for each in await resumed.take(2)] == ["AGREED", "ENDED"]
        assert other != rental
    assert await bea.data(RENTAL, id=rental) == {
        "place": "12 Elm Street", "status": "ENDED", "landlord": {"name": "ada"},
    }  # fmt: skip
    assert await cleo.data(RENTAL, id=rental) is None
    texts = [each.body for each in await rows_of(site.app.db, Delivery) if each.body and "rental" in each.body]
    assert texts == ["12 Elm Street: the rental has ended."] * 2


async def test_the_field_that_is_to_blame_is_named_as_clients_write_it(
    site: Running, people: dict[str, Client]
) -> None:
    nobody = encode_id("DecTenant", UUID(int=1))
    refused = await people["ada"].data(OFFER, to=nobody, place="Here")
    assert refused["errors"] == [{"code": "NOT_FOUND", "field": ["input", "renterId"]}]
    refused = await people["ada"].data(OFFER, to="x", place="Here")
    assert refused["errors"] == [{"code": "INVALID", "field": ["input", "renterId"]}]
    wrong = await people["ada"].send(RENTALS, f={"landlordId": "x"})
    assert wrong["errors"][0]["extensions"]["field"] == ["filter", "landlordId"]


async def test_an_entity_for_anybody_is_found_out_of_sight(site: Running, people: dict[str, Client]) -> None:
    rental = await offer(site, people["ada"], "bea", "Here")
    await site.app.db.write(lambda session: session.add(Truck(depot="north", number=1)))
    (truck,) = await rows_of(site.app.db, Truck)
    park = """mutation ($id: ID!, $t: ID!) {
        park(input: {id: $id, truckId: $t}) { rental { place } errors { code field } } }"""
    parked = await people["ada"].data(park, id=rental, t=encode_id("DecTruck", truck.public_id))
    assert parked["rental"] == {"place": "Here, at north"}
    missing = await people["ada"].data(park, id=rental, t=encode_id("DecTruck", UUID(int=1)))
    assert missing["errors"] == [{"code": "NOT_FOUND", "field": ["input", "truckId"]}]


async def test_a_stream_of_one_that_may_not_be_seen_is_refused(site: Running, people: dict[str, Client]) -> None:
    rental = await offer(site, people["ada"], "bea", "Here")
    async with people["cleo"].subscribed(STATUS, id=rental) as hers:
        assert await hers.error() == "NOT_FOUND"


async def test_lists_are_filtered_and_ordered_also_by_what_is_not_there(
    site: Running, people: dict[str, Client]
) -> None:
    ada = people["ada"]
    first = await offer(site, ada, "bea", "B")
    await offer(site, ada, "cleo", "A")
    await offer(site, people["bea"], "ada", "C")
    await ada.data(END, id=first, why="sold")

    async def places(client: Client = ada, **arguments: Any) -> list[str]:
        return [each["place"] for each in (await client.data(RENTALS, **arguments))["nodes"]]

    assert await places() == ["B", "C", "A"]  # the latest change first
    assert await places(o={"field": "PLACE", "direction": "ASC"}) == ["A", "B", "C"]
    assert await places(f={"status": "ENDED"}) == ["B"]
    assert await places(f={"status": None}) == ["B", "C", "A"]  # it always has one: null means any
    assert await places(f={"endedBecause": None}, o={"field": "PLACE", "direction": "DESC"}) == ["C", "A"]
    assert await places(f={"landlordId": await tenant(site, "bea")}) == ["C"]
    assert await places(f={"landlordId": await tenant(site, "cleo")}) == []
    assert await places(people["cleo"]) == ["A"]
    strange = encode_id("DecRental", (await rows_of(site.app.db, Rental))[0].public_id)
    assert await ada.error(RENTALS, f={"landlordId": strange}) == "INVALID"
    assert await ada.error(RENTAL, id="nonsense") == "INVALID"


async def test_nobody_does_anything_without_signing_in(site: Running, people: dict[str, Client]) -> None:
    rental = await offer(site, people["ada"], "bea", "Here")
    nobody = Client(site.url)
    for query in (RENTAL, RENTALS, AGREE, END):
        assert await nobody.error(query, id=rental) == "UNAUTHENTICATED"
    assert {user.username for user in await rows_of(site.app.db, User)} == {"ada", "bea", "cleo"}
