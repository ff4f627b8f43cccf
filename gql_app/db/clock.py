"""What time it is, by the clock that all processes of one database share.

On PostgreSQL that is the server's: the clocks of the machines may differ. On SQLite all processes are on one machine,
and its clock is the clock. How long something takes is measured by no clock that can be set, see `uptime`.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, Interval, func, literal, select
from sqlalchemy.orm import Session

from gql_app.db.base import UtcDateTime

NO_TIME = timedelta()
_BOOTTIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)


def uptime() -> float:
    """Seconds since some moment. On Linux they go on while the machine is suspended, as a lease does."""
    return time.monotonic() if _BOOTTIME is None else time.clock_gettime(_BOOTTIME)


@dataclass(frozen=True, slots=True)
class Reading:
    """What the database's clock said: `moment`, and the `uptime` here right before it was asked."""

    moment: datetime
    asked: float

    def now(self) -> datetime:
        """What it says now. It is late by as much as the answer took, so no lease is thought to last longer."""
        return self.moment + timedelta(seconds=uptime() - self.asked)


def moment(session: Session, later: timedelta = NO_TIME) -> ColumnElement[datetime]:
    """The time at which the statement that this is used in begins, or so much later.

    It is not PostgreSQL's `now()`, the time at which the transaction began: that may have waited for others since. Nor
    is it `clock_timestamp()`, which may change within the statement, and so is not looked for in an index.
    """
    if session.get_bind().dialect.name == "sqlite":
        return literal(datetime.now(UTC) + later, UtcDateTime())
    begun: ColumnElement[datetime] = func.statement_timestamp(type_=UtcDateTime())
    return begun + literal(later, Interval()) if later else begun


def now(session: Session) -> datetime:
    """What time it is; on PostgreSQL it takes a statement."""
    if session.get_bind().dialect.name == "sqlite":
        return datetime.now(UTC)
    return session.execute(select(moment(session))).scalar_one()
