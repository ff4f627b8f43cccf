"""What must hold at the end of every test that writes: there is nothing for `gql-app check` to find."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Iterator

from sqlalchemy import NullPool, create_engine, make_url
from sqlalchemy.orm import Session

from gql_app.changes.sequencer import move
from gql_app.db import Database
from gql_app.reconcile import Finding, reconcile


async def nothing_to_find(url: str) -> None:
    """Raises AssertionError with all findings. The database must not be in the middle of a migration."""
    db = Database(url)
    try:
        findings = await _check(db)
    finally:
        await db.close()
    assert not findings, "\n".join(map(str, findings))


async def _check(db: Database) -> list[Finding]:
    """As the command does it."""
    await move(db)
    return await db.read(reconcile)


class Checker:
    """Checks one database after the other, without a set-up for each: compiled statements and connections are kept.

    Not in an event loop: use a thread there.
    """

    def __init__(self, runner: asyncio.Runner) -> None:
        self._runner = runner
        self._path = ""
        self._sqlite = create_engine("sqlite://", creator=lambda: sqlite3.connect(self._path), poolclass=NullPool)
        self._postgres: dict[str, Database] = {}

    def findings(self, url: str) -> list[Finding]:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            self._path = str(parsed.database)
            with Session(self._sqlite) as session:
                return reconcile(session)
        db = self._postgres.get(url)
        if db is None:
            db = self._postgres[url] = Database(url, pool_size=1, patient=True)
        return self._runner.run(_check(db))

    def close(self) -> None:
        for db in self._postgres.values():
            self._runner.run(db.close())


@contextlib.contextmanager
def checking() -> Iterator[Checker]:
    """A checker for as long as the block runs. Its event loop is nobody else's."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        checker = Checker(runner)
        try:
            yield checker
        finally:
            checker.close()
