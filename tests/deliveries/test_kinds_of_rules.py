"""Rules on several attributes, on deletion, on another audience, and with conditions."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from gql_app.accounts.models import User
from gql_app.changes.models import AUDIENCE
from gql_app.db import Database
from gql_app.deliveries.messages import Owed, sms
from gql_app.deliveries.models import Delivery
from gql_app.deliveries.rules import Change, on_audience, on_change, on_create, on_delete
from gql_app.demo.fuel_requests.models import FuelRequest, FuelRequestStatus
from gql_app.demo.projects.models import Project
from tests.ruling import Ruled, alone
from tests.things import add_request, add_user, logged, rows_of


@pytest.fixture
def ruled(db: Database) -> Ruled:
    """The rules of a test are the only ones in it."""
    return alone(db)


async def texts(db: Database) -> list[str]:
    return sorted(row.body for row in await rows_of(db, Delivery))


def to_requester(change: Change[FuelRequest], text: str) -> Owed:
    return sms(change.session.get_one(User, change.subject.requester_id), text)


async def test_a_rule_on_several_attributes_runs_once_for_all_of_them(db: Database, ruled: Ruled) -> None:
    @ruled
    @on_change(FuelRequest.status, FuelRequest.litres, FuelRequest.note, propagate=True)
    def tell(change: Change[FuelRequest]) -> Iterator[Owed]:
        changed = [each.key for each in (FuelRequest.status, FuelRequest.litres) if change.changed(each)]
        was = change.was(FuelRequest.litres)
        assert (change.old, change.new) == (None, None)
        yield to_requester(change, f"{' and '.join(changed)}: {was} is {change.subject.litres}")

    first, second = [await add_request(db, await add_user(db, name)) for name in ("ada", "linus")]

    def change_both(session: Session) -> None:
        request = session.get_one(FuelRequest, first.id)
        request.status, request.litres = FuelRequestStatus.APPROVED, Decimal(7)
        session.get_one(FuelRequest, second.id).status = FuelRequestStatus.APPROVED
        session.flush()
        request.note = "n"

    await db.write(change_both)
    assert await texts(db) == ["status and litres: 10.00 is 7.00", "status: 10.00 is 10.00"]


async def test_attributes_of_two_models_are_refused() -> None:
    with pytest.raises(TypeError, match="attributes of one model"):
        on_change(FuelRequest.status, Project.status, propagate=True)


async def test_a_condition_that_does_not_hold_leaves_nothing_behind(db: Database, ruled: Ruled) -> None:
    @ruled
    @on_change(FuelRequest.litres, propagate=True, when=lambda change: change.new > change.old)
    def tell_of_more(change: Change[FuelRequest]) -> Iterator[Owed]:
        yield to_requester(change, f"more: {change.new}")

    @ruled
    @on_create(FuelRequest, propagate=True, when=lambda change: change.subject.litres > 50)
    def tell_of_much(change: Change[FuelRequest]) -> Iterator[Owed]:
        yield to_requester(change, "much")

    ada, eve = await add_user(db), await add_user(db, "eve", phone_number=None)
    small, _, silent = [await add_request(db, who, litres=Decimal(n)) for who, n in ((ada, 1), (ada, 99), (eve, 1))]
    for request in (small, silent):
        for litres in (9, 3):

            def change_it(session: Session, key: int = request.id, to: int = litres) -> None:
                session.get_one(FuelRequest, key).litres = Decimal(to)

            await db.write(change_it)
    assert await texts(db) == ["more: 9.00", "much"]  # `witnessed` runs check, which finds nothing


@pytest.mark.parametrize("way", ["flush", "bulk", "bulk, of objects that are held"])
async def test_a_deletion_is_told_with_what_the_row_held(db: Database, ruled: Ruled, way: str) -> None:
    @ruled
    @on_delete(FuelRequest, propagate=True)
    def tell(change: Change[FuelRequest]) -> Iterator[Owed]:
        yield to_requester(change, f"gone: {change.subject.litres} {change.subject.note}")

    ada = await add_user(db)
    keys = [(await add_request(db, ada, note=note, litres=Decimal(4))).id for note in "ab"]

    def delete_them(session: Session) -> None:
        if way == "flush":
            for key in keys:
                session.delete(session.get_one(FuelRequest, key))
            return
        held = session.scalars(select(FuelRequest)).all() if "held" in way else []
        for request in held:
            request.note = (request.note or "") + "!"
        session.execute(delete(FuelRequest).where(FuelRequest.id.in_(keys)))

    await db.write(delete_them)
    mark = "!" if "held" in way else ""
    assert await texts(db) == [f"gone: 4.00 a{mark}", f"gone: 4.00 b{mark}"]
    (rule,) = {row.rule for row in await rows_of(db, Delivery)}
    assert rule.endswith("tell")


async def test_what_is_created_and_deleted_at_once_is_not_told(db: Database, ruled: Ruled) -> None:
    @ruled
    @on_delete(FuelRequest, propagate=True)
    def tell(change: Change[FuelRequest]) -> Iterator[Owed]:
        yield to_requester(change, "gone")

    ada = await add_user(db)

    def come_and_go(session: Session) -> None:
        request = FuelRequest(requester_id=ada.id, litres=Decimal(1))
        session.add(request)
        session.flush()
        session.delete(request)

    await db.write(come_and_go)
    assert await texts(db) == []


@pytest.mark.parametrize("in_bulk", [False, True])
async def test_a_rule_tells_both_sides_of_another_audience(db: Database, ruled: Ruled, in_bulk: bool) -> None:
    told: list[UUID] = []

    @ruled
    @on_audience(FuelRequest, propagate=True)
    def tell_both(change: Change[FuelRequest]) -> Iterator[Owed]:
        told.append(change.subject.public_id)
        for people, text in ((change.people_who_came, "yours now"), (change.people_who_left, "no longer yours")):
            for person in people:
                user = change.session.get_one(User, person)
                yield sms(user, f"{user.username}: {text}")

    ada, linus = await add_user(db), await add_user(db, "linus")
    request = await add_request(db, ada)

    def hand_over(session: Session) -> None:
        if in_bulk:
            session.execute(update(FuelRequest).values(requester_id=linus.id))
        else:
            session.get_one(FuelRequest, request.id).requester_id = linus.id

    await db.write(hand_over)
    assert told == [request.public_id]
    assert await texts(db) == ["ada: no longer yours", "linus: yours now"]
    (moved,) = [event for event in await logged(db) if event.attribute == AUDIENCE]
    assert moved.owner_id == linus.id
    assert moved.keys_before == {f"user:{ada.id}"}


@pytest.mark.parametrize(("outcome", "said"), [(None, "has returned None"), (["a text"], "has yielded 'a text'")])
async def test_a_rule_that_yields_no_message_is_named(db: Database, outcome: Any, said: str) -> None:
    @alone(db)
    @on_create(User, propagate=True)
    def forgetful(change: Change[User]) -> Any:
        return outcome

    with pytest.raises(TypeError, match=f"the rule .*forgetful {said}"):
        await add_user(db)
