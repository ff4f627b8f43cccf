"""Every test has a database of its own; nothing is mocked, and sockets stay on this machine."""

import os
import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gql_app import migrations
from gql_app.app import App
from gql_app.db import Database
from gql_app.settings import Secret, Settings
from tests.client import Client
from tests.people import People
from tests.running import Running, serving

POLL = 0.05
"""Seconds; so that what the doorbell does not wake is still soon found."""


def require(what: str, present: bool, reason: str) -> None:
    """Skip where a machine lacks something; fail where it must not (GQL_APP_TEST_REQUIRE=all)."""
    if present:
        return
    if os.environ.get("GQL_APP_TEST_REQUIRE") == "all":
        pytest.fail(f"{what} must be here: {reason}")
    pytest.skip(reason)


@pytest.fixture(autouse=True)
def _only_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = socket.socket.connect

    def connect_locally(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"a test tried to reach {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect_locally)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty SQLite file, made once and copied for each test."""
    import asyncio

    path = tmp_path_factory.mktemp("template") / "empty.db"

    async def migrate() -> None:
        db = Database(f"sqlite+aiosqlite:///{path}")
        await migrations.upgrade(db)
        await db.close()

    asyncio.run(migrate())
    return path


@pytest.fixture
def database_url(template: Path, tmp_path: Path) -> str:
    path = tmp_path / "test.db"
    shutil.copy(template, path)
    return f"sqlite+aiosqlite:///{path}"


@pytest.fixture
def settings(database_url: str) -> Settings:
    from datetime import timedelta

    return Settings(database_url=Secret(database_url), bcrypt_cost=4, poll_interval=timedelta(seconds=POLL))


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    db = Database(database_url)
    yield db
    await db.close()


@pytest.fixture
async def app(settings: Settings) -> AsyncIterator[App]:
    """A running process's parts, without a server and without delivering."""
    app = App(settings)
    async with app.running(deliver=False):
        yield app


@pytest.fixture
async def server(settings: Settings) -> AsyncIterator[Running]:
    """The whole service behind a real socket."""
    async with serving(settings) as running:
        yield running


@pytest.fixture
async def people(server: Running) -> People:
    """ada (user, premium), linus (user), grace (approver) and root (admin), signed in."""
    return await People.sign_in(server)


@pytest.fixture
def anybody(server: Running) -> Client:
    """A client that is not signed in."""
    return Client(server.url)
