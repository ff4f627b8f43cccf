"""The same people and fuel requests for everybody: made once, copied for each server.

Request ``n`` (from 1) belongs to user ``(n - 1) % users + 1`` and is PENDING. The product's users, sessions and
requests are inserted in bulk into its migrated tables: the change log has no rows of them. Ids are hashes of the
numbers, so that they lie as scattered in the indexes as random ones. Users have a phone number: a decision owes an SMS
and a mail. Their password hash fits no password.
"""

import asyncio
import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, create_engine, insert, text

from benchmarks.peers import models as peers
from gql_app import migrations
from gql_app.accounts.models import AuthSession, User
from gql_app.accounts.roles import Role
from gql_app.application import named
from gql_app.changes.models import ChangeKind, ChangeRecord
from gql_app.db import Database
from gql_app.demo.fuel_requests.models import FuelRequest, FuelRequestStatus
from gql_app.settings import DEFAULT_APP

APPROVERS = 5_000
"""As many different people may subscribe to everybody's requests."""
NO_PASSWORD = "$2b$12$" + "." * 53
LITRES = Decimal("12.50")
CHUNK = 10_000
"""Rows per INSERT."""


def public_id(kind: str, number: int) -> UUID:
    return UUID(bytes=hashlib.sha256(f"{kind} {number}".encode()).digest()[:16])


def token(user: int) -> str:
    """What a user's session shows: users are 1 …, approvers follow from 1,000,001 on."""
    return f"token-{user}"


def approver(number: int) -> int:
    """The id of an approver, counted from 0."""
    return 1_000_001 + number % APPROVERS


def make_product_database(path: Path, users: int, requests: int) -> None:
    asyncio.run(_migrate(path))
    with _writing(path) as connection:
        _insert_all(connection, users, requests)
    _settle(path)


def fill(url: str, users: int, requests: int) -> None:
    """The same into a migrated database that is empty."""
    asyncio.run(_fill(url, users, requests))


async def _fill(url: str, users: int, requests: int) -> None:
    db = Database(url)
    try:
        async with db.writing() as connection:
            await connection.run_sync(_insert_all, users, requests)
    finally:
        await db.close()


def _insert_all(connection: Connection, users: int, requests: int) -> None:
    people = [*range(1, users + 1), *(approver(n) for n in range(APPROVERS))]
    _insert(connection, User, (_person(number) for number in people))
    _insert(connection, AuthSession, (_session(number) for number in people))
    _insert(connection, FuelRequest, (_request(number, users) for number in range(1, requests + 1)))


def make_peers_database(path: Path, users: int, requests: int) -> None:
    with _writing(path) as connection:
        peers.Base.metadata.create_all(connection)
        _insert(connection, peers.User, ({"id": n, "username": f"user{n}"} for n in range(1, users + 1)))
        rows = (
            {"id": n, "requester_id": (n - 1) % users + 1, "status": "PENDING", "litres": str(LITRES)}
            for n in range(1, requests + 1)
        )
        _insert(connection, peers.FuelRequest, rows)
    _settle(path)


def add_past_events(path: Path, count: int) -> None:
    """Write ``count`` changes of a status into the product's log, as if they had happened."""
    with _writing(path) as connection:
        _insert(connection, ChangeRecord, (_event(number) for number in range(1, count + 1)))
    _settle(path)


async def _migrate(path: Path) -> None:
    db = Database(f"sqlite+aiosqlite:///{path}")
    try:
        await migrations.upgrade(db, named(DEFAULT_APP).branches)
    finally:
        await db.close()


def _writing(path: Path) -> Any:
    return create_engine(f"sqlite:///{path}").begin()


def _insert(connection: Connection, model: Any, rows: Iterator[dict[str, Any]]) -> None:
    chunk: list[dict[str, Any]] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == CHUNK:
            connection.execute(insert(model.__table__), chunk)
            chunk = []
    if chunk:
        connection.execute(insert(model.__table__), chunk)


def _settle(path: Path) -> None:
    """Bring everything into the one file that is copied, with statistics for the planner."""
    engine = create_engine(f"sqlite:///{path}", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
        connection.execute(text("ANALYZE"))
        connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
    engine.dispose()


def _times() -> dict[str, Any]:
    now = datetime.now(UTC)
    return {"created_at": now, "updated_at": now, "version": 1}


def _person(number: int) -> dict[str, Any]:
    return _times() | {
        "id": number,
        "public_id": public_id("User", number),
        "plan": "STANDARD",
        "username": f"user{number}",
        "email": f"user{number}@example.test",
        "phone_number": f"+1500{number:07d}",
        "role": Role.APPROVER if number > 1_000_000 else Role.USER,
        "password_hash": NO_PASSWORD,
    }


def _session(number: int) -> dict[str, Any]:
    return _times() | {
        "public_id": public_id("Session", number),
        "user_id": number,
        "token_hash": hashlib.sha256(token(number).encode()).digest(),
        "expires_at": datetime.now(UTC) + timedelta(days=7),
    }


def _request(number: int, users: int) -> dict[str, Any]:
    return _times() | {
        "id": number,
        "public_id": public_id("FuelRequest", number),
        "requester_id": (number - 1) % users + 1,
        "status": FuelRequestStatus.PENDING,
        "litres": LITRES,
    }


def _event(number: int) -> dict[str, Any]:
    return {
        "change_set": public_id("Set", number),
        "kind": ChangeKind.UPDATED,
        "entity_type": FuelRequest.__entity__,
        "entity_id": public_id("FuelRequest", number),
        "attribute": "status",
        "old_value": "PENDING",
        "new_value": "APPROVED",
        "owner_id": number,
        "actor_id": approver(0),
        "occurred_at": datetime.now(UTC),
    }
