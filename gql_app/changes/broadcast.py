"""Backends for the `broadcaster` package that come back by themselves.

Those that it brings leave subscribers waiting for ever after a lost connection. Ours reconnect with growing, jittered
pauses, and put a message of their own into the channels afterwards: whoever listens reads the log anew, which holds
all that was missed. Only `Broadcast`, `BroadcastBackend` and `Event` of the package are used.

Must hold: after a lost connection every listener is rung once more.
"""

import asyncio
import contextlib
import logging
import random
from abc import abstractmethod

import asyncpg
from broadcaster import BroadcastBackend, Event
from prometheus_client import Counter
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from sqlalchemy import make_url

from gql_app.changes.tasks import stop_task
from gql_app.errors import ConfigurationError

logger = logging.getLogger(__name__)

QUEUE = 1_000
"""Messages that wait to be read; more are dropped, for a doorbell that is ringing already."""
PATIENCE = 5.0
"""Seconds for an answer; a silent connection is asked whether it lives that often."""
LONGEST_PAUSE = 10.0
AWAY = ""
"""What is put into the channels after an absence."""

losses = Counter("gql_app_broadcast_losses", "How often the connection to the broadcaster was lost or not to be had")


def make_backend(url: str) -> "ReconnectingBackend | None":
    """The backend for ``redis://…``, ``rediss://…`` or ``postgresql://…``; None for ``memory://``."""
    scheme = url.partition("://")[0].partition("+")[0]
    if scheme == "memory":
        return None
    if scheme in ("redis", "rediss"):
        return RedisBackend(url)
    if scheme in ("postgres", "postgresql"):
        return PostgresBackend(url)
    raise ConfigurationError("GQL_APP_BROADCAST_URL must be memory://, redis://… or postgresql://…")


class ReconnectingBackend(BroadcastBackend):
    """Keeps a listening connection up. Subclasses say how to open one and how to wait on it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._channels: set[str] = set()
        self._events: asyncio.Queue[Event] = asyncio.Queue(QUEUE)
        self._task: asyncio.Task[None] | None = None
        self.connected = False

    async def connect(self) -> None:
        """Returns at once: a broadcaster that is down costs latency only."""
        self._task = asyncio.create_task(self._keep_up())

    async def disconnect(self) -> None:
        if self._task is not None:
            await stop_task(self._task)

    async def next_published(self) -> Event:
        return await self._events.get()

    async def subscribe(self, channel: str) -> None:
        """Takes effect at the next connection at the latest."""
        self._channels.add(channel)
        if self.connected:
            await self._begin(channel)

    async def unsubscribe(self, channel: str) -> None:
        self._channels.discard(channel)

    def _heard(self, channel: str, message: str) -> None:
        with contextlib.suppress(asyncio.QueueFull):
            self._events.put_nowait(Event(channel, message))

    async def _begin(self, channel: str) -> None:
        await self._listen_to(channel)
        self._heard(channel, AWAY)

    async def _keep_up(self) -> None:
        pause = 0.1
        while True:
            try:
                await self._open()
                self.connected = True  # from here on `subscribe` listens by itself
                pause = 0.1
                for channel in tuple(self._channels):
                    await self._begin(channel)
                await self._wait_until_lost()
            except Exception as error:
                losses.inc()
                logger.warning("the broadcaster is away: %s; trying again", type(error).__name__)
            finally:
                self.connected = False
                await self._close()
            await asyncio.sleep(random.uniform(pause / 2, pause))  # noqa: S311  (jitter, not a secret)
            pause = min(pause * 2, LONGEST_PAUSE)

    @abstractmethod
    async def _open(self) -> None: ...

    @abstractmethod
    async def _listen_to(self, channel: str) -> None: ...

    @abstractmethod
    async def _wait_until_lost(self) -> None:
        """Hand on what comes; raise when the connection is lost, also when it is only silent."""

    @abstractmethod
    async def _close(self) -> None:
        """Must not raise."""


class RedisBackend(ReconnectingBackend):
    """PUBLISH and SUBSCRIBE on Redis."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._publisher: Redis = self._client(PATIENCE)
        self._listener: Redis = self._client(None)  # it is asked whether it lives, below
        self._pubsub: PubSub | None = None

    async def disconnect(self) -> None:
        await super().disconnect()
        await self._publisher.aclose()
        await self._listener.aclose()

    def _client(self, seconds: float | None) -> Redis:
        return Redis.from_url(self._url, decode_responses=True, socket_connect_timeout=PATIENCE, socket_timeout=seconds)

    async def publish(self, channel: str, message: str) -> None:
        await self._publisher.publish(channel, message)

    async def _open(self) -> None:
        async with asyncio.timeout(PATIENCE):
            await self._publisher.ping()
        self._pubsub = self._listener.pubsub()

    async def _listen_to(self, channel: str) -> None:
        if self._pubsub is not None:
            async with asyncio.timeout(PATIENCE):
                await self._pubsub.subscribe(channel)

    async def _wait_until_lost(self) -> None:
        asked = False
        while True:
            if self._pubsub is None or not self._pubsub.subscribed:
                await asyncio.sleep(0.05)
                continue
            message = await self._pubsub.get_message(timeout=PATIENCE)
            if message is None:
                if asked:
                    raise ConnectionError("no answer")
                await self._pubsub.ping()
                asked = True
                continue
            asked = False
            if message["type"] == "message":
                self._heard(message["channel"], message["data"])

    async def _close(self) -> None:
        pubsub, self._pubsub = self._pubsub, None
        if pubsub is not None:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(1):
                    await pubsub.aclose()  # type: ignore[no-untyped-call]


class PostgresBackend(ReconnectingBackend):
    """NOTIFY and LISTEN on PostgreSQL, on a connection of their own."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        parsed = make_url(url).set(drivername="postgresql+asyncpg")
        self._options = parsed.get_dialect()().create_connect_args(parsed)[1]  # as the database's own connections
        for name in ("prepared_statement_cache_size", "prepared_statement_name_func"):
            self._options.pop(name, None)  # SQLAlchemy's, not asyncpg's
        self._connection: asyncpg.Connection | None = None
        self._lock = asyncio.Lock()  # a connection of asyncpg does one thing at a time

    async def publish(self, channel: str, message: str) -> None:
        if self._connection is None:
            raise ConnectionError("not connected")
        async with self._lock:
            await self._connection.execute("SELECT pg_notify($1, $2)", channel, message, timeout=PATIENCE)

    async def _open(self) -> None:
        self._connection = await asyncpg.connect(**{**self._options, "timeout": PATIENCE})

    async def _listen_to(self, channel: str) -> None:
        if self._connection is not None:
            async with self._lock:
                await self._connection.add_listener(channel, self._on_notify)

    def _on_notify(self, connection: object, pid: int, channel: str, payload: object) -> None:
        self._heard(channel, str(payload))

    async def _wait_until_lost(self) -> None:
        connection, lost = self._connection, asyncio.Event()
        if connection is None:
            raise ConnectionError("not connected")
        connection.add_termination_listener(lambda _: lost.set())
        while not lost.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await lost.wait()
            if not lost.is_set():
                async with self._lock:
                    await connection.execute("SELECT 1", timeout=PATIENCE)
        raise ConnectionError("the connection was closed")

    async def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):
                await connection.close(timeout=1)
