"""A running process's parts, with the tests' tables beside the product's, and a few users."""

from collections.abc import AsyncIterator

import pytest

from gql_app.accounts.models import User
from gql_app.app import App
from gql_app.changes.sequencer import move
from gql_app.db import Database
from gql_app.settings import Settings
from tests.audiences.models import MODELS, WITH_THEIRS, Base, declared
from tests.things import add_user, caught_up
from tests.witness import triggers
from tests.witness.witnessed import Witnessed

NAMES = ("ada", "bea", "cleo", "dora", "edda")


@pytest.fixture
async def tables(db: Database, witnessed: Witnessed) -> AsyncIterator[Database]:
    witnessed.models += MODELS
    async with db.writing() as connection:
        await connection.run_sync(Base.metadata.create_all)
        await connection.run_sync(triggers.install, MODELS)
    with declared():
        yield db
    await move(db)
    async with db.writing() as connection:
        await connection.run_sync(Base.metadata.drop_all)


@pytest.fixture
async def site(tables: Database, settings: Settings) -> AsyncIterator[App]:
    app = App(settings, WITH_THEIRS)
    async with app.running(deliver=False):
        yield app


@pytest.fixture
async def users(site: App) -> list[User]:
    found = [await add_user(site.db, name) for name in NAMES]
    await caught_up(site)
    return found
