"""SIGKILL at each step of a change's way, one by one: what is true when another process has taken over.

With GQL_APP_TEST_TABLE each test adds its line to that file: docs/crash-matrix.md is made of these.
"""

import os
from collections.abc import Awaitable, Callable
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest

from gql_app.db import Database
from tests.crash.breaking import AFTERWARDS, IN_THE_TRANSACTION, OF_THE_SEQUENCER, Step
from tests.crash.handover import Outcome, interrupted

TABLE = os.environ.get("GQL_APP_TEST_TABLE")
SAYS = "The status of your Fuel Request has changed to {}."

Interrupted = Callable[[Step], Awaitable[Outcome]]

pytestmark = pytest.mark.crash


@pytest.fixture
def at(db: Database, broadcast_url: str, tmp_path: Path, starter: ForkServerContext) -> Interrupted:
    async def at(step: Step) -> Outcome:
        outcome = await interrupted(step, db, broadcast_url, starter, tmp_path)
        report(step, db, outcome)
        return outcome

    return at


def report(step: Step, db: Database, outcome: Outcome) -> None:
    """One line: the step, and how often the interrupted decision was told by each means (before the kill / in all)."""
    decided = (outcome.first, "PENDING", "APPROVED")
    mails = [mail for mail in outcome.mails if "Approved" in mail.text]
    cells = (
        step.name,
        db.url.get_backend_name(),
        "committed" if decided in outcome.status_events else "not committed",
        "client answered" if outcome.answered else "client broken off",
        f"events {outcome.status_events.count(decided)}",
        f"seen {outcome.seen.count(decided)}",
        f"SMS {outcome.sent_before[0]}/{outcome.sms.count(SAYS.format('Approved'))}",
        f"mails {outcome.sent_before[1]}/{len(mails)} with {len({mail.message_id for mail in mails})} Message-ID",
        f"findings {len(outcome.findings)}",
    )
    print(" | ".join(cells))
    if TABLE:
        with open(TABLE, "a", encoding="utf-8") as file:
            file.write(" | ".join(cells) + "\n")


def it_was_told(outcome: Outcome, *statuses: str) -> None:
    """Of the first request's decision and the second's, these were told: by one event, one SMS and one mail each.

    A mail may have come again, as the same one.
    """
    requests = (outcome.first, outcome.second)[-len(statuses) :]
    assert outcome.status_events == [
        (outcome.first, None, "PENDING"),
        (outcome.second, None, "PENDING"),
        *((request, "PENDING", status.upper()) for request, status in zip(requests, statuses, strict=True)),
    ]
    assert outcome.seen == outcome.status_events
    assert outcome.cursors == outcome.positions, "the subscriber missed events or saw them twice"
    assert outcome.connections > 1, "the subscriber did not have to go on from a cursor"
    assert outcome.sms == [SAYS.format(status) for status in statuses]
    told = {mail.message_id: mail.text for mail in outcome.mails}
    assert len(told) == len(statuses), "what comes again must have the same Message-ID"
    assert all(status in text for status, text in zip(statuses, told.values(), strict=True))
    assert {(mail.message_id, mail.text) for mail in outcome.mails} == set(told.items())
    assert outcome.findings == []


@pytest.mark.parametrize("step", IN_THE_TRANSACTION, ids=lambda step: step.name)
async def test_a_decision_is_committed_and_told_or_it_never_was(step: Step, at: Interrupted) -> None:
    outcome = await at(step)
    assert not outcome.answered
    it_was_told(outcome, *(("Approved", "Rejected") if step.committed else ("Rejected",)))


@pytest.mark.parametrize("step", AFTERWARDS, ids=lambda step: step.name)
async def test_a_committed_decision_is_told_whichever_step_it_had_come_to(step: Step, at: Interrupted) -> None:
    it_was_told(await at(step), "Approved", "Rejected")


@pytest.mark.parametrize("step", OF_THE_SEQUENCER, ids=lambda step: step.name)
async def test_another_process_does_the_sequencers_work(
    step: Step, postgres_db: Database, redis_url: str, tmp_path: Path, starter: ForkServerContext
) -> None:
    outcome = await interrupted(step, postgres_db, redis_url, starter, tmp_path)
    report(step, postgres_db, outcome)
    it_was_told(outcome, "Approved", "Rejected")
