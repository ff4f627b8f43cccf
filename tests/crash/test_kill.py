"""kill -9 at any moment: what was committed is told all the same, and nothing else is.

GQL_APP_TEST_KILLS says how often (5 unless told), GQL_APP_TEST_SEED repeats a run's random choices.
"""

import asyncio
import os
import random
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from gql_app.api.ids import encode_id
from gql_app.changes.cursors import parse_cursor
from gql_app.changes.models import ChangeRecord
from gql_app.db import Database
from gql_app.deliveries.models import Channel, Delivery, DeliveryState
from gql_app.demo.fuel_requests.models import FuelRequest, FuelRequestStatus
from tests.crash.process import ServiceProcess
from tests.crash.town import (
    Acknowledged,
    Place,
    Subscriber,
    ask_and_decide,
    cancelled,
    drained,
    end_waiting,
    settings,
    sign_up,
    states,
)
from tests.ruling import said
from tests.standins.process import StandInProcess

KILLS = int(os.environ.get("GQL_APP_TEST_KILLS", "5"))
SEED = int(os.environ.get("GQL_APP_TEST_SEED", "0")) or random.randrange(1, 10**6)
WRITERS = 6
LONGEST_LIFE = 0.8
"""Seconds from the moment that the service answers until it is killed, at most."""
TIME_TO_FINISH = 60.0 + 5 * KILLS

pytestmark = [pytest.mark.crash, pytest.mark.timeout(60 + TIME_TO_FINISH + 20 * KILLS)]

SMS_FAULTS = ["OK"] * 16 + ["RESET_AFTER_ACCEPT"] * 2 + ["RESET_BEFORE", "ERROR_503"]
MAIL_FAULTS = ["OK"] * 18 + ["DROP_AFTER_ACCEPT", "LOCAL_ERROR_451_DATA"]


class Found:
    """The rows of the database at the end, as they are."""

    def __init__(self, session: Any) -> None:
        self.log = list(session.scalars(select(ChangeRecord).order_by(ChangeRecord.position)))
        self.requests = list(session.scalars(select(FuelRequest)))
        self.decided = [r for r in self.requests if r.status is not FuelRequestStatus.PENDING]
        self.deliveries = list(session.scalars(select(Delivery)))
        self.of_decisions = [d for d in self.deliveries if d.rule.startswith("demo.fuel_requests.")]


def script(rng: random.Random, faults: list[str]) -> list[str]:
    """Arguments for a stand-in: what goes wrong with the messages of the first so many rounds."""
    return [part for _ in range(20 * KILLS) for part in ("--fault", rng.choice(faults))]


