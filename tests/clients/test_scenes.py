"""Lines, sessions, logs and databases fail while real clients follow: nothing is missed, nothing repeated."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from sqlalchemy import text

from gql_app.accounts import User, service
from gql_app.accounts.roles import Role
from gql_app.accounts.sessions import viewer_of
from gql_app.changes import log
from gql_app.changes.cursors import parse_cursor
from gql_app.changes.sequencer import move
from gql_app.db import Database
from gql_app.execution import patience
from gql_app.settings import Secret, Settings
from gql_app.testing.client import PATIENCE, Client
from gql_app.testing.server import Running, serving
from gql_app.transport import streams
from tests.clients.followers import Followers, everybody
from tests.crash.town import HASH, sign_up
from tests.things import add_request, logged, rows_of
from tests.torture.sites import Line

BY_SOCKET = ("graphql_ws", "apollo_ws", "urql", "gql")
LOG_OUT = "mutation { logOut { errors { code } } }"


@dataclass
class Town:
    """People, their fuel requests, and the line between the service and the clients."""

    db: Database
    line: Line
    users: dict[str, User]
    tokens: dict[str, str]

    async def ask(self, name: str = "ada") -> str:
        """The cursor that tells of a new request."""
        request = await add_request(self.db, self.users[name])
        told = [each for each in await logged(self.db, "FuelRequest") if each.entity_id == request.public_id]
        return next(each.cursor for each in told if each.attribute == "status")

    @asynccontextmanager
    async def everybody(self, name: str = "root", **options: Any) -> AsyncIterator[Followers]:
        await move(self.db)
        begin = str(await self.db.read(log.end))
        async with everybody(self.line.url, self.tokens[name], begin, **options) as clients:
            yield clients

    def lead_to(self, server: Running) -> None:
        """New connections go to this server."""
        parts = urlsplit(server.url)
        self.line.target = (str(parts.hostname), int(parts.port or 0))

    async def connected(self, count: int) -> None:
        """Until there have been so many connections."""
        async with asyncio.timeout(PATIENCE):
            while self.line.connections < count:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


@pytest.fixture
async def town(db: Database) -> AsyncIterator[Town]:
    async with Line("http://127.0.0.1:1") as line:
        tokens = await sign_up(db, ("ada", "linus"))
        yield Town(db, line, {each.username: each for each in await rows_of(db, User)}, tokens)


async def test_a_line_that_is_cut_again_and_again_between_several_processes(town: Town, settings: Settings) -> None:
    async with serving(settings) as one, serving(settings) as other:
        town.lead_to(one)
        async with town.everybody() as clients:
            due = []
            for server in (other, one, other):
                due += [await town.ask(), await town.ask()]
                await clients.have_heard(due)
                town.line.cut()
                due.append(await town.ask())
                town.lead_to(server)
                town.line.heal()
                due.append(await town.ask())
                await clients.have_heard(due)


async def test_a_rolling_deploy(town: Town, settings: Settings) -> None:
    async with AsyncExitStack() as last, town.everybody() as clients:
        due: list[str] = []
        for _ in range(2):
            stack = AsyncExitStack()
            town.lead_to(await stack.enter_async_context(serving(settings)))
            await last.aclose()  # the one before stops after the new one has begun
            last.push_async_exit(stack)
            due += [await town.ask(), await town.ask()]
            await clients.have_heard(due)


async def test_a_line_that_falls_silent(town: Town, server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients notice it by themselves; what was held back and arrives after all is nothing new."""
    monkeypatch.setattr(streams, "HEARTBEAT", 0.5)
    town.lead_to(server)
    async with town.everybody(silence=3) as clients:
        due = [await town.ask()]
        await clients.have_heard(due)
        town.line.hush()
        due += [await town.ask(), await town.ask()]
        await clients.have_heard(due)
        town.line.speak()
        due += [await town.ask(), await town.ask()]
        await clients.have_heard(due)


async def test_who_was_away_for_too_long_is_told_so_once(town: Town, server: Running) -> None:
    town.lead_to(server)
    async with town.everybody() as clients:
        due = [await town.ask()]
        await clients.have_heard(due)
        town.line.cut()
        await town.ask()
        assert await town.db.write(log.prune, datetime.now(UTC) + timedelta(seconds=1))
        await town.ask()
        town.line.heal()
        await clients.have_stopped(due, others="error CURSOR_EXPIRED")


@pytest.mark.parametrize("away", [False, True], ids=["while they follow", "while they are away"])
async def test_a_session_that_was_ended_elsewhere(town: Town, server: Running, away: bool) -> None:
    town.lead_to(server)
    async with town.everybody("ada") as clients:
        due = [await town.ask()]
        await clients.have_heard(due)
        if away:
            town.line.cut()
        assert await Client(server.url, town.tokens["ada"]).data(LOG_OUT) == {"errors": []}
        await town.ask()
        town.line.heal()
        closed = {**dict.fromkeys(BY_SOCKET, "error 4401"), "eventsource": "error 401"} if away else {}
        await clients.have_stopped(due, others="error UNAUTHENTICATED", **closed)


async def new_password(town: Town, name: str) -> str:
    user = town.users[name]
    viewer = viewer_of(user.id, user.role, uuid4(), datetime.now(UTC), 0)
    _, session, _ = await town.db.write(service.change_password, viewer, HASH, HASH[:-1] + "x", timedelta(days=1))
    return session.token


