"""What the triggers write down: every type of column, every table of a hierarchy, around migrations."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import insert, inspect, text
from sqlalchemy.orm import Session

from gql_app import migrations
from gql_app.changes.sequencer import move
from gql_app.changes.tracking import Tracked
from gql_app.db import Database
from tests import postgres
from tests.conftest import require
from tests.migrating import back, migrate
from tests.ruling import service_database
from tests.things import add_user
from tests.witness import triggers
from tests.witness.harbour import Base, Flag, Sample, Tanker, Tug, Vessel
from tests.witness.images import read
from tests.witness.kinds import kinds_of
from tests.witness.values import Json, denotes, meaning
from tests.witness.witnessed import Witnessed, disagreements, models_of_the_service

MODELS: list[type[Tracked]] = [Vessel, Sample]


@pytest.fixture
async def harbour(db: Database, witnessed: Witnessed) -> AsyncIterator[Database]:
    witnessed.models += MODELS
    async with db.writing() as connection:
        await connection.run_sync(Base.metadata.create_all)
        await connection.run_sync(triggers.install, MODELS)
    yield db
    await move(db)
    async with db.writing() as connection:
        await connection.run_sync(Base.metadata.drop_all)


def url_of(db: Database) -> str:
    return db.url.render_as_string(hide_password=False)


async def found(db: Database) -> list[str]:
    return await asyncio.to_thread(disagreements, url_of(db), MODELS)


VALUES: dict[str, tuple[Any, str, str]] = {
    "flag": (Flag.RED, "RED", "BLUE"),
    "letter": (Flag.RED, "RED", "r"),
    "moment": (datetime(2026, 1, 2, 3, 4, 5, 6, UTC), "2026-01-02T03:04:05.000006+00:00", "2026-01-02T03:04:05.000006"),
    "naive": (datetime(2026, 1, 2, 3, 4, 5), "2026-01-02T03:04:05", "2026-01-02T03:04:05+00:00"),  # noqa: DTZ001
    "day": (date(2026, 1, 2), "2026-01-02", "2026-01-03"),
    "hour": (time(3, 4, 5), "03:04:05", "03:04:06"),
    "price": (Decimal("10.50"), "10.5", "10.05"),
    "ratio": (0.1, "0.1", "0.2"),
    "big": (2**60 + 1, "1152921504606846977", "1152921504606846976"),
    "yes": (False, "false", "0"),
    "other": (UUID(int=5), "00000000-0000-0000-0000-000000000005", "5"),
    "blob": (b"\x00\xff", "00ff", "b'\\x00\\xff'"),
    "tree": ({"a": [1.5, None]}, '{"a": [1.5, null]}', "{'a': [1.5, None]}"),
    "text": ('it\'s "é" \\ \n', 'it\'s "é" \\ \n', "it's"),
}
"""Attribute: the value, a text that denotes it, and one that does not."""


async def test_what_is_stored_is_read_as_what_it_means(harbour: Database) -> None:
    values = {name: value for name, (value, _, _) in VALUES.items()}
    table: Any = Sample.__table__
    async with harbour.writing() as connection:
        await connection.execute(insert(table).values(public_id=UUID(int=1), version=1, **values))
        await connection.execute(table.delete())
    (kind,) = kinds_of([Sample])
    image = next(each for each in (await asyncio.to_thread(read, url_of(harbour))).images if each.op == "INSERT")
    assert image.new is not None
    for attribute in kind.attributes:
        stored = image.new[attribute.column]
        value, right, wrong = VALUES[attribute.name]
        meant = meaning(attribute.type, stored)
        assert meant == (Json(value) if attribute.name == "tree" else value), attribute.name
        assert denotes(right, meant), attribute.name
        assert not denotes(wrong, meant), attribute.name
        assert not denotes(None, meant), attribute.name
        assert denotes(None, meaning(attribute.type, None)), attribute.name


def test_a_hierarchy_is_one_kind_with_all_its_tables_and_attributes() -> None:
    (kind,) = kinds_of([Tug, Tanker, Vessel])
    assert [table.name for table in kind.tables] == ["vessels", "tankers"]
    places = {attribute.name: (attribute.table, attribute.column) for attribute in kind.attributes}
    assert places == {
        "title": ("vessels", "name"),
        "code": ("vessels", "code"),
        "full": ("tankers", "full"),
        "key": ("tankers", "key"),
        "power": ("vessels", "power"),
    }
    assert kind.secrets_of("tankers") == ["key"]


async def test_the_subclasses_attributes_are_the_entitys(harbour: Database) -> None:
    def launch(session: Session) -> tuple[int, int]:
        tanker, tug = Tanker(title="a", full=False, key="k1", captain=7), Tug(title="b", power=2.5)
        session.add_all([tanker, tug])
        session.flush()
        return tanker.number, tug.number

    tanker, tug = await harbour.write(launch)

    def change(session: Session) -> None:
        session.get_one(Tanker, tanker).full = True
        session.get_one(Tanker, tanker).key = "k2"
        session.get_one(Vessel, tug).power = 3.5  # type: ignore[attr-defined]

    await harbour.write(change)
    await harbour.write(lambda session: session.delete(session.get_one(Vessel, tanker)))
    assert await found(harbour) == []
    witness = await asyncio.to_thread(read, url_of(harbour))
    assert [(i.table, i.op) for i in witness.images if i.table == "tankers"] == [
        ("tankers", "INSERT"),
        ("tankers", "UPDATE"),
        ("tankers", "DELETE"),
    ]
    assert "k1" not in repr([image.new for image in witness.images])


@pytest.mark.unwitnessed("writes past the log, to be found")
@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("UPDATE tankers SET full = NOT full", "full changed from False to True, and no entry says so"),
        ("UPDATE tankers SET key = 'k2'", "key changed, and no entry says so"),
        ("DELETE FROM tankers", "full changed from False to None, and no entry says so"),
        ("UPDATE vessels SET power = 4 WHERE sort = 'tug'", "power changed from 2.5 to 4.0, and no entry says so"),
        ("DELETE FROM vessels WHERE sort = 'tanker'", "was DELETED, and no entry says so"),
    ],
)
async def test_a_subclasses_row_that_is_changed_past_the_log_is_found(
    harbour: Database, statement: str, sentence: str
) -> None:
    def launch(session: Session) -> None:
        session.add_all([Tanker(title="a", full=False, key="k1", captain=7), Tug(title="b", power=2.5)])

    await harbour.write(launch)
    async with harbour.writing() as connection:
        await connection.execute(text(statement.replace("full", '"full"').replace("key", '"key"')))
    told = await found(harbour)
    assert [each for each in told if sentence in each], told


@pytest.mark.unwitnessed("writes past the log, to be found")
async def test_another_entity_in_the_same_row_is_a_new_one(harbour: Database) -> None:
    await harbour.write(lambda session: session.add(Tanker(title="a", full=False)))
    async with harbour.writing() as connection:
        await connection.execute(text(f"UPDATE vessels SET public_id = '{UUID(int=9).hex}', name = 'b'"))
    told = " ".join(await found(harbour))
    assert "was DELETED, and no entry says so" in told
    assert f"Vessel {UUID(int=9)}" in told
    assert "title changed from None to 'b'" in told
    assert "full changed from None to False" in told


async def _back_and_forth(url: str) -> None:
    """Migrations while there are images and rows; on PostgreSQL also below the triggers."""
    db = service_database(url)
    await migrate(db)
    await asyncio.to_thread(triggers.install, url, models_of_the_service())
    await add_user(db)
    assert await asyncio.to_thread(disagreements, url) == []
    if db.is_sqlite:
        await asyncio.to_thread(triggers.remove, url, models_of_the_service(), images=False)
    await back(db, migrations.BEFORE, "0003")
    await migrate(db)
    await asyncio.to_thread(triggers.install, url, models_of_the_service())
    await add_user(db, "linus")
    assert await asyncio.to_thread(disagreements, url) == []
    await asyncio.to_thread(triggers.remove, url, models_of_the_service())
    await add_user(db, "grace")
    async with db.engine.connect() as connection:
        assert not await connection.run_sync(lambda sync: inspect(sync).has_table(triggers.WITNESS))
    await db.close()


def test_migrations_go_on_and_so_does_the_witness(tmp_path: Path) -> None:
    asyncio.run(_back_and_forth(f"sqlite+aiosqlite:///{tmp_path}/there.db"))
    require("PostgreSQL", postgres.is_there(), "no PostgreSQL")
    with postgres.database() as url:
        asyncio.run(_back_and_forth(url))


async def test_an_image_is_the_row_as_it_is_stored(db: Database) -> None:
    ada = await add_user(db)
    image = (await asyncio.to_thread(read, url_of(db))).images[0]
    assert (image.table, image.op, json.loads(image.key), image.old) == ("users", "INSERT", [ada.id], None)
    assert image.new is not None
    assert UUID(image.new["public_id"]) == ada.public_id
    assert image.new["password_hash"] == triggers.SET
    assert (image.tx is None) == db.is_sqlite
