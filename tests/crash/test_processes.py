"""Two `serve` processes on one PostgreSQL: what is done at one is known at the other, at once and without a gap.

They hardly ever poll here, so what comes at once has come by the doorbell between them.
"""

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from gql_app.accounts import service
from gql_app.accounts.models import User
from gql_app.accounts.passwords import Passwords
from gql_app.accounts.roles import Role
from gql_app.accounts.service import NewUser
from gql_app.accounts.sessions import begin
from gql_app.changes.cursors import parse_cursor
from gql_app.changes.models import ChangeLogState, ChangeRecord
from gql_app.db import Database
from gql_app.testing.client import Client
from tests.crash.ears import WAYS, Ear, listening
from tests.crash.forked import ForkedProcess
from tests.crash.town import Place, Subscriber, cancelled
from tests.people import PASSWORD, decide, log_in, submit

WATCH = "subscription ($after: String) { fuelRequestStatusChanged(after: $after) { cursor status fuelRequest { id } } }"
AT_ONCE = 5.0
"""Seconds within which the streams of somebody who may see no more have ended; without the doorbell it would be 60."""
SESSION = timedelta(seconds=5)
EVENTS_OF_A_REQUEST = 2
"""Its status and its litres."""
ROLES = {"ada": Role.USER, "linus": Role.USER, "grace": Role.APPROVER, "root": Role.ADMIN}

pytestmark = pytest.mark.crash


@pytest.fixture(params=["redis", "postgresql"])
def doorbell(request: pytest.FixtureRequest, postgres_url: str) -> str:
    """By what the processes wake each other."""
    if request.param == "redis":
        return str(request.getfixturevalue("redis_url"))
    return postgres_url.replace("+asyncpg", "", 1)


@dataclass(frozen=True)
class Pair:
    """The two processes and who is signed in, by name at either one."""

    here: ForkedProcess
    urls: tuple[str, str]
    tokens: dict[str, str]
    environment: dict[str, str]

    def at_here(self, name: str) -> Client:
        return Client(self.urls[0], self.tokens[name])

    def at_there(self, name: str) -> Client:
        return Client(self.urls[1], self.tokens[name])


@pytest.fixture
async def pair(postgres_db: Database, doorbell: str, starter: ForkServerContext, tmp_path: Path) -> AsyncIterator[Pair]:
    tokens = await sign_up(postgres_db)
    environment = environment_of(postgres_db, doorbell, poll="60000")
    serve = (starter, tmp_path, environment, "serve", "--port", "0", "--no-deliveries")
    async with ForkedProcess(*serve) as here, ForkedProcess(*serve) as there:
        yield Pair(here, (await here.url(), await there.url()), tokens, environment)
        assert "Traceback" not in here.output + there.output


def environment_of(db: Database, doorbell: str, *, poll: str) -> dict[str, str]:
    return {
        "DATABASE_URL": db.url.render_as_string(hide_password=False),
        "BROADCAST_URL": doorbell,
        "BCRYPT_COST": "4",
        "POLL_INTERVAL_MS": poll,
    }


async def sign_up(db: Database) -> dict[str, str]:
    passwords = Passwords(cost=4)
    hashed = await passwords.hash(PASSWORD)
    passwords.close()
    tokens = {}
    for name, role in ROLES.items():
        new = NewUser(name, f"{name}@example.test", hashed, role=role)
        _, session = await db.write(service.sign_up, new, timedelta(days=1))
        assert session is not None
        tokens[name] = session.token
    return tokens


@contextlib.asynccontextmanager
async def ears(client: Client, query: str = WATCH, **variables: Any) -> AsyncIterator[dict[str, Ear]]:
    """The same subscription in each way."""
    async with contextlib.AsyncExitStack() as stack:
        yield {way: await stack.enter_async_context(listening(way, client, query, **variables)) for way in WAYS}


