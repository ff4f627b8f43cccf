"""Which messages are due, and in what order: those to one recipient go out one after the other."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, bindparam, func, or_, select

from gql_app.db import Database, Reading, UtcDateTime, uptime
from gql_app.deliveries.models import Channel, Delivery

_deliveries: Any = Delivery.__table__


def older_to_the_same_recipient(now: datetime | None = None) -> ColumnElement[bool]:
    """Messages to one recipient go out in their order: an unfinished one holds back those behind it, unless it waits
    for a time of its own.

    The offset of nothing keeps PostgreSQL from making a join of it. A queue has statistics of a time when it was empty,
    and by those a join that reads all of the queue for each message costs no more than a look into the index.
    """
    older = _deliveries.alias("older")
    return (
        select(1)
        .where(
            older.c.channel == _deliveries.c.channel,
            older.c.recipient == _deliveries.c.recipient,
            older.c.id < _deliveries.c.id,
            older.c.due_at.is_not(None),
            or_(older.c.not_before.is_(None), older.c.not_before <= (_deliveries.c.due_at if now is None else now)),
        )
        .offset(0)
        .exists()
    )


NEXT_DUE = (
    select(_deliveries.c.due_at)
    .where(
        _deliveries.c.channel == bindparam("channel"),
        _deliveries.c.due_at.is_not(None),
        ~older_to_the_same_recipient(),
    )
    .order_by(_deliveries.c.due_at)
    .limit(1)
)


_NEXT_DUE_AND_NOW = NEXT_DUE.add_columns(func.statement_timestamp(type_=UtcDateTime()).label("now"))


async def next_due(db: Database, channel: Channel) -> tuple[datetime, Reading] | None:
    """When the next message of this channel that no older one holds back becomes due, or its lease ends; and the
    database's clock."""
    asked = uptime()
    rows = await db.look_up(NEXT_DUE if db.is_sqlite else _NEXT_DUE_AND_NOW, {"channel": channel})
    if not rows:
        return None
    return rows[0].due_at, Reading(datetime.now(UTC) if db.is_sqlite else rows[0].now, asked)
