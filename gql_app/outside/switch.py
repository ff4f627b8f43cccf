"""Whether writes from outside are noted: installing it, removing it, and noticing it in a process that runs.

Must hold: while there are triggers, every process says of its transactions that they are the service's own.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Connection, delete, exists, insert, select, update
from sqlalchemy.orm import Session

from gql_app.audiences.kinds import Model
from gql_app.changes.besides import TAKE_IN
from gql_app.changes.tasks import stop_task
from gql_app.db import Database
from gql_app.outside import postgres, sqlite
from gql_app.outside.intake import LIMIT, TakeIn, take_in
from gql_app.outside.models import ChangeCapture, ChangeImage
from gql_app.outside.tables import watched

logger = logging.getLogger(__name__)

_switch: Any = ChangeCapture.__table__
_images: Any = ChangeImage.__table__
_LOOK = select(_switch.c.installed, exists(select(_images.c.id).where(~_images.c.failed)).label("waiting"))


async def notice(db: Database, models: Sequence[Model]) -> bool:
    """Have the transactions of this process obey the switch as it is now; whether there is something to take in."""
    rows = await db.look_up(_LOOK)
    installed = bool(rows and rows[0].installed)
    if installed != db.says_inside:
        if installed:
            db.session_info[TAKE_IN] = TakeIn(watched(models))
        else:
            db.session_info.pop(TAKE_IN, None)
        db.says_inside = installed
    return bool(rows and rows[0].waiting)


async def install(db: Database, models: Sequence[Model], *, pause: float) -> None:
    """Have writes from outside noted from now on. May be repeated: the triggers are made anew.

    ``pause``: seconds in which the processes that run notice that they must say of their transactions that they are
    their own. Until then there are no triggers.
    """
    await db.write(_turn, True)
    try:
        await notice(db, models)
        await asyncio.sleep(pause)
        await _change(db, "install", models)
    except BaseException:
        if not await is_installed(db):
            await db.write(_turn, False)
            await notice(db, models)
        raise


async def is_installed(db: Database) -> bool:
    """Whether there are triggers."""
    kind = sqlite if db.is_sqlite else postgres
    async with db.writing() as connection:
        return await connection.run_sync(kind.is_installed)


async def renew(db: Database, models: Sequence[Model]) -> None:
    """After a migration: where writes from outside are noted, watch the tables as they are now."""
    await notice(db, models)
    if db.says_inside:
        await _change(db, "install", models)


async def remove(db: Database, models: Sequence[Model]) -> None:
    """No triggers any more; what they have noted is taken in.

    What this application knows nothing of, and what could not be told, is forgotten.
    """
    await _change(db, "remove", models)
    await drain(db, models)
    if forgotten := await db.write(_empty):
        logger.warning("%s rows that were written from outside are forgotten: nothing can be made of them", forgotten)
    await db.write(_turn, False)
    await notice(db, models)


async def drain(db: Database, models: Sequence[Model]) -> int:
    """Take in all that waits; returns how many images there were."""
    total = 0
    while await notice(db, models):
        taken = await db.write(partial(take_in, watched=watched(models), limit=LIMIT))
        if taken == 0:  # what is left waits for a process that knows its tables
            break
        total += taken
    return total


def _empty(session: Session) -> int:
    found: int = session.connection().execute(delete(_images)).rowcount
    return found


def _turn(session: Session, on: bool) -> None:
    connection = session.connection()
    if not connection.execute(update(_switch).values(installed=on)).rowcount:
        connection.execute(insert(_switch).values(id=1, installed=on, inside=False))


async def _change(db: Database, what: str, models: Sequence[Model]) -> None:
    kind = sqlite if db.is_sqlite else postgres

    def change(connection: Connection) -> None:
        if what == "install":
            kind.install(connection, watched(models))
        else:
            kind.remove(connection)

    async with db.writing() as connection:
        await connection.run_sync(change)


class Intake:
    """Looks whether something was written from outside, in every process, and takes it in."""

    def __init__(self, db: Database, models: Sequence[Model], *, poll_seconds: float = 1.0) -> None:
        self._db = db
        self._models = models
        self._poll = poll_seconds

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        await drain(self._db, self._models)  # what others wrote while nobody was here, in bites and not in a mutation
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            await stop_task(task)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._poll)
            try:
                await drain(self._db, self._models)
            except Exception:
                logger.exception("what was written from outside could not be taken in; trying again")
