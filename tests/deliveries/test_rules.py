"""Who is owed what, and that it is owed by the very transaction that changed it."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.orm import Session

from gql_app.accounts.models import PremiumUser, User
from gql_app.changes.models import ChangeRecord
from gql_app.db import Database
from gql_app.deliveries.gsm7 import fits
from gql_app.deliveries.messages import Owed, sms
from gql_app.deliveries.models import BUILT_IN, Channel, Delivery, DeliveryState
from gql_app.deliveries.rules import Change, on_change, on_create
from gql_app.demo.fuel_requests.models import FuelRequest, FuelRequestStatus
from tests.ruling import besides, said
from tests.things import add_request, add_user, logged, new_premium_user, new_request, new_user, rows_of

APPROVED, REJECTED, PENDING = FuelRequestStatus.APPROVED, FuelRequestStatus.REJECTED, FuelRequestStatus.PENDING


class Oops(Exception):
    """What a unit of work raises in these tests."""


async def owed_since(db: Database, known: set[UUID]) -> list[Delivery]:
    return [row for row in await rows_of(db, Delivery) if row.public_id not in known]


async def known(db: Database) -> set[UUID]:
    return {row.public_id for row in await rows_of(db, Delivery)}


def short(rows: list[Delivery]) -> list[tuple[Channel, str, str]]:
    return sorted(((row.channel, row.recipient, row.rule) for row in rows), key=str)


# --- In the same transaction -------------------------------------------------------------------------------


async def test_a_rolled_back_unit_of_work_owes_nothing(db: Database) -> None:
    request = await add_request(db, await add_user(db))
    before = await known(db)

    def decide_and_fail(session: Session) -> None:
        session.get_one(FuelRequest, request.id).status = APPROVED
        session.add(new_user("linus"))
        session.flush()
        raise Oops

    with pytest.raises(Oops):
        await db.write(decide_and_fail)
    assert await owed_since(db, before) == []


async def test_a_rolled_back_savepoint_in_a_committed_one_owes_nothing(db: Database) -> None:
    ada = await add_user(db)
    kept, undone = await add_request(db, ada), await add_request(db, ada)
    before = await known(db)

    def decide(session: Session) -> None:
        session.get_one(FuelRequest, kept.id).status = REJECTED
        with pytest.raises(Oops), session.begin_nested():
            session.get_one(FuelRequest, undone.id).status = APPROVED
            session.flush()
            raise Oops

    await db.write(decide)
    owed = await owed_since(db, before)
    assert {row.channel for row in owed} == set(BUILT_IN)
    assert len(owed) == 2
    assert all("Approved" not in said(row).body for row in owed)


async def test_a_released_savepoint_owes_what_it_changed_once(db: Database) -> None:
    request = await add_request(db, await add_user(db))
    before = await known(db)

    def decide(session: Session) -> None:
        with session.begin_nested():
            session.get_one(FuelRequest, request.id).status = APPROVED

    await db.write(decide)
    assert len(await owed_since(db, before)) == 2


async def test_there_and_back_again_owes_nothing(db: Database) -> None:
    request = await add_request(db, await add_user(db))
    before = await known(db)

    def waver(session: Session) -> None:
        row = session.get_one(FuelRequest, request.id)
        row.status = APPROVED
        session.flush()
        row.status = PENDING

    await db.write(waver)
    assert await owed_since(db, before) == []


async def test_only_the_last_of_several_decisions_is_told(db: Database) -> None:
    request = await add_request(db, await add_user(db))
    before = await known(db)

    def waver(session: Session) -> None:
        row = session.get_one(FuelRequest, request.id)
        row.status = APPROVED
        session.flush()
        row.status = REJECTED

    await db.write(waver)
    bodies = [said(row).body for row in await owed_since(db, before)]
    assert len(bodies) == 2
    assert all("Rejected" in body and "Approved" not in body for body in bodies)


async def test_the_same_value_again_owes_nothing(db: Database) -> None:
    ada = await add_user(db)
    before = await known(db)

    def again(session: Session) -> None:
        session.get_one(User, ada.id).email = "ada@example.test"

    await db.write(again)
    assert await owed_since(db, before) == []


async def test_what_is_owed_is_in_the_log_under_the_change_that_owes_it(db: Database) -> None:
    request = await add_request(db, await add_user(db))
    position = (await logged(db))[-1].position

    def decide(session: Session) -> None:
        session.get_one(FuelRequest, request.id).status = APPROVED

    await db.write(decide)
    events = await logged(db, after=position)
    (change_set,) = {event.change_set for event in events}
    owed = [row for row in await rows_of(db, Delivery) if row.change_set == change_set]
    assert {e.entity_id for e in events if e.entity_type == "Delivery"} == {row.public_id for row in owed}
    assert {(row.state, row.attempt_count, row.failure_count, row.lease) for row in owed} == {
        (DeliveryState.PENDING, 0, 0, None)
    }
    assert all(row.due_at is not None for row in owed)


async def test_a_rule_that_fails_rolls_everything_back(db: Database) -> None:
    ada = await add_user(db)
    request = await add_request(db, ada)

    @besides(db)
    @on_change(FuelRequest.status, propagate=True)
    def fail(change: Change[FuelRequest]) -> Iterator[Owed]:
        yield sms(ada, "this is not said either")
        raise Oops

    before, log = await known(db), len(await logged(db))

    def decide(session: Session) -> None:
        session.get_one(FuelRequest, request.id).status = APPROVED

    with pytest.raises(Oops):
        await db.write(decide)
    (row,) = await rows_of(db, FuelRequest)
    assert row.status is PENDING
    assert await owed_since(db, before) == []
    assert len(await logged(db)) == log


async def test_a_rule_that_changes_something_rolls_everything_back(db: Database) -> None:
    request = await add_request(db, await add_user(db))

    @besides(db)
    @on_change(FuelRequest.status, propagate=True)
    def meddle(change: Change[FuelRequest]) -> Iterator[Owed]:
        change.subject.litres = Decimal(1)
        yield from ()

    def decide(session: Session) -> None:
        session.get_one(FuelRequest, request.id).status = APPROVED

    with pytest.raises(RuntimeError, match="a recorder or rule changed"):
        await db.write(decide)
    (row,) = await rows_of(db, FuelRequest)
    assert (row.status, row.litres) == (PENDING, Decimal(10))


# --- What a rule may watch ---------------------------------------------------------------------------------


@pytest.mark.parametrize("attribute", [FuelRequest.decided_at, User.plan, Delivery.due_at, ChangeRecord.kind])
def test_a_rule_on_an_untracked_attribute_is_refused_at_import(attribute: Any) -> None:
    with pytest.raises(TypeError, match="is not tracked"):
        on_change(attribute, propagate=True)


@pytest.mark.parametrize(("propagate", "heard"), [(True, ["ada", "linus"]), (False, ["linus"])])
async def test_a_rule_hears_of_subclasses_only_if_it_says_so(db: Database, propagate: bool, heard: list[str]) -> None:
    told: list[str] = []

    @besides(db)
    @on_create(User, propagate=propagate)
    def listen(change: Change[User]) -> Iterator[Owed]:
        told.append(change.subject.username)
        yield from ()

    await db.write(lambda session: session.add_all([new_premium_user("ada"), new_user("linus")]))
    assert sorted(told) == heard


# --- Accounts ----------------------------------------------------------------------------------------------

MAKERS: dict[type[User], tuple[Callable[[], User], str]] = {
    User: (new_user, "accounts.rules.welcome"),
    PremiumUser: (new_premium_user, "accounts.rules.welcome_premium"),
}


def kinds_of_user() -> list[type[User]]:
    mapper: Any = User.__mapper__
    return [each.class_ for each in mapper.self_and_descendants]


@pytest.mark.parametrize("kind", kinds_of_user())
async def test_every_kind_of_user_gets_its_own_welcome_and_no_other(db: Database, kind: type[User]) -> None:
    make, rule = MAKERS[kind]
    await db.write(lambda session: session.add(make()))
    assert short(await owed_since(db, set())) == [(Channel.EMAIL, "ada@example.test", rule)]


async def test_the_welcomes_differ(db: Database) -> None:
    await db.write(lambda session: session.add_all([new_premium_user("ada"), new_user("linus")]))
    subjects = {row.recipient: said(row).subject for row in await rows_of(db, Delivery)}
    assert subjects == {"ada@example.test": "Welcome to Premium", "linus@example.test": "Welcome"}


@pytest.mark.parametrize("kind", kinds_of_user())
async def test_a_changed_address_is_told_to_the_old_one(db: Database, kind: type[User]) -> None:
    user = MAKERS[kind][0]()
    await db.write(lambda session: session.add(user))
    before = await known(db)

    def change(session: Session) -> None:
        session.get_one(User, user.id).email = "new@example.test"

    await db.write(change)
    (owed,) = await owed_since(db, before)
    assert (owed.channel, owed.recipient, owed.recipient_id) == (Channel.EMAIL, "ada@example.test", user.id)
    assert "new@example.test" in said(owed).body


@pytest.mark.parametrize("kind", kinds_of_user())
async def test_a_changed_password_is_told_without_any_hash(db: Database, kind: type[User]) -> None:
    user = MAKERS[kind][0]()
    await db.write(lambda session: session.add(user))
    before, new_hash = await known(db), "$2b$04$" + "b" * 53

    def change(session: Session) -> None:
        session.get_one(User, user.id).password_hash = new_hash

    await db.write(change)
    (owed,) = await owed_since(db, before)
    assert (owed.channel, owed.recipient) == (Channel.EMAIL, "ada@example.test")
    assert "$2b$" not in f"{said(owed)}{owed.template_values}"


# --- Fuel requests -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [APPROVED, REJECTED])
async def test_a_decision_owes_one_sms_and_one_mail(db: Database, status: FuelRequestStatus) -> None:
    ada = await add_user(db)
    request = await add_request(db, ada)
    before = await known(db)

    def decide(session: Session) -> None:
        session.get_one(FuelRequest, request.id).status = status

    await db.write(decide)
    owed = await owed_since(db, before)
    rule = "demo.fuel_requests.rules.tell_requester"
    assert short(owed) == [(Channel.EMAIL, "ada@example.test", rule), (Channel.SMS, "+15005550100", rule)]
    assert {row.recipient_id for row in owed} == {ada.id}
    by_channel = {row.channel: said(row) for row in owed}
    text = f"The status of your Fuel Request has changed to {status.label}."
    assert by_channel[Channel.SMS].body == text
    assert (by_channel[Channel.SMS].subject, by_channel[Channel.SMS].html) == (None, None)
    assert by_channel[Channel.EMAIL].subject == f"Your fuel request was {status.label.lower()}"


@pytest.mark.parametrize("number", [None, ""])
async def test_without_a_phone_number_there_is_no_sms(db: Database, number: str | None) -> None:
    request = await add_request(db, await add_user(db, phone_number=number))
    before = await known(db)

    def decide(session: Session) -> None:
        session.get_one(FuelRequest, request.id).status = APPROVED

    await db.write(decide)
    assert [row.channel for row in await owed_since(db, before)] == [Channel.EMAIL]


async def test_a_new_request_owes_nobody_a_message(db: Database) -> None:
    ada = await add_user(db)
    before = await known(db)
    await db.write(lambda session: session.add(new_request(ada)))
    assert await owed_since(db, before) == []


async def test_it_is_told_to_the_number_of_the_moment_of_the_decision(db: Database) -> None:
    ada = await add_user(db)
    request = await add_request(db, ada)
    before = await known(db)

    def move_and_decide(session: Session) -> None:
        session.get_one(FuelRequest, request.id).status = APPROVED
        session.get_one(User, ada.id).phone_number = "+15005550199"

    await db.write(move_and_decide)
    recipients = {row.recipient for row in await owed_since(db, before) if row.channel is Channel.SMS}
    assert recipients == {"+15005550199"}


@pytest.mark.parametrize("status", [APPROVED, REJECTED])
async def test_every_sms_fits_one_part_of_the_plain_alphabet(db: Database, status: FuelRequestStatus) -> None:
    request = await add_request(db, await add_user(db, "Zoë-Łucja"))

    def decide(session: Session) -> None:
        row = session.get_one(FuelRequest, request.id)
        row.status, row.decision_note = status, "Gute Reise – 😀"

    await db.write(decide)
    texts = [said(row).body for row in await rows_of(db, Delivery) if row.channel is Channel.SMS]
    assert len(texts) == 1
    assert all(fits(text) and len(text) <= 160 for text in texts)


def test_an_sms_is_made_plain_where_it_can_be() -> None:
    assert sms(new_user(), "It’s “approved” – Zoë…").body == 'It\'s "approved" - Zoe...'
