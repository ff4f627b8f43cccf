"""The two kinds of sessions that units of work get; what is recorded of a change is recorded by their events."""

import contextlib
import logging
from datetime import UTC, datetime
from typing import Any, NoReturn

from sqlalchemy import Connection, event, inspect
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, object_session

from gql_app.db.base import Timestamped
from gql_app.db.failures import is_outage

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
    except Exception as error:
        if not is_outage(error):  # else there is nothing left to roll back
            logger.exception("a transaction could not be rolled back; its connection is closed")
        for connection in session.info.get(_CONNECTIONS, ()):
            with contextlib.suppress(SQLAlchemyError):
                if not connection.closed:  # else the pool has it back, and has rolled it back
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


# Of the objects and not of the session: also those that an author's listener adds or changes before a flush.
@event.listens_for(Timestamped, "before_insert", propagate=True)
def _note_creation(mapper: object, connection: object, target: Timestamped) -> None:
    now = datetime.now(UTC)
    target.created_at = target.created_at or now
    target.updated_at = target.updated_at or now


@event.listens_for(Timestamped, "before_update", propagate=True)
def _note_change(mapper: object, connection: object, target: Timestamped) -> None:
    session = object_session(target)
    if session is not None and session.is_modified(target):
        target.updated_at = datetime.now(UTC)
