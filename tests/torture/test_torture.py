"""A short torture run: nothing is lost and nothing is said twice, whatever is killed or cut off.

GQL_APP_TEST_SEED repeats a run's random choices.
"""

import os
import random
from pathlib import Path

import pytest

from gql_app.db import Database
from tests.torture.plan import Plan
from tests.torture.run import torture

SEED = int(os.environ.get("GQL_APP_TEST_SEED", "0")) or random.randrange(1, 10**6)
PLAN = Plan(seconds=3, seed=SEED, servers=2, workers=1, askers=12, calm=False, checks=2)

pytestmark = [pytest.mark.crash, pytest.mark.timeout(300)]


@pytest.fixture
def database_url(postgres_url: str) -> str:
    """PostgreSQL only: this is about several processes on several lines."""
    return postgres_url


async def test_every_promise_is_kept_while_processes_die_and_lines_are_cut(
    db: Database, redis_url: str, tmp_path: Path
) -> None:
    print(f"to repeat this: GQL_APP_TEST_SEED={SEED}")
    outcome = await torture(db, redis_url, PLAN, tmp_path)
    print(outcome.summary)
    assert outcome.violations == []
