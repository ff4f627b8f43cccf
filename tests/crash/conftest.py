"""Processes that are started often, and what they share."""

from collections.abc import AsyncIterator
from multiprocessing.context import ForkServerContext

import pytest

from gql_app.db import Database
from tests import postgres
from tests.conftest import REDIS_URL, redis_is_there, require
from tests.crash.forked import warm_starter


@pytest.fixture(scope="session")
def starter() -> ForkServerContext:
    """Starts processes that have imported the service already."""
    return warm_starter()


@pytest.fixture
def postgres_url(request: pytest.FixtureRequest) -> str:
    """An empty database for what needs one that several machines may use."""
    require("PostgreSQL", postgres.is_there(), f"no PostgreSQL at {postgres.URL} (GQL_APP_TEST_POSTGRES_URL)")
    url = str(request.getfixturevalue("postgres_database"))
    postgres.empty(url)
    return url


@pytest.fixture
async def postgres_db(postgres_url: str) -> AsyncIterator[Database]:
    db = Database(postgres_url)
    yield db
    await db.close()


@pytest.fixture
def redis_url() -> str:
    require("Redis", redis_is_there(), f"no Redis at {REDIS_URL} (GQL_APP_TEST_REDIS_URL)")
    return REDIS_URL