async def test_a_change_at_one_process_reaches_every_stream_at_the_other(pair: Pair) -> None:
    async with ears(pair.at_there("grace")) as there:
        for _ in range(3):
            request_id = await submit(pair.at_here("ada"))
            done = time.monotonic()
            for way, ear in there.items():
                event = await ear.next()
                print(f"{way}: {(time.monotonic() - done) * 1000:.0f} ms after the mutation's answer")
                assert (event["status"], event["fuelRequest"]["id"]) == ("PENDING", request_id)


async def test_who_followed_a_killed_process_goes_on_at_the_other(pair: Pair, postgres_db: Database) -> None:
    """While people write at both, and so in the middle of their writing."""
    place, submitted, enough = Place(), list[str](), asyncio.Event()
    subscriber = Subscriber(place, pair.tokens["root"], postgres_db)

    async def write(client: Client) -> None:
        with contextlib.suppress(httpx.TransportError):  # the killed process's
            while not enough.is_set():
                submitted.append(await submit(client))

    place.moved_to(pair.urls[0])
    following = asyncio.create_task(subscriber.follow())
    writing = [asyncio.create_task(write(client("ada"))) for client in (pair.at_here, pair.at_there) for _ in range(2)]
    await subscriber.until(lambda events: len(events) >= 60)
    place.closed()
    await pair.here.kill()
    for _ in range(10):  # while nobody listens
        submitted.append(await submit(pair.at_there("linus")))
    before = len(subscriber.events)
    place.moved_to(pair.urls[1])
    await subscriber.until(lambda events: len(events) >= before + 60)
    enough.set()
    await asyncio.gather(*writing)
    last = await submit(pair.at_there("linus"))  # rings for whatever the killed process left behind
    await subscriber.until(lambda events: [event["entityId"] for event in events].count(last) == EVENTS_OF_A_REQUEST)
    await cancelled([following])
    positions = await postgres_db.read(
        lambda s: list(s.scalars(select(ChangeRecord.position).order_by(ChangeRecord.position)))
    )
    assert [parse_cursor(event["cursor"]).position for event in subscriber.events] == positions
    assert set(submitted) <= {event["entityId"] for event in subscriber.events}
    assert subscriber.connections == 2


async def test_what_a_killed_process_committed_is_told_though_nothing_is_committed_after_it(
    postgres_db: Database, redis_url: str, starter: ForkServerContext, tmp_path: Path
) -> None:
    """It died before the change had its place in the log; nobody rings, the other process looks by itself."""
    tokens = await sign_up(postgres_db)
    serve = (starter, tmp_path, environment_of(postgres_db, redis_url, poll="50"), "serve", "--port", "0")
    async with (
        ForkedProcess(*serve, "--no-deliveries", step="after-commit") as killed,
        ForkedProcess(*serve, "--no-deliveries") as other,
        ears(Client(await other.url(), tokens["ada"])) as there,
    ):
        request_id = await submit(Client(await other.url(), tokens["ada"]))
        with pytest.raises(httpx.TransportError):
            await decide(Client(await killed.url(), tokens["grace"]), request_id)
        assert await killed.ended() == -signal.SIGKILL, killed.output
        for ear in there.values():
            assert [(await ear.next())["status"] for _ in range(2)] == ["PENDING", "APPROVED"]


async def test_a_cursor_from_before_the_pruning_is_told_the_oldest_that_works(
    pair: Pair, postgres_db: Database, starter: ForkServerContext, tmp_path: Path
) -> None:
    def long_ago(session: Session) -> int | None:
        session.execute(update(ChangeRecord).values(occurred_at=datetime.now(UTC) - timedelta(days=3)))
        return session.scalar(select(func.max(ChangeRecord.position)))

    await submit(pair.at_here("ada"))
    async with listening("websocket", pair.at_there("grace"), WATCH, after="0") as ear:
        assert (await ear.next())["status"] == "PENDING"  # so it is in the log, and has its position
    oldest = await postgres_db.write(long_ago)
    recent = await submit(pair.at_here("ada"))
    prune = ("prune", "--older-than-days", "1")
    async with ForkedProcess(starter, tmp_path, pair.environment, *prune) as process:
        assert await process.ended() == 0, process.output
    assert await postgres_db.read(lambda s: s.scalar(select(ChangeLogState.pruned_through))) == oldest
    async with pair.at_there("grace").subscribed(WATCH, after="0") as subscribed:
        message = await subscribed.message()
        assert message["type"] == "error", message
        assert message["payload"][0]["extensions"] == {
            "code": "CURSOR_EXPIRED",
            "retryable": False,
            "oldestCursor": str(oldest),
        }
    for way in WAYS:
        async with listening(way, pair.at_there("grace"), WATCH, after="0") as ear:
            assert await ear.end() == "CURSOR_EXPIRED"
    async with ears(pair.at_there("grace"), after=str(oldest)) as there:
        for ear in there.values():
            assert (await ear.next())["fuelRequest"]["id"] == recent


