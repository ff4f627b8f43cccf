"""Redis and PostgreSQL as broadcasters: what is lost is found again, and nobody waits for ever."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import urlsplit, urlunsplit

import pytest
from broadcaster import Broadcast

from gql_app.changes import doorbell
from gql_app.changes.broadcast import ReconnectingBackend, make_backend
from gql_app.changes.doorbell import Doorbell
from gql_app.errors import ConfigurationError
from tests import postgres
from tests.conftest import require
from tests.standins.proxy import Proxy

PATIENCE = 20


@pytest.fixture(params=["redis", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    if request.param == "redis":
        return str(request.getfixturevalue("redis_url"))
    require("PostgreSQL", postgres.is_there(), "no PostgreSQL")
    return postgres.URL


@pytest.fixture
async def proxy(url: str) -> AsyncIterator[Proxy]:
    parts = urlsplit(url)
    async with Proxy(parts.hostname or "", parts.port or 0) as proxy:
        yield proxy


class Process:
    """A process's doorbell and the backend below it."""

    def __init__(self, url: str) -> None:
        backend = make_backend(url)
        assert backend is not None
        self.backend: ReconnectingBackend = backend
        self.doorbell = Doorbell(Broadcast(backend=backend))
        self.bell = self.doorbell.bell(news=True)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Process"]:
        async with self.doorbell.connected():
            yield self

    async def hears(self) -> None:
        async with asyncio.timeout(PATIENCE):
            assert await self.bell.wait(3600)

    async def loses_it(self) -> None:
        """Until the backend has noticed that it was cut off."""
        for _ in range(PATIENCE * 100):
            if not self.backend.connected:
                return
            await asyncio.sleep(0.01)
        pytest.fail("the backend did not notice")

    async def quiet(self) -> None:
        """What rang until now, at the connection, is over."""
        while await self.bell.wait(0.2):
            pass


@contextlib.asynccontextmanager
async def here_and_there(url: str, proxy: Proxy) -> AsyncIterator[tuple[Process, Process]]:
    """One process reaches the broadcaster directly, the other one through the proxy."""
    parts = urlsplit(url)
    netloc = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
    through = urlunsplit(parts._replace(netloc=f"{netloc}127.0.0.1:{proxy.port}"))
    async with Process(url).running() as here, Process(through).running() as there:
        await here.hears()
        await there.hears()
        await here.quiet()
        await there.quiet()
        yield here, there


async def test_news_reaches_the_other_process(url: str, proxy: Proxy) -> None:
    async with here_and_there(url, proxy) as (here, there):
        here.doorbell.announce()
        await there.hears()
        there.doorbell.announce()
        await here.hears()


async def test_after_an_absence_a_process_looks_by_itself_and_hears_again(url: str, proxy: Proxy) -> None:
    async with here_and_there(url, proxy) as (here, there):
        proxy.cut()
        here.doorbell.announce()  # this one is lost
        await there.loses_it()
        there.doorbell.announce()  # so is this, without an error
        await there.quiet()
        proxy.heal()
        await there.hears()
        await there.quiet()
        here.doorbell.announce()
        await there.hears()
        await here.quiet()
        there.doorbell.announce()
        await here.hears()


async def test_many_at_once_are_all_published(url: str, proxy: Proxy) -> None:
    async with here_and_there(url, proxy) as (here, there):
        await asyncio.gather(*(here.backend.publish(doorbell.CHANNEL, str(n)) for n in range(50)))
        await there.hears()


async def test_a_broadcaster_that_is_away_at_the_start_is_waited_for(url: str, proxy: Proxy) -> None:
    proxy.cut()
    parts = urlsplit(url)
    netloc = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
    async with Process(urlunsplit(parts._replace(netloc=f"{netloc}127.0.0.1:{proxy.port}"))).running() as process:
        process.doorbell.announce()
        await process.hears()  # its own process hears at once
        await process.quiet()
        proxy.heal()
        await process.hears()
        assert process.backend.connected


def test_an_unknown_broadcaster_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="GQL_APP_BROADCAST_URL"):
        make_backend("kafka://somewhere")


async def test_the_options_of_the_databases_address_are_those_of_the_listening_connection(postgres_url: str) -> None:
    """SQLAlchemy's own are not for asyncpg, and those for asyncpg are not for the server."""
    url = f"{postgres_url}?prepared_statement_cache_size=0&ssl=prefer"
    async with Process(url).running() as process, Process(url).running() as other:
        for each in (process, other):
            await each.quiet()
        while not (process.backend.connected and other.backend.connected):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        process.doorbell.announce()
        await other.hears()
