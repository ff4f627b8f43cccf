"""Who catches an error cannot commit a change without its events; and many rows are read together."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from sqlalchemy import event, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, make_transient

from gql_app.db import Database, ReadOnly, UntrackedWrite
from gql_app.deliveries.rules import on_change
from gql_app.demo.fuel_requests.models import FuelRequest, FuelRequestStatus
from gql_app.demo.projects.models import Project, ProjectStatus
from tests.ruling import besides
from tests.things import add_request, add_user, head_of, logged, rows_of, said

MANY = 1_200
MOST_STATEMENTS = 10


class Oops(Exception):
    pass


@contextmanager
def ruled(db: Database, rule: Any) -> Iterator[None]:
    before = dict(db.session_info)
    besides(db)(on_change(FuelRequest.note, propagate=True)(rule))
    try:
        yield
    finally:
        db.session_info |= before


async def test_a_commit_that_fails_while_it_is_recorded_cannot_be_caught(db: Database) -> None:
    request = await add_request(db, await add_user(db), note="a")
    start = await head_of(db)

    def fail(change: Any) -> None:
        raise Oops

    def catch(session: Session) -> None:
        session.get_one(FuelRequest, request.id).note = "x"
        with suppress(Oops):
            session.commit()

    with ruled(db, fail), pytest.raises(RuntimeError, match="not recorded"):
        await db.write(catch)
    assert [row.note for row in await rows_of(db, FuelRequest)] == ["a"]
    assert await said(db, "FuelRequest", start) == []


@pytest.mark.parametrize("again", [False, True])
async def test_a_bulk_statement_that_fails_cannot_be_caught_unless_its_savepoint_is_rolled_back(
    db: Database, again: bool
) -> None:
    await add_request(db, await add_user(db), note="a")
    start = await head_of(db)

    def catch(session: Session) -> None:
        with suppress(DBAPIError), session.begin_nested():
            session.execute(update(FuelRequest).values(note="x", requester_id=99))
        if again:
            session.execute(update(FuelRequest).values(note="y"))

    await db.write(catch)
    assert [row.note for row in await rows_of(db, FuelRequest)] == ["y" if again else "a"]
    assert await said(db, "FuelRequest", start) == ([("UPDATED", "note", "a", "y")] if again else [])


async def test_many_rows_take_few_statements(db: Database) -> None:
    ada = await add_user(db)
    await db.write(lambda s: s.add_all([Project(owner_id=ada.id, name=f"p{i}") for i in range(MANY)]))
    start = await head_of(db)
    statements: list[str] = []

    def count(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        statements.append(statement)

    for engine in db.sync_engines:
        event.listen(engine, "before_cursor_execute", count)
    await db.write(lambda session: session.execute(update(Project).values(name=Project.name + "!")) and None)
    assert len(statements) <= MOST_STATEMENTS, statements
    events = await logged(db, "Project", start)
    assert [(e.attribute, e.old_value, e.new_value) for e in events] == [
        ("name", f"p{i}", f"p{i}!") for i in range(MANY)
    ]


async def test_the_rules_of_a_bulk_statement_see_its_objects(db: Database) -> None:
    ada = await add_user(db)
    await db.write(lambda s: s.add_all([Project(owner_id=ada.id, name=f"p{i}") for i in range(5)]))
    await db.write(lambda s: s.execute(update(Project).values(status=ProjectStatus.ACTIVE)) and None)
    kinds = [e.entity_type for e in await logged(db)]
    assert kinds.count("Delivery") == 1 + 2 * 5  # the welcome, then an SMS and a mail for each


async def test_a_rule_sees_the_object_of_the_session_though_it_was_made_transient(db: Database) -> None:
    request = await add_request(db, await add_user(db), note="a")
    seen: list[tuple[Any, Any, Any]] = []

    def look(change: Any) -> tuple[()]:
        seen.append((change.subject.id, change.old, change.new))
        return ()

    def lose(session: Session) -> None:
        found = session.get_one(FuelRequest, request.id)
        found.note = "x"
        session.flush()
        make_transient(found)
        found.id = 77

    with ruled(db, look):
        await db.write(lose)
    assert seen == [(request.id, "a", "x")]


async def test_nothing_is_changed_by_what_only_reads(db: Database) -> None:
    request = await add_request(db, await add_user(db), note="a")
    change = text("UPDATE fuel_requests SET note = 'x'")
    for attempt in (
        db.read(lambda session: session.execute(change).all()),
        db.look_up(lambda session: session.execute(update(FuelRequest).values(note="x")).all()),
        db.look_up(change),
        db.read(lambda session: session.execute(text("CREATE TABLE x (id int)")).all()),
        db.read(lambda session: session.execute(text("PRAGMA query_only = OFF")).all()),
        db.read(lambda session: session.execute(text("SET TRANSACTION READ WRITE")).all()),
        db.look_up(text("PRAGMA query_only(0)")),
    ):
        with pytest.raises((ReadOnly, UntrackedWrite)):
            await attempt
    if db.is_sqlite:
        (found,) = await db.look_up(text("PRAGMA query_only"))
        assert found[0] == 1
    else:
        (found,) = await db.read(lambda session: session.execute(text("SHOW transaction_read_only")).all())
        assert found[0] == "on"
    assert (await rows_of(db, FuelRequest))[0].note == request.note == "a"


async def test_bare_connections_are_watched_too(db: Database) -> None:
    await add_request(db, await add_user(db), note="a")
    with pytest.raises(UntrackedWrite):
        async with db.engine.begin() as connection:
            await connection.execute(text("UPDATE fuel_requests SET note = 'x'"))
    assert [row.note for row in await rows_of(db, FuelRequest)] == ["a"]
    assert FuelRequestStatus.PENDING in {row.status for row in await rows_of(db, FuelRequest)}


@pytest.mark.filterwarnings("ignore:nested transaction already deassociated")
async def test_a_transaction_that_cannot_be_rolled_back_ends_all_the_same(
    db: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """Savepoints that the session and its connection have opened crosswise: one has taken the other with it."""
    request = await add_request(db, await add_user(db), note="a")

    def crosswise(session: Session) -> None:
        outer = session.connection().begin_nested()
        session.begin_nested()
        session.get_one(FuelRequest, request.id).note = "x"
        session.flush()
        outer.rollback()
        raise LookupError

    for _ in range(12):  # more than there are connections
        with pytest.raises(LookupError):
            await db.write(crosswise)
    assert "could not be rolled back" in caplog.text
    await asyncio.gather(*(db.write(lambda s: setattr(s.get_one(FuelRequest, request.id), "note", "y")) for _ in "123"))
    assert [row.note for row in await rows_of(db, FuelRequest)] == ["y"]
