"""What the processes share."""

from collections.abc import AsyncIterator

import pytest

from gql_app.db import Database
from tests.ruling import service_database


@pytest.fixture
async def postgres_db(postgres_url: str) -> AsyncIterator[Database]:
    db = service_database(postgres_url)
    yield db
    await db.close()
