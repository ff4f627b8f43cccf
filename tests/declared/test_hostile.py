"""Values that no column can hold, and cursors that were tampered with: a typed error, on both databases."""

import base64
import json
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from gql_app.accounts import NewUser, Passwords, User, sign_up
from gql_app.api.ids import encode_id
from gql_app.testing.client import Client
from gql_app.testing.server import Running
from tests.declared.models import Parcel, Tenant
from tests.people import PASSWORD, log_in
from tests.things import rows_of

PARCELS = """
    query ($after: String, $f: ParcelFilter, $o: ParcelOrder, $first: Int = 1) {
      parcels(first: $first, after: $after, filter: $f, orderBy: $o) {
        nodes { id label price } pageInfo { endCursor hasNextPage }
      }
    }"""
LONG = "Ж" * 39


@pytest.fixture
async def ada(site: Running) -> Client:
    hashed = await site.app.resource(Passwords).hash(PASSWORD)

    def fill(session: Session) -> None:
        user, _ = sign_up(session, NewUser("ada", "ada@example.test", hashed), None)
        session.add(Tenant(id=user.id, name="ada"))
        session.add_all([Parcel(sender_id=user.id, label=LONG + str(number), pieces=number) for number in range(3)])
        session.add(Tenant(id=user.id + 1, name="bea"))

    await site.app.db.write(fill)
    return await log_in(site.url, "ada")


async def walk(client: Client, field: str) -> list[str]:
    found: list[str] = []
    after = None
    while True:
        page = await client.data(PARCELS, after=after, o={"field": field, "direction": "ASC"})
        found += [each["id"] for each in page["nodes"]]
        if not page["pageInfo"]["hasNextPage"]:
            return found
        after = page["pageInfo"]["endCursor"]


async def test_long_texts_that_are_not_ascii_can_be_paged_through(ada: Client) -> None:
    assert len(set(await walk(ada, "LABEL"))) == 3


@pytest.mark.only_on("sqlite", reason="PostgreSQL rounds what it stores")
@pytest.mark.unwitnessed("digits that the type rounds away are written past the log")
async def test_digits_that_the_type_rounds_away_repeat_no_row_and_lose_none(site: Running, ada: Client) -> None:
    async with site.app.db.writing() as connection:
        for number, price in enumerate((1.004, 1.006, 1.008)):
            await connection.execute(text(f"UPDATE dec_parcels SET price = {price} WHERE pieces = {number}"))
    found = await walk(ada, "PRICE")
    assert len(found) == len(set(found)) == 3


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("LABEL", "\ud800"),
        ("LABEL", "x\0"),
        ("PIECES", 2**40),
        ("PIECES", "1"),
        ("PRICE", "1E-99999"),
        ("PRICE", "sNaN"),
        ("WEIGHT", "nan"),
        ("DUE", "99999-01-01"),
        ("CREATED_AT", "0001-01-01T00:00:00+14:00"),
        ("ROUTE", "no uuid"),
        ("STATUS", "GONE"),
        ("FRAGILE", "maybe"),
        ("AT", "25:00"),
    ],
)
async def test_a_cursor_that_was_tampered_with_is_refused_or_finds_nothing_wrong(
    ada: Client, field: str, value: Any
) -> None:
    names = {"LABEL": "label", "PIECES": "pieces", "CREATED_AT": "created_at"}
    name = f"Parcel.{names.get(field, field.lower())}"
    key = "00000000-0000-0000-0000-000000000001"
    cursor = base64.urlsafe_b64encode(json.dumps([name, value, key]).encode()).decode()
    answer = await ada.send(PARCELS, after=cursor, o={"field": field, "direction": "ASC"})
    assert [each["extensions"]["code"] for each in answer.get("errors", [])] in ([], ["INVALID"]), answer


@pytest.mark.parametrize(
    "given", [{"due": "0001-01-01"}, {"route": "00000000-0000-0000-0000-000000000000"}, {"fragile": True}]
)
async def test_a_filter_that_no_row_meets_finds_nothing(ada: Client, given: dict[str, Any]) -> None:
    assert (await ada.data(PARCELS, f=given))["nodes"] == []


async def test_a_text_that_cannot_be_stored_is_refused(site: Running, ada: Client) -> None:
    end = "mutation ($id: ID!, $why: String) { endRental(input: {id: $id, because: $why}) { errors { code } } }"
    offer = (
        'mutation ($to: ID!) { offerRental(input: {renterId: $to, place: "Here"}) { rental { id } errors { code } } }'
    )
    someone = next(each for each in await rows_of(site.app.db, Tenant) if each.name == "bea")
    rental = (await ada.data(offer, to=encode_id("DecTenant", someone.public_id)))["rental"]["id"]
    for text_ in ("x\0", "x" * 300):
        answer = await ada.send(end, id=rental, why=text_)
        codes = [each["extensions"]["code"] for each in answer.get("errors", [])]
        payload = [each["code"] for each in answer["data"]["endRental"]["errors"]] if answer.get("data") else []
        assert "INTERNAL" not in codes, answer
        assert codes + payload in ([], ["INVALID"], ["BAD_USER_INPUT"]), answer
    assert len(await rows_of(site.app.db, User)) == 1
