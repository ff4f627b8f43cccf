"""What goes wrong at the two services outside, and waiting cut short."""

import asyncio
import random
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Update, update
from sqlalchemy.orm import Session

from gql_app.db import ANNOUNCED, Database
from gql_app.deliveries.models import Delivery
from tests.crash.town import end_waiting
from tests.torture.plan import Plan

SMS_FAULTS = {
    "OK": 80,
    "RESET_AFTER_ACCEPT": 5,
    "EMPTY_201": 3,
    "RESET_BEFORE": 4,
    "HTML_502": 2,
    "ERROR_503": 4,
    "RATE_LIMITED": 2,
    "HANG_AFTER": 1,
}
MAIL_FAULTS = {
    "OK": 85,
    "DROP_AFTER_ACCEPT": 5,
    "DROP_BEFORE_ACCEPT": 3,
    "DROP_MID_DATA": 2,
    "LOCAL_ERROR_451_DATA": 3,
    "CLOSING_421_MAIL": 2,
    "HANG_AFTER_ACCEPT": 1,
}
LONG = 60.0
"""Seconds; in shorter runs nothing hangs, for such an attempt is given up after 20 seconds only."""
A_SECOND = 20
"""Messages for which the script lasts; those behind it go through."""
MOST = 12_000
"""Longer scripts would not fit on a command line."""
_deliveries: Any = Delivery.__table__


def script(faults: dict[str, int], plan: Plan, rng: random.Random) -> list[str]:
    """A stand-in's arguments: what becomes of one message after the other, and the time that each takes."""
    count = min(int(plan.seconds * A_SECOND), MOST)
    if plan.seconds < LONG:
        faults = {fault: weight for fault, weight in faults.items() if not fault.startswith("HANG")}
    chosen = rng.choices(list(faults), list(faults.values()), k=count)
    return ["--delay", "0.03", *(part for fault in chosen for part in ("--fault", fault))]


async def hasten(db: Database, hurry: asyncio.Event) -> None:
    """Shorten the time until a look-up, for ever: this stands for a run of many hours.

    Once there is a ``hurry``, the pauses after failed attempts are over, too.
    """
    while True:
        await end_waiting(db)
        if hurry.is_set():
            now = datetime.now(UTC)
            waiting = (_deliveries.c.lease.is_(None), _deliveries.c.due_at > now)
            await db.write(
                _execute, update(_deliveries).execution_options(**ANNOUNCED).where(*waiting).values(due_at=now)
            )
        await asyncio.sleep(1)


def _execute(session: Session, statement: Update) -> None:
    session.connection().execute(statement)
