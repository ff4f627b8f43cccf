"""A short torture run: nothing is lost and nothing is said twice, whatever is killed or cut off.

GQL_APP_TEST_SEED repeats a run's random choices.
"""

import os
import random
from pathlib import Path

import pytest

from gql_app.db import Database
from tests import postgres
from tests.conftest import REDIS_URL, redis_is_there, require
from tests.torture.plan import Plan
from tests.torture.run import torture

SEED = int(os.environ.get("GQL_APP_TEST_SEED", "0")) or random.randrange(1, 10**6)
PLAN = Plan(seconds=7, seed=SEED, servers=2, workers=1, askers=12, calm=False)

pytestmark = [pytest.mark.crash, pytest.mark.timeout(300)]


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> str:
    """PostgreSQL only: this is about several processes on several lines."""
    require("PostgreSQL", postgres.is_there(), f"no PostgreSQL at {postgres.URL} (GQL_APP_TEST_POSTGRES_URL)")
    require("Redis", redis_is_there(), f"no Redis at {REDIS_URL} (GQL_APP_TEST_REDIS_URL)")
    url = request.getfixturevalue("postgres_database")
    postgres.empty(url)
    return str(url)


async def test_every_promise_is_kept_while_processes_die_and_lines_are_cut(db: Database, tmp_path: Path) -> None:
    print(f"to repeat this: GQL_APP_TEST_SEED={SEED}")
    outcome = await torture(db, REDIS_URL, PLAN, tmp_path)
    print(outcome.summary)
    assert outcome.violations == []
