"""Texts are frozen when they are owed, and rendered when they are sent or shown."""

import contextlib
import random
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from gql_app import migrations
from gql_app.accounts.models import User
from gql_app.app import App, senders
from gql_app.db import Database
from gql_app.deliveries import due, queue, service, values
from gql_app.deliveries.messages import Owed, email, message, sms
from gql_app.deliveries.models import Channel, Delivery, DeliveryState, Fault
from gql_app.deliveries.rules import Change, on_create
from gql_app.deliveries.templates import Templates
from gql_app.deliveries.texts import TEXTS, Texts, Unrenderable
from gql_app.deliveries.workers import Workers
from gql_app.errors import ConfigurationError
from gql_app.settings import Settings
from tests.conftest import POLL
from tests.deliveries.room import Room
from tests.ruling import alone
from tests.standins.smtp import SmtpStandIn
from tests.standins.twilio import TwilioFault, TwilioStandIn
from tests.things import add_user, new_user, rows_of

BERTHS = Templates("tests.deliveries.wording")
VALUES: dict[str, Any] = {"berth": 7, "state": "free", "price": Decimal("12.50"), "day": date(2026, 5, 1)}
GERMAN = "Der Liegeplatz 7 ist free."
ENGLISH = "Berth 7 is free."


@dataclass
class Speaker:
    """Somebody who has a language."""

    language: str | None
    id: int = 1
    email: str | None = "ada@example.test"
    phone_number: str | None = "+15005550100"


def with_berths(db: Database) -> Texts:
    texts = Texts({"berths": BERTHS})
    db.session_info |= {TEXTS: texts}
    return texts


async def owed_by(db: Database, *owed: Owed) -> list[Delivery]:
    """What is in the queue after a rule has yielded this."""

    @alone(db)
    @on_create(User, propagate=True)
    def rule(change: Change[User]) -> Iterator[Owed]:
        yield from owed

    await add_user(db)
    return list(await rows_of(db, Delivery))


def berth_row(**columns: Any) -> dict[str, Any]:
    """The columns of a message from a template, for `Room.owe`."""
    frozen = values.freeze(VALUES)
    return {
        "subject": None,
        "body": None,
        "html": None,
        "template": "berths/berth",
        "template_values": frozen,
    } | columns


# --- Frozen ------------------------------------------------------------------------------------------------


async def test_the_queue_holds_values_and_no_text(db: Database) -> None:
    texts = with_berths(db)
    rows = await owed_by(
        db, sms(new_user(id=1), BERTHS, "berth", **VALUES), email(new_user(id=1), BERTHS, "berth", **VALUES)
    )
    assert {row.template for row in rows} == {"berths/berth"}
    assert {(row.body, row.subject, row.html) for row in rows} == {(None, None, None)}
    by_channel = {row.channel: texts.render(row) for row in rows}
    assert by_channel[Channel.SMS].body == ENGLISH
    mail = by_channel[Channel.EMAIL]
    assert (mail.subject, mail.body) == ("Berth 7 is free", "It costs 12.50 from 2026-05-01 on.\n")
    assert '<html lang="en">' in str(mail.html)


@pytest.mark.parametrize("missing", ["berth", "state", "price", "day"])
async def test_a_value_that_the_template_takes_and_the_rule_forgets_undoes_the_change(
    db: Database, missing: str
) -> None:
    with_berths(db)
    given = {name: value for name, value in VALUES.items() if name != missing}
    with pytest.raises(TypeError, match=f"takes the value {missing}"):
        await owed_by(db, email(new_user(id=1), BERTHS, "berth", **given))
    assert await rows_of(db, User) == []


async def test_a_value_that_only_a_translation_takes_is_missed_too(db: Database) -> None:
    with_berths(db)
    with pytest.raises(TypeError, match="takes the value number"):
        await owed_by(db, sms(new_user(id=1), BERTHS, "gate"))


async def test_an_entity_is_no_value(db: Database) -> None:
    with_berths(db)
    with pytest.raises(TypeError, match=r"berth is a User: .* give what the text says of it"):
        await owed_by(db, sms(new_user(id=1), BERTHS, "berth", berth=new_user(), state="free"))


