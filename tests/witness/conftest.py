"""A database with a few people and requests, and SQL that goes past everything."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from gql_app.accounts.models import User
from gql_app.changes.sequencer import move
from gql_app.db import Database
from gql_app.demo.fuel_requests.models import FuelRequest
from tests.things import add_request, add_user


@dataclass(frozen=True)
class Place:
    """Ada has made a request; linus has not."""

    db: Database
    ada: User
    linus: User
    request: FuelRequest

    @property
    def log(self) -> str:
        """Where a transaction puts its entries."""
        return "change_events" if self.db.is_sqlite else "change_outbox"

    async def run(self, *statements: str) -> None:
        """In one transaction, past everything that records."""
        async with self.db.writing() as connection:
            for statement in statements:
                await connection.execute(text(statement.replace(":", "\\:")))

    def entry(self, **values: Any) -> str:
        """The entry of an approval of the request, by SQL; with other values where they are given."""
        right = {
            "change_set": UUID(int=1),
            "kind": "UPDATED",
            "entity_type": "FuelRequest",
            "entity_id": self.request.public_id,
            "attribute": "status",
            "old_value": "PENDING",
            "new_value": "APPROVED",
            "owner_id": self.ada.id,
            "occurred_at": "2026-01-02 03:04:05",
        }
        columns = right | values
        literals = ", ".join(map(_literal, columns.values()))
        return f"INSERT INTO {self.log} ({', '.join(columns)}) VALUES ({literals})"

    def where(self, subject: User | FuelRequest) -> str:
        return f"WHERE public_id = '{subject.public_id.hex}'"


def _literal(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, int):
        return str(value)
    return "'" + (value.hex if isinstance(value, UUID) else str(value).replace("'", "''")) + "'"


@pytest.fixture
async def place(db: Database) -> Place:
    ada = await add_user(db)
    place = Place(db, ada, await add_user(db, "linus"), await add_request(db, ada))
    await move(db)
    return place
