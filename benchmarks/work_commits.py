"""W10: what the order of commits costs on PostgreSQL: the same transactions with and without the change log.

16 writers in one process change a number of a random request, each in a transaction of its own. "off" records nothing;
"product" leaves the change in the outbox, and its sequencer moves it into the log meanwhile. The others stand for what
was not chosen, with the least that they would need of a writer:

- "lock": one lock from before the log's row is written until the commit, so that positions come in order;
- "captured" is "product" while writes from outside are noted (`gql-app capture install`), and there are none;
- "horizon": the row goes straight into the log; its readers would have to stay behind the oldest open transaction.

One process of Python is most of what is measured, and PostgreSQL shares the machine: only the ratios mean something.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import uuid4

from broadcaster import Broadcast
from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.orm.exc import StaleDataError

from benchmarks import postgres
from benchmarks.bench import Bench, Figures
from gql_app.accounts.models import User
from gql_app.changes.doorbell import Doorbell
from gql_app.changes.models import ChangeKind, ChangeOutbox, ChangeRecord
from gql_app.changes.sequencer import Sequencer
from gql_app.db import Database
from gql_app.db.guard import MIGRATION
from gql_app.demo.fuel_requests.models import FuelRequest
from gql_app.outside import switch

WRITERS = 16
SECONDS = 6.0
REQUESTS = 2_000
LOCK = 4711
WAYS = ("off", "product", "captured", "lock", "horizon")
TRACKED = ("product", "captured")

Work = Callable[[Session], None]


class _Plain(DeclarativeBase):
    pass


_table: Any = FuelRequest.__table__


class PlainRequest(_Plain):
    """The same rows, mapped without any tracking: the tracked model refuses to be changed past the log."""

    __table__ = _table
    __mapper_args__ = {"version_id_col": _table.c.version}  # noqa: RUF012


def commits(bench: Bench) -> None:
    if not postgres.is_there():
        print(f"W10: skipped, no PostgreSQL at {postgres.URL} (GQL_APP_TEST_POSTGRES_URL)")
        return
    with postgres.owing(0) as url:
        asyncio.run(_fill(url))
        for way in WAYS:
            with bench.surviving("W10", f"{WRITERS} writers, {way}", "product"):
                bench.report("W10", f"{WRITERS} writers, {way}", "product", asyncio.run(_measure(url, way)))


async def _fill(url: str) -> None:
    def fill(session: Session) -> None:
        user = User(plan="STANDARD", username="u", email="u@example.test", password_hash="$2b$04$" + "." * 53)
        session.add(user)
        session.flush()
        session.add_all(FuelRequest(requester_id=user.id, litres=Decimal(1)) for _ in range(REQUESTS))

    db = Database(url)
    await db.write(fill)
    await db.close()


async def _measure(url: str, way: str) -> Figures:
    db = Database(url, pool_size=WRITERS)
    first = await db.read(lambda session: session.scalars(select(func.min(FuelRequest.id))).one())
    doorbell = Doorbell(Broadcast("memory://"))
    db.on_commit(doorbell.ring)
    models = [User, FuelRequest]
    if way == "captured":
        await switch.install(db, models, pause=0)
    counted, end = 0, time.perf_counter() + SECONDS

    async def write(rng: random.Random) -> None:
        nonlocal counted
        while time.perf_counter() < end:
            work = partial(
                _change,
                FuelRequest if way in TRACKED else PlainRequest,
                first + rng.randrange(REQUESTS),
                Decimal(rng.randrange(1, 10**6)),
            )
            if way in TRACKED:
                await db.write(work)
            else:
                with contextlib.suppress(StaleDataError):  # another writer was faster: the next one is tried
                    await _untracked(db, work, way)
                    counted += 1
                continue
            counted += 1

    async with Sequencer(db, doorbell).running():
        await asyncio.gather(*(write(random.Random(n)) for n in range(WRITERS)))
    if way == "captured":
        await switch.remove(db, models)
    left = await db.read(lambda session: session.scalar(select(func.count()).select_from(ChangeOutbox)))
    await db.close()
    return {"commits/s": counted / SECONDS, "left in the outbox": float(left or 0)}


def _change(model: type[Any], request_id: int, litres: Decimal, session: Session) -> None:
    request = session.get_one(model, request_id)
    request.litres = litres
    request.updated_at = datetime.now(UTC)


async def _untracked(db: Database, work: Work, way: str) -> None:
    async with (
        AsyncSession(db.engine.execution_options(**MIGRATION), expire_on_commit=False) as session,
        session.begin(),
    ):
        await session.run_sync(work)
        await session.flush()
        if way == "off":
            return
        if way == "lock":
            await session.execute(select(func.pg_advisory_xact_lock(LOCK)))
        row = {
            "change_set": uuid4(),
            "kind": ChangeKind.UPDATED,
            "entity_type": "FuelRequest",
            "entity_id": uuid4(),
            "attribute": "litres",
            "old_value": "1",
            "new_value": "2",
            "occurred_at": func.now(),
        }
        await session.execute(insert(ChangeRecord).values(row))