async def test_templates_of_no_vertical_are_refused(db: Database) -> None:
    db.session_info |= {TEXTS: Texts({})}
    with pytest.raises(TypeError, match=r"tests\.deliveries\.wording .* templates=…"):
        await owed_by(db, sms(new_user(id=1), BERTHS, "berth", **VALUES))


async def test_a_template_that_is_not_there_is_refused_with_its_name(db: Database) -> None:
    with_berths(db)
    with pytest.raises(LookupError, match=r"no template pier\.sms\.txt"):
        await owed_by(db, sms(new_user(id=1), BERTHS, "pier"))
    with pytest.raises(LookupError, match=r"no template berth\.pager\.txt"):
        await owed_by(db, message(Channel("PAGER"), new_user(id=1), "1234", BERTHS, "berth", **VALUES))


LEAVES: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    2**70,
    1.5,
    1e300,
    "",
    'Grüße\n\u2028"$',
    "$",
    Decimal("-0.00"),
    Decimal("1E+5"),
]
LEAVES += [datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC), datetime(1, 1, 1), date(9999, 12, 31), time(23, 59), uuid4()]  # noqa: DTZ001


def anything(rng: random.Random, depth: int = 3) -> Any:
    kind = rng.randrange(4 if depth else 2)
    if kind == 2:
        return [anything(rng, depth - 1) for _ in range(rng.randrange(4))]
    if kind == 3:
        return {
            rng.choice(["a", "", "$$", "ä.b", "datetime"]): anything(rng, depth - 1) for _ in range(rng.randrange(4))
        }
    return rng.choice(LEAVES)


@pytest.mark.parametrize("seed", range(50))
def test_what_is_frozen_comes_back_as_it_was(seed: int) -> None:
    rng = random.Random(seed)
    given = {f"value{number}": anything(rng) for number in range(20)}
    thawed = values.thaw(values.freeze(given))
    assert thawed == given
    assert repr(thawed) == repr(given)


@pytest.mark.parametrize(
    "value", [object(), float("nan"), float("inf"), b"bytes", {1: 2}, {"$": ["UUID", "x"]}, [new_user()], timedelta(1)]
)
def test_what_cannot_be_kept_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="a message is rendered when it is sent"):
        values.freeze({"value": value})


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_what_no_database_can_store_is_refused(text: str) -> None:
    with pytest.raises(TypeError, match="cannot be stored"):
        values.freeze({"value": [text]})


def test_a_value_is_not_called_as_the_mark_is() -> None:
    with pytest.raises(TypeError, match="give it another name"):
        values.freeze({"$": 1})


def test_moments_and_ids_come_back_with_their_types() -> None:
    given = {"at": datetime(2026, 1, 2, tzinfo=UTC), "time": time(1, 2), "id": uuid4(), "price": Decimal("1.20")}
    thawed = values.thaw(values.freeze(given))
    assert [type(each) for each in thawed.values()] == [datetime, time, UUID, Decimal]


# --- Languages ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("de", GERMAN),
        ("de-AT", GERMAN),
        ("DE", GERMAN),
        ("de_AT", GERMAN),
        ("fr", ENGLISH),
        (None, ENGLISH),
        ("../de", ENGLISH),
        ("x" * 1000, ENGLISH),
        ("", ENGLISH),
    ],
)
async def test_a_message_is_in_the_language_of_its_recipient(db: Database, language: str | None, text: str) -> None:
    texts = with_berths(db)
    (row,) = await owed_by(db, sms(Speaker(language), BERTHS, "berth", **VALUES))
    assert texts.render(row).body == text


async def test_a_mail_says_its_language(db: Database) -> None:
    texts = with_berths(db)
    (row,) = await owed_by(db, email(Speaker("de"), BERTHS, "berth", **VALUES))
    assert texts.render(row).subject == "Liegeplatz 7: free"
    assert '<html lang="de">' in str(texts.render(row).html)


# --- Sent --------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def sending(settings: Settings, templates: Templates = BERTHS) -> AsyncIterator[tuple[App, Room]]:
    """The app with its workers, and with these templates alone."""
    app = App(settings)
    make, texts = partial(senders, settings, app.application), Texts({"berths": templates})
    app.workers = Workers(app.db, app.doorbell, make, poll_seconds=POLL, texts=texts)
    async with app.running():
        with Room(app.db).listening() as room:
            yield app, room


