"""The two kinds of sessions that units of work get; what is recorded of a change is recorded by their events."""

import logging
from datetime import UTC, datetime
from typing import Any, NoReturn

from sqlalchemy import Connection, event, inspect
from sqlalchemy.orm import Session

from gql_app.db.base import Timestamped

logger = logging.getLogger(__name__)

_CONNECTIONS = "gql_app_connections"
ON_COMMIT = "gql_app_on_commit"
"""Where a write session's ``info`` holds what is to be called after a commit that wrote into the change log."""


class ReadSession(Session):
    """What `Database.read` hands out. Nothing that it changed would be recorded, so it refuses to flush."""


class WriteSession(Session):
    """What `Database.write` hands out. Its events keep the timestamps and record what changed (see `changes`)."""

    def bulk_save_objects(self, *args: object, **kwargs: object) -> NoReturn:
        raise TypeError("the bulk_… methods fire no events, nothing would be recorded: use session.add_all")

    bulk_insert_mappings = bulk_save_objects
    bulk_update_mappings = bulk_save_objects


def abandon(session: Session) -> None:
    """Roll everything back; what came from outside is new again when the unit of work is run again.

    Must hold: no transaction outlives its unit of work. If it cannot be rolled back its connection is closed.
    """
    try:
        session.rollback()
    except Exception:
        logger.exception("a transaction could not be rolled back; its connection is closed")
        for connection in session.info.get(_CONNECTIONS, ()):
            connection.invalidate()
            connection.close()


@event.listens_for(WriteSession, "after_begin", propagate=True)
def _remember_connection(session: Session, transaction: object, connection: Connection) -> None:
    session.info.setdefault(_CONNECTIONS, set()).add(connection)


@event.listens_for(ReadSession, "before_flush", propagate=True)
def _refuse_flush(session: Session, flush_context: object, instances: object) -> None:
    raise RuntimeError("this unit of work was opened by Database.read; use Database.write to change something")


@event.listens_for(WriteSession, "before_attach", propagate=True)
def _refuse_changed_outside(session: Session, instance: object) -> None:
    state: Any = inspect(instance)
    if state.key is not None and state.modified and state.session_id is None:
        raise TypeError("it was changed outside of this unit of work, which would be lost if that is run again")


@event.listens_for(WriteSession, "before_flush", propagate=True)
def _keep_timestamps(session: Session, flush_context: object, instances: object) -> None:
    now = datetime.now(UTC)
    for obj in session.new:
        if isinstance(obj, Timestamped):
            obj.created_at = obj.created_at or now
            obj.updated_at = obj.updated_at or now
    for obj in session.dirty:
        if isinstance(obj, Timestamped) and session.is_modified(obj):
            obj.updated_at = now
