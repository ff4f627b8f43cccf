"""An application of the strangers' verticals behind a real socket, with their tables beside the service's."""

from collections.abc import AsyncIterator

import pytest

from gql_app.audiences import registry
from gql_app.changes.sequencer import move
from gql_app.db import Database
from gql_app.settings import Settings
from gql_app.testing.server import Running, serving
from tests.declared.models import MODELS, Base
from tests.declared.verticals import ALL
from tests.witness import triggers
from tests.witness.witnessed import Witnessed


@pytest.fixture
async def tables(db: Database, witnessed: Witnessed) -> AsyncIterator[Database]:
    witnessed.models += MODELS
    async with db.writing() as connection:
        await connection.run_sync(Base.metadata.create_all)
        await connection.run_sync(triggers.install, MODELS)
    yield db
    await move(db)
    async with db.writing() as connection:
        await connection.run_sync(Base.metadata.drop_all)


@pytest.fixture
async def site(tables: Database, settings: Settings) -> AsyncIterator[Running]:
    async with serving(settings, ALL) as running:
        yield running


for _model in MODELS:
    registry.discard(_model)  # known to the applications that name them
