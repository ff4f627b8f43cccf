"""Small helpers for tests within the process: users and fuel requests made directly, the log read directly."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from sqlalchemy import event, select
from sqlalchemy.orm import Session

from gql_app.accounts.models import PremiumUser, User
from gql_app.app import App
from gql_app.changes import log
from gql_app.changes.models import SELECT_EVENTS, ChangeEvent, ChangeRecord
from gql_app.changes.sequencer import move
from gql_app.db import Database
from gql_app.demo.fuel_requests.models import FuelRequest

HASH = "$2b$04$" + "a" * 53
"""Looks like a bcrypt hash, and matches nothing."""


def new_user(name: str = "ada", **values: Any) -> User:
    defaults = {
        "username": name,
        "email": f"{name}@example.test",
        "password_hash": HASH,
        "phone_number": "+15005550100",
    }
    return User(**(defaults | values))


def new_premium_user(name: str = "ada", **values: Any) -> PremiumUser:
    from datetime import UTC, datetime

    defaults = {"username": name, "email": f"{name}@example.test", "password_hash": HASH}
    return PremiumUser(**(defaults | {"premium_since": datetime.now(UTC)} | values))


def new_request(requester: User, **values: Any) -> FuelRequest:
    return FuelRequest(**({"requester_id": requester.id, "litres": Decimal("10")} | values))


async def add_user(db: Database, name: str = "ada", **values: Any) -> User:
    def add(session: Session) -> User:
        user = new_user(name, **values)
        session.add(user)
        return user

    return await db.write(add)


async def add_request(db: Database, requester: User, **values: Any) -> FuelRequest:
    def add(session: Session) -> FuelRequest:
        request = new_request(requester, **values)
        session.add(request)
        return request

    return await db.write(add)


def _log(session: Session, after: int, entity_type: str | None) -> Sequence[ChangeEvent]:
    query = SELECT_EVENTS.where(ChangeRecord.position > after).order_by(ChangeRecord.position)
    if entity_type is not None:
        query = query.where(ChangeRecord.entity_type == entity_type)
    return [ChangeEvent.of(row) for row in session.execute(query)]


async def logged(db: Database, entity_type: str | None = None, after: int = 0) -> Sequence[ChangeEvent]:
    """The events of the change log, in order."""
    await move(db)
    return await db.read(_log, after, entity_type)


async def head_of(db: Database) -> int:
    """Where the log ends, with all that has been committed in it."""
    await move(db)
    return await db.read(log.head)


async def caught_up(app: App) -> int:
    """The feed has read all that has been committed; where it stands now."""
    await move(app.db)
    return await app.feed.look()


async def said(db: Database, entity_type: str, after: int = 0) -> list[tuple[str, str | None, str | None, str | None]]:
    """The same in short: kind, attribute, old and new value."""
    return [
        (event.kind.name, event.attribute, event.old_value, event.new_value)
        for event in await logged(db, entity_type, after)
    ]


async def rows_of(db: Database, model: Any) -> Sequence[Any]:
    """All rows of a model."""
    return await db.read(lambda session: session.scalars(select(model)).all())


@contextmanager
def right_before(db: Database, beginning: str, work: Any, *, once: bool = True) -> Iterator[None]:
    """Right before a statement that begins like this."""
    done = False

    def look(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        nonlocal done
        if statement.startswith(beginning) and not (done and once):
            done = True
            work()

    event.listen(db.engine.sync_engine, "before_cursor_execute", look)
    try:
        yield
    finally:
        event.remove(db.engine.sync_engine, "before_cursor_execute", look)
