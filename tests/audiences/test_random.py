"""Random transactions: each viewer hears and sees what an oracle in plain Python says, on both databases."""

import os

import pytest

from gql_app.accounts.models import User
from gql_app.app import App
from tests.audiences.generator import Generator
from tests.audiences.running import Run

SEEDS = range(*map(int, os.environ.get("GQL_APP_TEST_AUDIENCES", "0:3").split(":")))
"""Others with GQL_APP_TEST_AUDIENCES=100:200."""
TRANSACTIONS, ON_POSTGRES = 30, 15


@pytest.mark.parametrize("seed", SEEDS)
async def test_everybody_hears_and_sees_what_is_hers_and_nothing_else(site: App, users: list[User], seed: int) -> None:
    await Run(site, seed, users).run(TRANSACTIONS if site.db.is_sqlite else ON_POSTGRES)


def test_a_seed_makes_the_same_program_each_time() -> None:
    one, other, third = (Generator(seed, [1, 2, 3]) for seed in (7, 7, 8))
    assert [one.transaction(one.first_world()) for _ in range(9)] == [
        other.transaction(other.first_world()) for _ in range(9)
    ]
    assert one.transaction(one.first_world()) != third.transaction(third.first_world())
