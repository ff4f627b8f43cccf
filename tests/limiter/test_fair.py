"""A few threads for many who ask: nobody waits for all that another one has asked for."""

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from gql_app.errors import RateLimited
from gql_app.limiter import FairQueue, Whose, fair

MALLORY, ADA = "10.6.6.6", "10.0.0.1"


class Held:
    """Work that stands still until it is let go, and notes in which order it was done."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.go = threading.Event()

    def work(self, name: str) -> str:
        self.go.wait(10)
        self.order.append(name)
        return name


@pytest.fixture
async def queue() -> AsyncIterator[FairQueue]:
    found = FairQueue("test", threads=1, at_all=10, per_address=6, per_line=4, told="Too many wait.")
    yield found
    found.close()


async def begin(queue: FairQueue, held: Held, whose: Whose, *names: str) -> "list[asyncio.Task[str]]":
    found = [asyncio.create_task(queue.run(whose, held.work, name)) for name in names]
    await asyncio.sleep(0)
    return found


async def test_addresses_take_turns_and_so_do_the_lines_of_one(queue: FairQueue) -> None:
    held = Held()
    jobs = await begin(queue, held, Whose(MALLORY, "m"), "m0", "m1", "m2", "m3")
    jobs += await begin(queue, held, Whose(MALLORY, "colleague"), "c1")
    jobs += await begin(queue, held, Whose(ADA, "a"), "a1", "a2")
    held.go.set()
    await asyncio.gather(*jobs)
    assert held.order == ["m0", "m1", "a1", "c1", "a2", "m2", "m3"]


async def test_one_line_and_one_address_may_have_only_so_much_waiting(
    queue: FairQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held()
    monkeypatch.setattr(fair, "PAUSE", 0.0)
    mine = await begin(queue, held, Whose(MALLORY, "m"), *"012345678")  # one runs, four wait
    more = await begin(queue, held, Whose(MALLORY, "n"), *"0123")
    await asyncio.wait((*mine, *more), timeout=0.05)
    refused = [each for each in (*mine, *more) if each.done()]
    assert len(refused) == 4 + 2
    for each in refused:
        with pytest.raises(RateLimited, match="Too many wait") as told:
            await each
        assert told.value.retry_after > 0
    held.go.set()
    assert len(await asyncio.gather(*(each for each in (*mine, *more) if each not in refused))) == 1 + 6


async def test_when_it_is_full_who_has_most_waiting_loses_the_newest(queue: FairQueue) -> None:
    held = Held()
    jobs = await begin(queue, held, Whose(MALLORY, "m"), "m0", "m1", "m2", "m3", "m4")
    jobs += await begin(queue, held, Whose(MALLORY, "n"), "n1", "n2")
    jobs += await begin(queue, held, Whose("10.0.0.9", "o"), "o1", "o2", "o3", "o4")  # ten wait
    ada = await begin(queue, held, Whose(ADA), "a1")
    await asyncio.sleep(0)
    (lost,) = [each for each in jobs if each.done()]
    with pytest.raises(RateLimited):
        await lost
    held.go.set()
    assert await ada[0] == "a1"
    await asyncio.gather(*(each for each in jobs if each is not lost))


async def test_who_does_not_wait_any_more_takes_no_turn_and_failures_reach_who_asked(queue: FairQueue) -> None:
    held = Held()
    jobs = await begin(queue, held, Whose(MALLORY, "m"), "m0", "m1")
    jobs[1].cancel()

    def fail() -> None:
        raise ZeroDivisionError

    failing = asyncio.create_task(queue.run(Whose(ADA), fail))
    await asyncio.sleep(0)
    held.go.set()
    with pytest.raises(ZeroDivisionError):
        await failing
    assert await jobs[0] == "m0"
    assert await queue.run(Whose(ADA), held.work, "after") == "after"
    assert held.order == ["m0", "after"]
