"""How often something may be done: counted together in Redis, and alone while Redis is away."""

import asyncio
import contextlib
import logging
import uuid
from collections.abc import AsyncIterator

import pytest

from gql_app.errors import ConfigurationError, RateLimited
from gql_app.limiter import Limit, Limiter, Rate, limiter
from gql_app.limiter.memory import BoundedMemory
from gql_app.settings import Settings

THREE = Limit("three", 3, 100)


@pytest.fixture(params=["alone", "together"])
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Limiter, Limiter]]:
    """Those of two processes; alone they are the same one."""
    scope = uuid.uuid4().hex
    url = str(request.getfixturevalue("redis_url")) if request.param == "together" else None
    here = Limiter(url, scope=scope)
    there = here if url is None else Limiter(url, scope=scope)
    yield here, there
    await here.aclose()
    await there.aclose()


async def test_what_is_done_too_often_is_refused_until_the_time_is_over(pair: tuple[Limiter, Limiter]) -> None:
    here, there = pair
    for one in (here, there, here):
        await one.spend(THREE, "ada", "10.0.0.1")
    for one in pair:
        with pytest.raises(RateLimited) as refused:
            await one.spend(THREE, "ada", "10.0.0.1")
        assert 95 < refused.value.retry_after <= 100
    await here.spend(THREE, "ada", "10.0.0.2")
    await here.spend(Limit("another", 1, 100), "ada", "10.0.0.1")


async def test_what_was_not_done_does_not_count_and_what_succeeded_is_forgotten(pair: tuple[Limiter, Limiter]) -> None:
    here, there = pair
    for _ in range(9):
        await here.spend(THREE, "ada")
        await there.give_back(THREE, "ada")
    for _ in range(3):
        await here.spend(THREE, "ada")
    await there.forgive(THREE, "ada")
    await here.spend(THREE, "ada")


async def test_many_at_the_same_time_are_all_counted(pair: tuple[Limiter, Limiter]) -> None:
    many = [pair[number % 2].spend(Limit("many", 20, 100), "x") for number in range(50)]
    found = await asyncio.gather(*many, return_exceptions=True)
    assert sum(isinstance(each, RateLimited) for each in found) == 30


async def test_while_redis_is_away_each_process_counts_alone_and_says_so(
    redis_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = Limiter("redis://127.0.0.1:1/0", scope=uuid.uuid4().hex)
    for _ in range(3):
        await away.spend(THREE, "ada")
    with pytest.raises(RateLimited):
        await away.spend(THREE, "ada")
    await away.forgive(THREE, "ada")
    await away.spend(THREE, "ada")
    told = [each for each in caplog.records if "Redis is away" in each.getMessage()]
    assert [each.levelno for each in told] == [logging.WARNING]  # once
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(away, "_together", Limiter(redis_url, scope=uuid.uuid4().hex)._together)
    monkeypatch.setattr(away, "_away_until", 0.0)
    await away.spend(THREE, "ada")
    assert "Redis is back" in caplog.text
    await away.aclose()


async def test_a_redis_that_does_not_answer_holds_up_nobody_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    limits = Limiter(f"redis://127.0.0.1:{port}/0")
    async with asyncio.timeout(10 * limiter.PATIENCE):
        for _ in range(3):
            await limits.spend(THREE, "ada")
    with pytest.raises(RateLimited):
        await limits.spend(THREE, "ada")
    await limits.aclose()
    server.close()


async def test_services_with_other_databases_count_for_themselves(redis_url: str) -> None:
    one, other = (Limiter(redis_url, scope=uuid.uuid4().hex) for _ in range(2))
    for each in (one, other):
        for _ in range(3):
            await each.spend(THREE, "ada")
        await each.aclose()


async def test_an_operator_may_set_another_rate_or_none() -> None:
    limits = Limiter(rates={"three": Rate(1, 10), "other": None})
    await limits.spend(THREE, "ada")
    with pytest.raises(RateLimited) as refused:
        await limits.spend(THREE, "ada")
    assert refused.value.retry_after <= 10
    for _ in range(100):
        await limits.spend(Limit("other", 1, 10), "ada")


async def test_names_that_strangers_invent_do_not_fill_the_memory() -> None:
    memory = BoundedMemory(most=100)
    for number in range(1_000):
        await memory.incr(f"name{number}", 100)
    assert await memory.reset() == 100
    limits = Limiter()
    await limits.spend(THREE, "x" * 100_000)
    kept: BoundedMemory = limits._alone.storage  # type: ignore[assignment]
    assert max(map(len, kept._counts)) < 300


def test_rates_are_read_from_the_settings() -> None:
    settings = Settings.from_environment({"GQL_APP_LIMITS": "sign_up=500/hour, sign_in=off"})
    assert settings.limits == {"sign_up": (500, 3600), "sign_in": None}
    for wrong in ("sign_up", "sign_up=many", "sign_up=5/fortnight", "sign up=5/hour"):
        with pytest.raises(ConfigurationError, match="GQL_APP_LIMITS"):
            Settings.from_environment({"GQL_APP_LIMITS": wrong})


@pytest.mark.parametrize("name", ["\ud800", "a\udc00b", "\x00", "", "x" * 10_000, "a/b\r\nc"])
async def test_any_name_can_be_counted(pair: tuple[Limiter, Limiter], name: str) -> None:
    here, there = pair
    for _ in range(3):
        await here.spend(THREE, name)
    with pytest.raises(RateLimited):
        await there.spend(THREE, name)
    await here.spend(THREE, name[:199] + "another")
