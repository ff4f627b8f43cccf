"""Positions in the order of commits, on PostgreSQL with any number of writers.

A sequence alone gives numbers in the order in which rows are *inserted*; a reader that tails them skips the row of a
transaction that commits late. So a transaction leaves its entries in the outbox, without a position, and waits for
nobody. Must hold: a position is given out only after all smaller ones can be read. After the commit the sequencer moves
what it can see into the log: one statement, under a lock that only sequencers take. A later move sees everything that
an earlier one saw, so positions never appear out of order.

Within one move the outbox's own ids decide. They are drawn right before the commit, while the rows that were changed
are locked: two changes of one row, and any two of which the second could know of the first, are in their true order.

On SQLite there is one writer at a time, transactions write into the log themselves, and there is nothing to do.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from gql_app.changes.doorbell import Doorbell
from gql_app.changes.models import ChangeEvent, ChangeOutbox
from gql_app.changes.tasks import stop_task
from gql_app.db import Database, is_locked

logger = logging.getLogger(__name__)

LOCK = 0x67716C5F617070
"""The advisory lock of the sequencers of one database ("gql_app" in ASCII)."""

PATIENCE = 2.0
"""Seconds that a move waits for other sequencers, and for whoever else has locked the outbox."""
LAST_PATIENCE = 0.2
"""The same when the process stops: it may be left to the others."""

REST = 0.01
"""Seconds between two moves while there is much to move: what is committed meanwhile shares the next one."""

_columns = ", ".join([*(name for name in ChangeEvent.__dataclass_fields__ if name != "position"), "decisions", "trace"])
# One message to the server: one transaction, in which the last statement has a snapshot of its own. It has to see what
# was committed while the one before it waited for the lock, so neither the level nor the timeouts are the database's.
_MOVE = (
    "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; "  # noqa: S608  (our own constant and names of our own columns)
    "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '{patience}ms'; "
    f"SELECT pg_advisory_xact_lock({LOCK}); "
    f"WITH moved AS (DELETE FROM change_outbox RETURNING id, {_columns}), "
    f"logged AS (INSERT INTO change_events ({_columns}) SELECT {_columns} FROM moved ORDER BY id "
    "RETURNING position, owner_id, audience, audience_before), "
    "named AS (SELECT jsonb_array_elements_text(audience::jsonb) AS key, position, false AS lost FROM logged "
    "WHERE audience IS NOT NULL UNION ALL "
    "SELECT key, position, true FROM logged, jsonb_array_elements_text(audience_before::jsonb) AS key "
    "WHERE audience_before <> '[]' AND key IS DISTINCT FROM 'user:' || owner_id), "
    "indexed AS (INSERT INTO change_audience (key, position, lost) "
    "SELECT key, position, bool_and(lost) FROM named GROUP BY key, position) "
    "SELECT FROM moved LIMIT 1"
)
_ANYTHING = select(ChangeOutbox.__table__.c.id).limit(1)


class OutboxLocked(Exception):
    """Somebody else holds the sequencer's lock or the outbox: what was committed has no positions yet."""


async def move(db: Database, *, expected: bool = False, patience: float = PATIENCE) -> bool:
    """Give positions to all that has been committed by now; whether there was anything.

    ``expected``: it is known that there is, and not asked first. Raises OutboxLocked after ``patience`` seconds.
    """
    if db.is_sqlite or not (expected or await db.look_up(_ANYTHING)):
        return False
    try:
        return await db.script(_MOVE.format(patience=int(patience * 1000))) != "SELECT 0"
    except DBAPIError as error:
        if not is_locked(error):
            raise
    raise OutboxLocked


class Sequencer:
    """Moves committed entries into the log, and then tells the other processes.

    Every process has one. The one whose transaction has just committed does the work; those of the others find a
    process's left-overs by polling when it was killed in between.
    """

    def __init__(self, db: Database, doorbell: Doorbell, *, poll_seconds: float = 1.0) -> None:
        self._db = db
        self._doorbell = doorbell
        self._bell = doorbell.bell(commits=True)
        self._poll = poll_seconds

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            await stop_task(task)
            with contextlib.suppress(SQLAlchemyError, OSError, OutboxLocked):
                await move(self._db, patience=LAST_PATIENCE)

    async def _run(self) -> None:
        while True:
            rung = await self._bell.wait(self._poll)
            try:
                moved = await move(self._db, expected=rung)
                if moved or rung:
                    self._doorbell.announce()
                if moved:
                    await asyncio.sleep(REST)
            except OutboxLocked:
                logger.warning(
                    "changes get no positions: another session has held the sequencer's lock or a lock on "
                    "change_outbox for more than %s seconds (see pg_locks); trying again",
                    PATIENCE,
                )
            except Exception:
                logger.exception("the outbox could not be moved into the log; trying again")
                await asyncio.sleep(self._poll)
