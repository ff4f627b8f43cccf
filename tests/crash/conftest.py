"""What the processes share."""

from collections.abc import AsyncIterator

import pytest

from gql_app.db import Database


@pytest.fixture
async def postgres_db(postgres_url: str) -> AsyncIterator[Database]:
    db = Database(postgres_url)
    yield db
    await db.close()