async def log_out_everywhere(pair: Pair) -> Any:
    elsewhere = await log_in(pair.urls[0], "grace")
    return await elsewhere.data("mutation { logOut(input: {everywhere: true}) { errors { code } } }")


async def change_password(pair: Pair) -> Any:
    query = """mutation ($old: String!, $new: String!) {
        changePassword(input: {currentPassword: $old, newPassword: $new}) { errors { code } } }"""
    return await pair.at_here("grace").data(query, old=PASSWORD, new="a quiet green harbour")


async def lower_role(pair: Pair) -> Any:
    user_id = (await pair.at_here("grace").data("{ viewer { id } }"))["id"]
    query = "mutation ($id: ID!) { setRole(input: {userId: $id, role: USER}) { errors { code } } }"
    return await pair.at_here("root").data(query, id=user_id)


@pytest.mark.parametrize(
    ("act", "code"),
    [(log_out_everywhere, "UNAUTHENTICATED"), (change_password, "SESSION_REPLACED")],
)
async def test_who_may_see_no_more_is_cut_off_at_the_other_process_at_once(
    pair: Pair, act: Callable[[Pair], Any], code: str
) -> None:
    async with ears(pair.at_there("grace")) as there, listening("sse", pair.at_there("root"), WATCH) as others:
        ends = {way: asyncio.create_task(timed_end(ear)) for way, ear in there.items()}
        assert (await act(pair))["errors"] == []
        done = time.monotonic()
        for way, end in ends.items():
            found, ended = await end
            print(f"{act.__name__}, {way}: ended {(ended - done) * 1000:.0f} ms after the mutation's answer")
            assert found == code
            assert ended - done < AT_ONCE
        request_id = await submit(pair.at_here("ada"))
        assert (await others.next())["fuelRequest"]["id"] == request_id


async def test_a_changed_role_changes_what_the_other_process_shows(pair: Pair) -> None:
    async with ears(pair.at_there("grace")) as there, listening("sse", pair.at_there("root"), WATCH) as others:
        first = await submit(pair.at_here("ada"))
        assert (await lower_role(pair))["errors"] == []
        unseen = await submit(pair.at_here("ada"))
        hers = await submit(pair.at_here("grace"))
        for ear in there.values():
            assert [(await ear.next())["fuelRequest"]["id"] for _ in range(2)] == [first, hers]
        assert [(await others.next())["fuelRequest"]["id"] for _ in range(3)] == [first, unseen, hers]


async def timed_end(ear: Ear) -> tuple[str, float]:
    return await ear.end(), time.monotonic()


async def test_streams_end_when_the_session_expires(pair: Pair, postgres_db: Database) -> None:
    def sign_in(session: Session) -> Any:
        return begin(session, session.scalars(select(User).where(User.username == "ada")).one(), SESSION)

    brief = await postgres_db.write(sign_in)
    async with ears(Client(pair.urls[1], brief.token)) as there:
        assert await asyncio.gather(*(ear.end() for ear in there.values())) == ["UNAUTHENTICATED"] * len(WAYS)
        late = (datetime.now(UTC) - brief.expires_at).total_seconds()
        print(f"ended {late * 1000:.0f} ms after the session")
        assert 0 <= late < AT_ONCE