async def test_nothing_that_was_committed_stays_unsaid_when_the_service_is_killed(db: Database, tmp_path: Path) -> None:
    rng = random.Random(SEED)
    print(f"to repeat this: GQL_APP_TEST_SEED={SEED} GQL_APP_TEST_KILLS={KILLS}")
    tokens = await sign_up(db)
    acknowledged, place = Acknowledged(), Place()
    subscriber = Subscriber(place, tokens["root"], db)
    at_kills: list[Counter[DeliveryState]] = []
    async with (
        # The delay holds every message in the air for a moment, so that kills fall there, too.
        StandInProcess(
            "tests.standins.twilio", tmp_path / "sms", "--delay", "0.03", *script(rng, SMS_FAULTS)
        ) as twilio,
        StandInProcess("tests.standins.smtp", tmp_path / "mails", "--delay", "0.03", *script(rng, MAIL_FAULTS)) as smtp,
        drained(twilio, smtp),
    ):
        environment = settings(db, twilio, smtp)
        writers = [
            asyncio.create_task(ask_and_decide(place, tokens, random.Random(rng.random()), acknowledged))
            for _ in range(WRITERS)
        ]
        following = asyncio.create_task(subscriber.follow())
        while len(at_kills) < KILLS or not (acknowledged.decided and subscriber.connections > KILLS // 2):
            async with ServiceProcess(tmp_path, environment, "serve", "--port", "0") as process:
                place.moved_to(await process.url())
                await asyncio.sleep(rng.uniform(0.02, LONGEST_LIFE))  # the random moment
                place.closed()
                await process.kill()
            assert "Traceback" not in process.output, process.output
            at_kills.append(await states(db))
            await end_waiting(db, leases=True)
        await cancelled(writers)
        async with ServiceProcess(tmp_path, environment, "serve", "--port", "0") as process:
            place.moved_to(await process.url())
            try:
                await subscriber.until_finished(TIME_TO_FINISH)
            finally:
                print(report(at_kills, await states(db)))
            await cancelled([following])
        found = await db.read(Found)
        print(counts(found, acknowledged, twilio.accepted(), smtp.accepted(), subscriber))
        what_was_acknowledged_is_there(found, acknowledged)
        every_decision_has_its_rows(found)
        each_sms_arrived_once(found, twilio.accepted())
        each_mail_arrived(found, smtp.accepted())
        the_subscriber_saw_the_log(found, subscriber)


def what_was_acknowledged_is_there(found: Found, acknowledged: Acknowledged) -> None:
    there = {encode_id("FuelRequest", r.public_id): r.status.name for r in found.requests}
    assert acknowledged.submitted <= there.keys()
    assert acknowledged.decided.items() <= there.items()
    assert acknowledged.decided, "nothing was decided, so nothing was tested"


def every_decision_has_its_rows(found: Found) -> None:
    """One row of the log says that it was decided; one SMS and one mail were owed by the same transaction."""
    history = defaultdict(list)
    for row in found.log:
        if (row.entity_type, row.attribute) == ("FuelRequest", "status"):
            history[row.entity_id].append(row)
    assert history.keys() == {r.public_id for r in found.requests}
    owed = defaultdict(list)
    for delivery in found.of_decisions:
        owed[delivery.change_set].append(delivery)
    for request in found.requests:
        told = [(row.old_value, row.new_value) for row in history[request.public_id]]
        if request.status is FuelRequestStatus.PENDING:
            assert told == [(None, "PENDING")]
            continue
        assert told == [(None, "PENDING"), ("PENDING", request.status.name)]
        messages = owed.pop(history[request.public_id][1].change_set)
        assert sorted(m.channel.name for m in messages) == ["EMAIL", "SMS"]
        assert {m.recipient_id for m in messages} == {request.requester_id}
    assert not owed, "messages about decisions that were never made"
    assert {d.state for d in found.deliveries} == {DeliveryState.SENT}


def each_sms_arrived_once(found: Found, accepted: list[dict[str, Any]]) -> None:
    """Every message that Twilio took belongs to one delivery, and every delivery to one message."""
    owed = {d.provider_id: (d.recipient, said(d).body) for d in found.deliveries if d.channel is Channel.SMS}
    assert len(owed) == sum(d.channel is Channel.SMS for d in found.deliveries), "one message stands for two deliveries"
    assert owed == {m["sid"]: (m["to"], m["body"]) for m in accepted}


def each_mail_arrived(found: Found, accepted: list[dict[str, Any]]) -> None:
    """At least once, and whatever arrived twice has the same Message-ID."""
    owed = {f"<{d.public_id}@localhost>": d.recipient for d in found.deliveries if d.channel is Channel.EMAIL}
    assert owed == {m["message_id"]: m["rcpts"][0] for m in accepted}


def the_subscriber_saw_the_log(found: Found, subscriber: Subscriber) -> None:
    """All of it, once and in its order."""
    assert [parse_cursor(e["cursor"]).position for e in subscriber.events] == [row.position for row in found.log]
    assert [(e["entityId"], e["newValue"]) for e in subscriber.events] == [
        (encode_id(row.entity_type, row.entity_id), row.new_value) for row in found.log
    ]
    assert subscriber.connections > KILLS // 2, "it hardly ever had to go on from a cursor"


def report(at_kills: list[Counter[DeliveryState]], at_end: Counter[DeliveryState]) -> str:
    lines = [f"kills: {len(at_kills)}; at the end: { {s.name: n for s, n in at_end.items()} }"]
    for state in (DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.UNKNOWN):
        numbers = [counter[state] for counter in at_kills]
        lines.append(
            f"{state.name} at a kill: in {sum(n > 0 for n in numbers)} kills, {sum(numbers)} deliveries in all"
        )
    return "\n".join(lines)


def counts(
    found: Found,
    acknowledged: Acknowledged,
    sms: list[dict[str, Any]],
    mails: list[dict[str, Any]],
    subscriber: Subscriber,
) -> str:
    cursors = [parse_cursor(e["cursor"]).position for e in subscriber.events]
    positions = [row.position for row in found.log]
    owed = Counter(d.channel.name for d in found.deliveries)
    sms_of = Counter(d.provider_id for d in found.deliveries if d.channel is Channel.SMS)
    return (
        f"decisions: {len(acknowledged.decided)} acknowledged, {len(found.decided)} committed\n"
        f"owed: {owed['SMS']} SMS, {owed['EMAIL']} mails\n"
        f"SMS: {len(sms)} arrived, {len({m['sid'] for m in sms} - sms_of.keys())} of them twice, "
        f"{sum(n - 1 for n in sms_of.values())} deliveries without one\n"
        f"mails: {len(mails)} arrived, {len(mails) - len({m['message_id'] for m in mails})} of them again\n"
        f"events: {len(positions)} in the log, {len(cursors)} seen over {subscriber.connections} connections, "
        f"{len(set(positions) - set(cursors))} missed, {len(cursors) - len(set(cursors))} seen twice"
    )