async def test_the_provider_gets_what_is_rendered(outside: Settings, twilio: TwilioStandIn, smtp: SmtpStandIn) -> None:
    async with sending(outside) as (_, room):
        delivery_id = await room.owe(**berth_row(language="de"))
        await room.reached(delivery_id, DeliveryState.SENT)
        await room.reached(await room.owe(Channel.EMAIL, **berth_row()), DeliveryState.SENT)
        (attempt,) = await room.attempts(delivery_id)
    assert [each.body for each in twilio.messages] == [GERMAN]
    assert attempt.text == GERMAN
    assert [mail.subject for mail in smtp.mails] == ["Berth 7 is free"]


async def test_a_message_whose_template_is_gone_waits_for_it(outside: Settings, twilio: TwilioStandIn) -> None:
    async with sending(outside) as (app, room):
        delivery_id = await room.owe(**berth_row(template="berths/gone"))
        row = await room.attempted(delivery_id)
        (attempt,) = await room.attempts(delivery_id)
        assert not any(channel.paused for channel in app.workers.channels)
    assert (row.state, row.fault) == (DeliveryState.PENDING, Fault.MESSAGE)
    assert attempt.outcome is not None
    assert (attempt.outcome.name, attempt.fault, attempt.text) == ("TRANSIENT", Fault.MESSAGE, None)
    assert "berths/gone" in str(attempt.error)
    assert not twilio.messages


def test_one_that_cannot_be_rendered_is_shown_with_the_reason() -> None:
    row = Delivery(**berth_row(template="gone/berth", channel=Channel.SMS))
    texts = Texts({"berths": BERTHS})
    with pytest.raises(Unrenderable, match="gone/berth"):
        texts.render(row)
    assert "gone/berth cannot be rendered" in texts.shown(row).body


async def test_a_changed_template_does_not_send_twice_what_was_accepted(
    outside: Settings, twilio: TwilioStandIn
) -> None:
    """The attempt whose outcome is unknown went out with the old text: by that it is looked up."""
    twilio.faults.append(TwilioFault.RESET_AFTER_ACCEPT)
    async with sending(outside) as (_, room):
        delivery_id = await room.owe(**berth_row())
        await room.reached(delivery_id, DeliveryState.UNKNOWN)
    async with sending(outside, Templates("tests.deliveries.wording.later")) as (app, room):
        await room.make_due(delivery_id)
        app.doorbell.ring()
        await room.reached(delivery_id, DeliveryState.SENT)
    assert [each.body for each in twilio.messages] == [ENGLISH]
    assert len(twilio.attempts) == 1


# --- Its time ----------------------------------------------------------------------------------------------


async def test_what_waits_for_its_time_holds_back_nothing(db: Database, room: Room) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    first, second = sms(new_user(id=1), "tomorrow").timed(not_before=tomorrow), sms(new_user(id=1), "today")
    rows = {row.body: row for row in await owed_by(db, first, second)}
    assert rows["tomorrow"].due_at == tomorrow
    found = await due.next_due(db, Channel.SMS)
    assert found is not None
    (claim,) = await db.write(queue.claim, Channel.SMS, datetime.now(UTC) + timedelta(seconds=1), 10)
    assert claim.id == rows["today"].id


async def test_what_has_expired_is_suppressed_and_says_so(outside: Settings, twilio: TwilioStandIn) -> None:
    async with sending(outside) as (_, room):
        delivery_id = await room.owe(expires_at=datetime.now(UTC) - timedelta(seconds=1))
        row = await room.reached(delivery_id, DeliveryState.SUPPRESSED)
        assert (row.reason, row.due_at, row.failure_count) == ("EXPIRED", None, 0)
        assert await room.outcomes(delivery_id) == ["SUPPRESSED"]
        assert await room.states_in_log(delivery_id) == [(None, "PENDING"), ("PENDING", "SUPPRESSED")]
    assert not twilio.messages


def test_a_time_is_one_that_can_come() -> None:
    owed, now = sms(new_user(id=1), "hello"), datetime.now(UTC)
    with pytest.raises(ValueError, match="no time zone"):
        owed.timed(not_before=datetime(2026, 1, 1))  # noqa: DTZ001
    with pytest.raises(ValueError, match="before it may be sent"):
        owed.timed(not_before=now, expires_at=now)


