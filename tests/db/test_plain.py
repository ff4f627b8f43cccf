"""Without short cuts each unit of work is a transaction of its own, and none runs in the event loop."""

import asyncio
import threading
from collections.abc import Callable

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from gql_app.accounts.models import User
from gql_app.db import Database
from tests.things import add_user, new_user

KNOWN = select(User.username).order_by(User.username)


def _thread(session: Session) -> int:
    session.execute(text("SELECT 1"))
    return threading.get_ident()


@pytest.mark.only_on("sqlite", reason="on PostgreSQL all of it is in the event loop")
@pytest.mark.parametrize("fast", [True, False])
async def test_only_a_short_cut_runs_a_look_up_in_the_event_loop(db: Database, database_url: str, fast: bool) -> None:
    other = Database(database_url, fast=fast)
    found = {"look_up": await other.look_up(_thread), "read": await other.read(_thread)}
    await other.close()
    here = threading.get_ident()
    assert {name: thread == here for name, thread in found.items()} == {"look_up": fast, "read": False}


@pytest.mark.parametrize("quick", [True, False])
async def test_rows_are_found_without_short_cuts(db: Database, database_url: str, quick: bool) -> None:
    await add_user(db, username="ada")
    other = Database(database_url, fast=False)
    ask = other.look_up if quick else other.read
    assert [row.username for row in await ask(KNOWN)] == ["ada"]
    await other.close()


@pytest.mark.only_on("sqlite", reason="it has one writer")
async def test_units_of_work_that_come_together_have_a_transaction_each(db: Database, database_url: str) -> None:
    """One fails in its commit, one is cancelled: the others do not notice, and all that is told is so."""
    other = Database(database_url, fast=False)
    seen: list[bool] = []

    def adding(name: str, *, fails: bool = False) -> Callable[[Session], str]:
        def work(session: Session) -> str:
            raw = session.connection().connection.driver_connection
            seen.append(raw._writer.grouping)  # type: ignore[union-attr]
            session.add(new_user(name))
            if fails:
                session.add(new_user(name))
            return name

        return work

    writing = [asyncio.ensure_future(other.write(adding(name, fails=name == "b"))) for name in "abcd"]
    await asyncio.sleep(0)
    writing[2].cancel()
    found = await asyncio.gather(*writing, return_exceptions=True)
    assert [type(each).__name__ for each in found] == ["str", "IntegrityError", "CancelledError", "str"]
    assert [row.username for row in await other.look_up(KNOWN)] == ["a", "c", "d"]
    assert seen == [False] * 4
    await other.close()
