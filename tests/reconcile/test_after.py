"""What the fixture `witnessed` does after each test."""

import asyncio

import pytest

from tests.reconcile.filled import fill, run
from tests.ruling import service_database
from tests.witness.witnessed import Witnessed


async def _give_up(url: str) -> None:
    db = service_database(url)
    await fill(db)
    await run(db, "UPDATE deliveries SET failure_count = 9 WHERE state = 'DEAD'")  # not tracked: no trigger minds
    await db.close()


@pytest.mark.check_finds("failures miscounted", reason="changes a count, to be found")
def test_check_looks_at_what_a_test_leaves_behind(database_url: str, witnessed: Witnessed) -> None:
    assert witnessed.sentences() == []
    asyncio.run(_give_up(database_url))
    (sentence,) = witnessed.sentences()
    assert sentence.startswith("gql-app check: failures miscounted: ")
    assert witnessed.sentences(may_be_found={"failures miscounted"}) == []
    assert witnessed.sentences(may_be_found={"stuck"}) == [sentence]