async def test_an_attempt_that_cannot_be_rendered_does_not_forget_an_unclear_one(
    outside: Settings, twilio: TwilioStandIn
) -> None:
    """It is looked up by the text of the attempt that may have arrived."""
    twilio.faults.append(TwilioFault.RESET_AFTER_ACCEPT)
    async with sending(outside) as (_, room):
        delivery_id = await room.owe(**berth_row())
        await room.reached(delivery_id, DeliveryState.UNKNOWN)
    async with sending(outside, Templates("gql_app.demo.projects")) as (app, room):
        await room.make_due(delivery_id)
        app.doorbell.ring()
        await room.reached(delivery_id, DeliveryState.SENT)
    assert len(twilio.messages) == 1


async def test_what_is_sent_is_what_is_written_down(outside: Settings, twilio: TwilioStandIn) -> None:
    """Also of a template that says something else each time."""
    twilio.faults.append(TwilioFault.RESET_AFTER_ACCEPT)
    async with sending(outside, Templates("tests.deliveries.wording.fickle")) as (app, room):
        delivery_id = await room.owe(**berth_row())
        await room.reached(delivery_id, DeliveryState.UNKNOWN)
        await room.make_due(delivery_id)
        app.doorbell.ring()
        await room.reached(delivery_id, DeliveryState.SENT)
        (first, *_) = await room.attempts(delivery_id)
    assert [each.body for each in twilio.messages] == [first.text]


async def test_what_has_expired_and_cannot_be_rendered_is_suppressed(outside: Settings) -> None:
    async with sending(outside) as (_, room):
        past = datetime.now(UTC) - timedelta(hours=1)
        delivery_id = await room.owe(**berth_row(template="berths/gone", expires_at=past))
        assert (await room.attempted(delivery_id)).state is DeliveryState.SUPPRESSED


async def test_of_two_to_one_recipient_one_is_claimed(db: Database, room: Room) -> None:
    """Both times have come while nobody sent."""
    now, number = datetime.now(UTC), "+15005550999"
    first = await room.owe(recipient=number, not_before=now - timedelta(minutes=5), due_at=now - timedelta(minutes=5))
    await room.owe(recipient=number, due_at=now - timedelta(hours=1))
    claims = await db.write(queue.claim, Channel.SMS, now + timedelta(seconds=1), 10)
    assert [claim.id for claim in claims] == [first]


def test_a_second_time_does_not_forget_the_first() -> None:
    start, end = datetime.now(UTC), datetime.now(UTC) + timedelta(days=1)
    owed = sms(new_user(id=1), "hello").timed(not_before=start).timed(expires_at=end)
    assert (owed.not_before, owed.expires_at) == (start, end)


# --- A rolling deploy --------------------------------------------------------------------------------------


async def test_a_worker_of_the_version_before_cannot_claim_what_it_cannot_render(room: Room) -> None:
    """It writes a lease, and nothing about who it is. What says a text as it is it may take as before."""
    rendered, finished = await room.owe(**berth_row()), await room.owe()
    claim = text("UPDATE deliveries SET lease = :lease WHERE id = :id")
    async with room.db.writing() as connection:
        await connection.execute(claim, {"lease": uuid4().hex, "id": finished})
        await connection.rollback()
    with pytest.raises(IntegrityError):
        async with room.db.writing() as connection:
            await connection.execute(claim, {"lease": uuid4().hex, "id": rendered})


async def test_before_going_back_what_is_owed_gets_its_text(room: Room) -> None:
    """What cannot be rendered stays, and the migration says so."""
    written, gone = await room.owe(**berth_row()), await room.owe(**berth_row(template="berths/gone"))
    assert await room.db.write(service.write_out, Texts({"berths": BERTHS})) == 1
    row = await room.delivery(written)
    assert (row.template, row.template_values, row.body) == (None, None, ENGLISH)
    assert (await room.delivery(gone)).template == "berths/gone"
    with pytest.raises(ConfigurationError, match="1 messages are still owed"):
        await migrations.take_back(room.db, migrations.ENGINE, "0001")
