"""Every test has a database of its own; nothing is mocked, and sockets stay on this machine."""

import asyncio
import contextlib
import os
import shutil
import socket
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
import redis

from gql_app.app import App
from gql_app.changes import doorbell
from gql_app.db import Database
from gql_app.limiter import limiter, scope_of
from gql_app.reconcile.findings import MEANINGS
from gql_app.settings import Secret, Settings
from gql_app.testing.client import Client
from gql_app.testing.server import Running, serving
from tests import postgres
from tests.fast import FAST
from tests.forking import warm_starter
from tests.people import People
from tests.postgres import migrated
from tests.reconcile.after import Checker, checking
from tests.ruling import service_database
from tests.witness import triggers
from tests.witness.witnessed import Witnessed, models_of_the_service

POLL = 0.05
"""Seconds; so that what the doorbell does not wake is still soon found."""

REDIS_URL = os.environ.get("GQL_APP_TEST_REDIS_URL", "redis://127.0.0.1:6379/0")


def redis_is_there() -> bool:
    parts = urlsplit(REDIS_URL)
    with contextlib.suppress(OSError):
        socket.create_connection((parts.hostname or "", parts.port or 6379), timeout=2).close()
        return True
    return False


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


@pytest.fixture(autouse=True)
def _own_doorbell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis has one space of channels for all its databases: other tests would wake what this one runs."""
    monkeypatch.setattr(doorbell, "CHANNEL", f"gql_app.test.{uuid4().hex}")


@pytest.fixture(scope="session")
def checker() -> Iterator[Checker]:
    with checking() as checker:
        yield checker


@pytest.fixture(autouse=True)
def witnessed(request: pytest.FixtureRequest, checker: Checker) -> Iterator[Witnessed]:
    """After the test, the change log must say what triggers saw of the rows, and `gql-app check` must find nothing.

    Marks say what is wrong on purpose. ``@pytest.mark.unwitnessed("why")``: the test writes past the log, and nothing
    is compared. ``@pytest.mark.check_finds("stuck", reason="why")``: check may find this, and only this.
    """
    found = Witnessed(checker)
    yield found
    exempt = request.node.get_closest_marker("unwitnessed")
    assert exempt is None or exempt.args, "unwitnessed needs its reason"
    if exempt is None and (sentences := found.sentences(may_be_found(request.node))):
        pytest.fail("rows, change log and messages do not fit together:\n" + "\n".join(sentences), pytrace=False)


def may_be_found(test: pytest.Item) -> set[str]:
    """The findings of `gql-app check` that the test's marks name."""
    kinds = set()
    for mark in test.iter_markers("check_finds"):
        assert mark.kwargs.get("reason"), "check_finds needs its reason"
        assert MEANINGS.keys() >= set(mark.args), f"no such finding: {mark.args}"
        kinds |= set(mark.args)
    return kinds


BACKENDS = ("sqlite", "postgres")
INDIFFERENT = {"api", "execution", "transport", "browser", "commands"}
"""Rooms of tests that are not about what lies below the API: on one backend they say all they can."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend" in metafunc.fixturenames:
        room = metafunc.definition.path.parent.name
        chosen = os.environ.get("GQL_APP_TEST_BACKENDS", ",".join(BACKENDS)).split(",")
        if only := metafunc.definition.get_closest_marker("only_on"):
            assert only.kwargs.get("reason"), "only_on needs its reason"
            chosen = [each for each in chosen if each in only.args]
        metafunc.parametrize("backend", chosen[:1] if room in INDIFFERENT else chosen, indirect=True)


@pytest.fixture
def backend(request: pytest.FixtureRequest) -> str:
    """On what the service runs: SQLite and the memory broadcaster, or PostgreSQL and Redis."""
    return str(request.param)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty SQLite file, made once and copied for each test."""
    path = tmp_path_factory.mktemp("template") / "empty.db"
    url = f"sqlite+aiosqlite:///{path}"
    asyncio.run(migrated(url))
    triggers.install(url, models_of_the_service())
    return path


@pytest.fixture
def database_url(backend: str, tmp_path: Path, request: pytest.FixtureRequest, witnessed: Witnessed) -> str:
    """An empty, migrated database of the test's own."""
    if backend == "sqlite":
        path = tmp_path / "test.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        witnessed.urls.append(url := f"sqlite+aiosqlite:///{path}")
        return url
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture(scope="session")
def postgres_database() -> Iterator[str]:
    """A migrated database of this test process's own, emptied before each test."""
    with postgres.database() as url:
        triggers.install(url, models_of_the_service())
        yield url


@pytest.fixture
def postgres_url(request: pytest.FixtureRequest, witnessed: Witnessed) -> str:
    """An empty, migrated PostgreSQL database, whatever the backend is."""
    require("PostgreSQL", postgres.is_there(), f"no PostgreSQL at {postgres.URL} (GQL_APP_TEST_POSTGRES_URL)")
    url = str(request.getfixturevalue("postgres_database"))
    postgres.empty(url)
    witnessed.urls.append(url)
    return url


@pytest.fixture
def broadcast_url(backend: str, database_url: str, request: pytest.FixtureRequest) -> str:
    if backend == "sqlite":
        return "memory://"
    url = str(request.getfixturevalue("redis_url"))
    with redis.Redis.from_url(url) as client:  # what the test before has counted in the name of this database
        for key in client.scan_iter(f"{limiter.PREFIX}:{scope_of(database_url)}*", count=1_000):
            client.delete(key)
    return url


@pytest.fixture
def redis_url() -> str:
    require("Redis", redis_is_there(), f"no Redis at {REDIS_URL} (GQL_APP_TEST_REDIS_URL)")
    return REDIS_URL


@pytest.fixture
def settings(database_url: str, broadcast_url: str) -> Settings:
    return Settings(
        database_url=Secret(database_url),
        broadcast_url=Secret(broadcast_url),
        bcrypt_cost=4,
        poll_interval=timedelta(seconds=POLL),
        fast=FAST,
        address_budget=0,
        viewer_budget=0,
        limits={"sign_up": None},
    )


@pytest.fixture(scope="session")
def starter() -> ForkServerContext:
    """Starts processes that have imported the service already."""
    return warm_starter()


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    db = service_database(database_url)
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