async def test_a_new_password_where_it_was_changed(town: Town, server: Running) -> None:
    town.lead_to(server)
    async with town.everybody("ada", awaits_token=True) as clients:
        due = [await town.ask()]
        await clients.have_heard(due)
        token = await new_password(town, "ada")
        due.append(await town.ask())
        clients.sign_in(token)
        due.append(await town.ask())
        await clients.have_heard(due)


async def test_a_new_password_elsewhere(town: Town, server: Running) -> None:
    town.lead_to(server)
    async with town.everybody("ada") as clients:
        due = [await town.ask()]
        await clients.have_heard(due)
        await new_password(town, "ada")
        await town.ask()
        closed = dict.fromkeys(BY_SOCKET, "error 4401")
        await clients.have_stopped(due, others="error SESSION_REPLACED", **closed)


async def test_a_changed_role_changes_what_is_told_and_ends_nothing(town: Town, server: Running) -> None:
    root, ada = town.users["root"], town.users["ada"]
    viewer = viewer_of(root.id, root.role, uuid4(), datetime.now(UTC), 0)
    town.lead_to(server)
    async with town.everybody("ada") as clients:
        due: list[str] = []
        for role in (Role.USER, Role.APPROVER, Role.USER, Role.ADMIN):
            await town.db.write(service.set_role, viewer, ada.public_id, role)
            not_hers = await town.ask("linus")
            due += [*([] if role is Role.USER else [not_hers]), await town.ask()]
            await clients.have_heard(due)
        assert town.line.connections == len(clients.lines)


@pytest.mark.unwitnessed("the database is put back to a backup")
async def test_a_restored_backup(town: Town, settings: Settings, tmp_path: Path, backend: str) -> None:
    async with town.everybody() as clients:
        async with serving(settings) as server:
            town.lead_to(server)
            due = [await town.ask()]
            await clients.have_heard(due)
            kept = parse_cursor(due[0]).position
            _copy(tmp_path / "test.db", tmp_path / "backup.db")
            due += [await town.ask() for _ in range(3)]
            await clients.have_heard(due)
        if backend == "sqlite":
            _copy(tmp_path / "backup.db", tmp_path / "test.db")
        else:
            await _forget(town.db, kept)
        for _ in range(6):  # other events have their positions now
            await town.ask()
        async with serving(settings) as server:
            town.lead_to(server)
            await clients.have_stopped(due, others="error CURSOR_EXPIRED")


def _copy(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as here, closing(sqlite3.connect(target)) as there:
        here.backup(there)


async def _forget(db: Database, kept: int) -> None:
    """What a PostgreSQL that was put back to this position does not know; it gives the positions out again."""
    async with db.writing() as connection:
        for table in ("change_events", "change_audience"):
            await connection.execute(text(f"DELETE FROM {table} WHERE position > {kept}"))
        await connection.execute(text(f"SELECT setval(pg_get_serial_sequence('change_events', 'position'), {kept})"))


@pytest.mark.only_on("postgres", reason="SQLite is a file of this machine")
@pytest.mark.parametrize("come_back", [False, True], ids=["they wait", "they come back meanwhile"])
async def test_a_database_that_is_away(
    town: Town, settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, come_back: bool
) -> None:
    monkeypatch.setattr(patience, "LONGEST_WAIT", 0.2)
    async with behind_a_line(town, settings) as database, town.everybody() as clients:
        due = [await town.ask()]
        await clients.have_heard(due)
        database.cut()
        due += [await town.ask(), await town.ask()]
        if come_back:
            town.line.cut()
            town.line.heal()
            await town.connected(town.line.connections + 2 * len(clients.lines))
        async with asyncio.timeout(PATIENCE):
            while "the change log could not be read" not in caplog.text:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        database.heal()
        due.append(await town.ask())
        await clients.have_heard(due)


@pytest.mark.only_on("postgres", reason="SQLite is a file of this machine")
async def test_who_begins_while_the_database_is_away(town: Town, settings: Settings) -> None:
    async with behind_a_line(town, settings) as database:
        database.cut()
        async with town.everybody() as clients:
            due = [await town.ask()]
            await town.connected(3 * len(clients.lines))
            database.heal()
            due.append(await town.ask())
            await clients.have_heard(due)


@asynccontextmanager
async def behind_a_line(town: Town, settings: Settings) -> AsyncIterator[Line]:
    """The line between the service and its database."""
    async with (
        Line(settings.database_url.reveal()) as database,
        serving(replace(settings, database_url=Secret(database.url))) as server,
    ):
        town.lead_to(server)
        yield database


@pytest.mark.unwitnessed("writes a value of another version into the log")
async def test_a_value_that_only_the_next_version_knows(town: Town, settings: Settings) -> None:
    async with serving(settings) as older, town.everybody() as clients:
        town.lead_to(older)
        due = [await town.ask()]
        await clients.have_heard(due)
        async with older.app.feed._looking:  # it reads nothing for a while
            due.append(await town.ask())
            await _call(town.db, due[-1], "ESCALATED")
        due.append(await town.ask())
        await town.connected(town.line.connections + 3 * len(clients.lines))
        await _call(town.db, due[1], "PENDING")
        async with serving(settings) as newer:
            town.lead_to(newer)
            await clients.have_heard(due)


async def _call(db: Database, cursor: str, value: str) -> None:
    """Give the event another value."""
    change = text("UPDATE change_events SET new_value = :value WHERE position = :position")
    async with db.writing() as connection:
        await connection.execute(change, {"value": value, "position": parse_cursor(cursor).position})
