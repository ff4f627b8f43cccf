"""Pages of the log for somebody with many keys: the right ones, by an index, whatever the number of keys."""

import json
import random
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from sqlalchemy import Connection, Select, insert, text
from sqlalchemy.orm import Session

from gql_app.changes import pages
from gql_app.changes.models import ChangeAudience, ChangeEvent, ChangeKind, ChangeRecord
from gql_app.changes.scope import Interest, Scope
from gql_app.changes.topics import Topic
from gql_app.db import Database

EVENTS = 6_000
ORGANISATIONS = 250
KINDS = ("Boat", "Pier")


def keys_at(position: int) -> frozenset[str]:
    """Nearly all events have one or two keys; every tenth has none."""
    picked = random.Random(position)
    if position % 10 == 0:
        return frozenset()
    return frozenset(f"organisation:{picked.randrange(ORGANISATIONS)}" for _ in range(1 + position % 2))


def lost_at(position: int) -> frozenset[str]:
    """Every seventh event tells somebody that the entity left."""
    if position % 7:
        return frozenset()
    return frozenset({f"organisation:{position % ORGANISATIONS}"}) - keys_at(position)


def _fill(connection: Connection) -> None:
    now, change_set = datetime.now(UTC), uuid4()
    positions = range(1, EVENTS + 1)
    rows = [
        {
            "position": position,
            "change_set": change_set,
            "kind": ChangeKind.UPDATED,
            "entity_type": KINDS[position % 2],
            "entity_id": uuid4(),
            "attribute": "name",
            "owner_id": position % 90,
            "occurred_at": now,
            "audience": json.dumps(sorted(keys_at(position))) if keys_at(position) else None,
            "audience_before": json.dumps(sorted(lost_at(position))) if position % 7 == 0 else None,
        }
        for position in positions
    ]
    connection.execute(insert(ChangeRecord.__table__), rows)  # type: ignore[arg-type]
    named = [(key, position, False) for position in positions for key in keys_at(position)]
    named += [(key, position, True) for position in positions for key in lost_at(position)]
    index = [{"key": key, "position": position, "lost": lost} for key, position, lost in named]
    connection.execute(insert(ChangeAudience.__table__), index)  # type: ignore[arg-type]


@pytest.fixture
async def filled(db: Database) -> Database:
    async with db.writing() as connection:
        await connection.run_sync(_fill)
    return db


def scope_of(keys: int) -> Scope:
    return Scope(8, keys=frozenset(f"organisation:{number}" for number in range(keys)))


def interest_of(keys: int) -> Interest:
    """As somebody would have it in whose application boats are seen by organisation."""
    scope = scope_of(keys)
    owner, wanted = Topic("Boat", owner_id=8), Topic("Boat")
    by_key = tuple(wanted._replace(key=key) for key in sorted(scope.keys))
    gone = tuple(Topic("Boat", turns=True, lost=key) for key in sorted(scope.keys))
    return Interest((owner, *by_key, *gone), scope)


def expected(keys: int, positions: Sequence[int]) -> list[int]:
    held = scope_of(keys).keys
    return [
        each
        for each in positions
        if KINDS[each % 2] == "Boat" and (each % 90 == 8 or held & keys_at(each) or held & lost_at(each))
    ]


@pytest.mark.unwitnessed("fills the log by itself")
@pytest.mark.parametrize("keys", [1, 20, 200])
async def test_a_page_holds_the_first_events_that_the_keys_open(filled: Database, keys: int) -> None:
    interest, everything = interest_of(keys), range(1, EVENTS + 1)
    assert interest.hears(next(iter(await filled.read(pages.page, interest, 0, EVENTS, 1))))
    found: list[ChangeEvent] = []
    while True:
        after = found[-1].position if found else 0
        page = await filled.read(pages.page, interest, after, EVENTS, 64)
        found += page
        if len(page) < 64:
            break
    assert [each.position for each in found] == expected(keys, everything)

    def last(session: Session, before: int | None) -> list[int]:
        window = pages.window(session, interest, after=None, before=before, limit=5, backward=True)
        return [each.position for each in window]

    backward = list(reversed(expected(keys, everything)))
    assert await filled.read(last, None) == backward[:5]
    assert await filled.read(last, backward[4]) == backward[5:10]


def _plan(connection: Connection, query: Select[tuple[int]]) -> str:
    sql = str(query.compile(dialect=connection.dialect, compile_kwargs={"literal_binds": True}))
    explain = "EXPLAIN QUERY PLAN " if connection.dialect.name == "sqlite" else "EXPLAIN "
    return "\n".join(" ".join(map(str, row)) for row in connection.execute(text(explain + sql.replace(":", r"\:"))))


MANY = 200_000
_FILL = {
    "sqlite": f"""INSERT INTO change_audience
        WITH RECURSIVE g(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM g WHERE n < {MANY})
        SELECT 'organisation:' || (n % 250), n, false FROM g""",
    "postgresql": f"""INSERT INTO change_audience
        SELECT 'organisation:' || (n % 250), n, false FROM generate_series(1, {MANY}) AS g(n)""",
}


async def test_keys_are_looked_up_in_their_index(db: Database) -> None:
    """With and without statistics, whatever the number of keys."""
    dialect = "sqlite" if db.is_sqlite else "postgresql"
    async with db.writing() as connection:
        await connection.execute(text(_FILL[dialect]))
        for analyzed in (False, True):
            if analyzed:
                await connection.execute(text("ANALYZE"))
            for keys in (1, 20, 200):
                held = sorted(scope_of(keys).keys)
                query = pages.positions(dialect, held, MANY - pages.SHORTEST_STRETCH, MANY, lost=False)
                _is_by_index(await connection.run_sync(_plan, query), dialect)


def _is_by_index(plan: str, dialect: str) -> None:
    if dialect == "sqlite":
        assert "SEARCH change_audience USING PRIMARY KEY (key=? AND position>? AND position<?)" in plan, plan
        return
    assert re.search(r"Index (Only )?Scan.* pk_change_audience", plan), plan
    assert re.search(r"Index Cond: .*key.*position|Index Cond: .*position.*key", plan), plan
    assert "Seq Scan" not in plan, plan
