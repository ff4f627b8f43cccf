"""Doing something once per key.

Must hold: the outcome is written in the transaction of what it is the outcome of. So whoever asks again after a crash,
a lost answer or an unknown commit, in whatever process, finds both or neither.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from gql_app.errors import Conflict, Invalid, UserFault, code_text
from gql_app.idempotency.models import LONGEST_KEY, IdempotencyOutcome

KEPT = timedelta(hours=24)
"""How long an outcome is kept."""
TAKES_A_KEY: Final = "__gql_app_takes_a_key__"
"""On the resolver of a mutation whose outcome can be kept."""

LONGEST_FIELD = 200
"""Longer aliases are stored as a hash: PostgreSQL limits the size of an index entry."""
THE_REQUEST = ""
"""The `field` of the row that binds the key to one request."""
_table: Any = IdempotencyOutcome.__table__


@dataclass(frozen=True, slots=True)
class Once:
    """A request that is to be done once: its key, and the SHA-256 of what it asks."""

    key: str
    request: bytes

    @classmethod
    def of(cls, key: str, query: str, operation_name: str | None, variables: Mapping[str, Any] | None) -> "Once":
        asked = json.dumps([query, operation_name, variables or {}], sort_keys=True)
        return cls(key, hashlib.sha256(asked.encode("utf-8", "surrogatepass")).digest())


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it: the public id of an entity, or why nothing was done (code, message and field of each error)."""

    entity_id: UUID | None
    errors: tuple[Mapping[str, Any], ...] = ()


def read_key(given: object) -> str:
    """A key as a header (RFC 8941: a quoted string; plain ones are taken, too) or an extension holds it.

    Raises:
        Invalid: it is empty, too long, or no text of printable ASCII.
    """
    text = given.strip() if isinstance(given, str) else ""
    if len(text) >= 2 and text[0] == text[-1] == '"':
        text = text[1:-1]
    if not 0 < len(text) <= LONGEST_KEY or not (text.isascii() and text.isprintable()):
        raise Invalid(f"An idempotency key is a text of 1 to {LONGEST_KEY} printable characters.")
    return text


def only_once(
    session: Session, owner_id: int, once: Once, field: str, work: Callable[[Session], UUID]
) -> tuple[Outcome, bool]:
    """Run the work, or find what came of it before; True: it was run now. What it raises as a UserFault is an outcome.

    Raises:
        Conflict: the key belongs to another request.
    """
    if len(field) > LONGEST_FIELD:
        field = hashlib.sha256(field.encode()).hexdigest()
    now = datetime.now(UTC)
    of_key = (_table.c.owner_id == owner_id, _table.c.key == once.key)
    session.execute(delete(IdempotencyOutcome).where(*of_key, _table.c.created_at < now - KEPT))
    # Whoever is first holds the key until it has committed: the other one waits here, and finds what came of it.
    for name in (THE_REQUEST, field):
        values = {"owner_id": owner_id, "key": once.key, "field": name, "request": once.request, "created_at": now}
        if _claim(session, values):
            continue
        mine = (*of_key, _table.c.field == name)
        row = session.connection().execute(select(_table).where(*mine)).one()
        if row.request != once.request:
            raise Conflict("This idempotency key was used for another request: make a new key for each request.")
        if name == field:
            return Outcome(row.entity_id, tuple(json.loads(row.errors or "[]"))), False
    try:
        with session.begin_nested():
            found = Outcome(work(session))
    except UserFault as fault:
        if fault.retryable:  # another try may succeed, so it is no outcome
            raise
        told = {"code": code_text(type(fault)), "message": fault.message, "field": fault.field}
        found = Outcome(None, (told,))
    errors = json.dumps(found.errors) if found.errors else None
    mine = (*of_key, _table.c.field == field)
    session.connection().execute(update(_table).where(*mine).values(entity_id=found.entity_id, errors=errors))
    return found, True


def _claim(session: Session, values: Mapping[str, Any]) -> bool:
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    return session.connection().execute(insert(_table).values(values).on_conflict_do_nothing()).rowcount == 1


def forget(session: Session, now: datetime | None = None) -> int:
    """Delete what is older than a day; returns how many."""
    old = delete(IdempotencyOutcome).where(_table.c.created_at < (now or datetime.now(UTC)) - KEPT)
    return session.execute(old).rowcount  # type: ignore[attr-defined,no-any-return]
