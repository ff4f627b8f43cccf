"""A rolling deploy: two processes of two versions, of which the newer one knows one status more."""

import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import gql_app
from gql_app.db import Database
from gql_app.testing.client import Client
from tests.crash.process import ServiceProcess
from tests.crash.town import sign_up
from tests.people import submit
from tests.transport.wire import MULTIPART, SSE, streaming

pytestmark = pytest.mark.crash

WATCH = """subscription ($after: String, $snapshot: Boolean! = false) {
    fuelRequestStatusChanged(after: $after, snapshot: $snapshot) { cursor status fuelRequest { id note } } }"""
OTHERS = "subscription { changes { entityType } }"


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    """A folder with the version in which a new request is WAITING."""
    here = Path(gql_app.__file__).parent
    shutil.copytree(here, tmp_path / "newer" / "gql_app", ignore=shutil.ignore_patterns("__pycache__"))
    models = tmp_path / "newer" / "gql_app" / "demo" / "fuel_requests" / "models.py"
    text = models.read_text()
    changed = text.replace('    PENDING = "PENDING"\n', '    PENDING = "PENDING"\n    WAITING = "WAITING"\n', 1)
    changed = changed.replace("default=FuelRequestStatus.PENDING", "default=FuelRequestStatus.WAITING", 1)
    assert len(changed) > len(text)
    models.write_text(changed)
    return tmp_path / "newer"


@contextlib.asynccontextmanager
async def both(db: Database, broadcast_url: str, tmp_path: Path, newer: Path) -> AsyncIterator[tuple[str, str]]:
    settings = {
        "DATABASE_URL": db.url.render_as_string(hide_password=False),
        "BROADCAST_URL": broadcast_url,
        "ENVIRONMENT": "development",
    }
    async with (
        ServiceProcess(tmp_path, settings, "serve", "--port", "0") as one,
        ServiceProcess(newer, settings, "serve", "--port", "0") as other,
    ):
        yield await one.url(), await other.url()


@pytest.mark.unwitnessed("the newer process writes a status that this version does not know")
async def test_who_follows_at_the_older_process_is_sent_to_the_newer_one_and_misses_nothing(
    db: Database, broadcast_url: str, tmp_path: Path, newer: Path
) -> None:
    token = (await sign_up(db, ["ada"]))["ada"]
    async with both(db, broadcast_url, tmp_path, newer) as (old_url, new_url):
        old, new = Client(old_url, token), Client(new_url, token)
        await submit(old, note="first")
        async with old.subscribed(WATCH, after="0") as stream:
            seen = await stream.next()
            assert (seen["status"], seen["fuelRequest"]["note"]) == ("PENDING", "first")
            healthy = await stream.socket.subscribe(OTHERS)
            await submit(new, note="second")
            await submit(new, note="third")
            told: dict[str, list[Any]] = {stream.id: [], healthy.id: []}
            while not told[stream.id] or len(told[healthy.id]) < 4:
                message = await stream.socket.receive()
                told[message["id"]].append(message)
            (ended,) = told[stream.id]
            assert ended["type"] == "error"
            assert ended["payload"][0]["extensions"] == {"code": "UNDECODABLE", "retryable": True}
            assert all(each["type"] == "next" for each in told[healthy.id])
        for accept in (SSE, MULTIPART):
            async with streaming(old, WATCH, accept, {"after": seen["cursor"]}) as wire:
                rest = await wire.rest()
                assert b"WAITING" not in rest
                assert b"complete" not in rest
        async with old.subscribed(WATCH, snapshot=True) as stream:
            assert await stream.error() == "UNDECODABLE"
        async with new.subscribed(WATCH, after=seen["cursor"]) as stream:
            found = [await stream.next() for _ in range(2)]
            assert [each["fuelRequest"]["note"] for each in found] == ["second", "third"]
            assert {each["status"] for each in found} == {"WAITING"}
        async with new.subscribed(WATCH, snapshot=True) as stream:
            states = [await stream.next() for _ in range(3)]
            assert sorted(each["status"] for each in states) == ["PENDING", "WAITING", "WAITING"]
