"""One execution for all who get the same answer: nobody gets another's, nobody misses one, nobody waits for another."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import count
from typing import Any

import pytest
from sqlalchemy import event, select, text
from sqlalchemy.orm import Session

from gql_app.accounts import service
from gql_app.accounts.passwords import Passwords
from gql_app.accounts.roles import Role
from gql_app.accounts.service import NewUser
from gql_app.changes.cursors import parse_cursor
from gql_app.db import ANNOUNCED
from gql_app.demo.fuel_requests.models import FuelRequest
from gql_app.execution import sharing
from gql_app.execution.sharing import RECENT_SECONDS, SLICE, TOGETHER
from gql_app.execution.subscription import INBOX
from gql_app.testing.client import PATIENCE, Client, Subscribed
from gql_app.testing.server import Running
from gql_app.transport.frames import FrameProtocol
from tests.execution.notes import NOTES, add_notes, stalled
from tests.fast import about_a_short_cut
from tests.people import PASSWORD, People, decide, log_in, submit
from tests.things import caught_up

REQUESTS = "subscription { fuelRequestStatusChanged { cursor fuelRequest { id note requester { username } } } }"
RESUMED = REQUESTS.replace("subscription", "subscription ($after: String)").replace("Changed", "Changed(after: $after)")
PRIVATE = "subscription { fuelRequestStatusChanged { status actor { username email } } }"
SET_ROLE = "mutation ($id: ID!) { setRole(input: {userId: $id, role: USER}) { errors { code } } }"


@pytest.fixture
async def ivy(server: Running, people: People) -> Client:
    """A second approver."""
    hashed = await server.app.resource(Passwords).hash(PASSWORD)
    new = NewUser("ivy", "ivy@example.test", hashed, None, role=Role.APPROVER)
    await server.app.db.write(service.sign_up, new, None)
    return await log_in(server.url, "ivy")


@contextlib.contextmanager
def selects(server: Running, table: str) -> Iterator[list[str]]:
    """The statements in the block that read this table."""
    seen: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if statement.startswith("SELECT") and f"FROM {table}" in statement:
            seen.append(statement)

    for engine in server.app.db.sync_engines:
        event.listen(engine, "before_cursor_execute", note)
    yield seen
    for engine in server.app.db.sync_engines:
        event.remove(engine, "before_cursor_execute", note)


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many notes each write to a socket has, from now on."""
    written: list[int] = []
    write = FrameProtocol.write_texts

    def counting(protocol: FrameProtocol, beginning: bytes, endings: Sequence[bytes]) -> bool:
        if any(b'"newValue"' in each for each in endings):
            written.append(len(endings))
        return write(protocol, beginning, endings)

    monkeypatch.setattr(FrameProtocol, "write_texts", counting)
    return written


@contextlib.asynccontextmanager
async def many(clients: list[Client], query: str, **variables: Any) -> AsyncIterator[list[Subscribed]]:
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(each.subscribed(query, **variables)) for each in clients]


async def in_their_groups(server: Running, subscriptions: int) -> None:
    """From here on each subscription hears from its group: it is through with what came before it was there."""
    feed = server.app.feed
    async with asyncio.timeout(PATIENCE):
        while feed.watches < subscriptions or not all(watch.parked for watch in feed._watches):  # noqa: ASYNC110
            await asyncio.sleep(0)


async def test_an_event_is_executed_once_for_all_who_get_the_same(server: Running, people: People, ivy: Client) -> None:
    clients = [people.grace, ivy] * 5
    async with many(clients, RESUMED) as fresh, many(clients, RESUMED, after="0") as resumed:
        first = await submit(people.ada)  # from here on all of them have caught up
        assert [(await each.next())["fuelRequest"]["id"] for each in fresh + resumed] == [first] * 20
        await in_their_groups(server, len(fresh + resumed))
        with selects(server, "fuel_requests") as seen:
            second = await submit(people.linus, note="n")
            told = [await each.next() for each in fresh + resumed]
        assert told == [told[0]] * 20
        assert told[0]["fuelRequest"] == {"id": second, "note": "n", "requester": {"username": "linus"}}
        assert len(seen) == 1


@about_a_short_cut("ready-made frames")
async def test_events_that_come_together_are_written_together_each_once_and_in_order(
    server: Running, people: People, ivy: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = counted(monkeypatch)
    clients = [people.grace, ivy, people.root]
    async with many(clients, NOTES) as streams:
        await in_their_groups(server, len(streams))
        lengths = list(range(1, 2 * TOGETHER + 4))
        await server.app.db.write(add_notes, lengths)
        for each in streams:
            told = await each.take(len(lengths))
            assert [len(found["newValue"]) for found in told] == lengths
            assert [found["cursor"] for found in told] == sorted({found["cursor"] for found in told}, key=parse_cursor)
    assert sorted(written) == sorted([TOGETHER, TOGETHER, 3] * len(clients))


@about_a_short_cut("ready-made frames")
async def test_a_group_that_has_told_many_rests_until_as_many_events_wait_as_are_written_together(
    server: Running, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "monotonic", count(step=PATIENCE).__next__)  # to tell them takes very long
    monkeypatch.setattr(sharing, "LONGEST_REST", 10 * PATIENCE)
    written = counted(monkeypatch)
    async with many([people.grace], NOTES) as (notes,):
        await in_their_groups(server, 1)
        await server.app.db.write(add_notes, [1])
        assert len((await notes.next())["newValue"]) == 1
        monkeypatch.setattr(sharing, "monotonic", lambda: 0.0)
        for length in range(1, TOGETHER + 1):
            await server.app.db.write(add_notes, [length])
        assert [len(found["newValue"]) for found in await notes.take(TOGETHER)] == list(range(1, TOGETHER + 1))
    assert written == [1, TOGETHER]


@about_a_short_cut("ready-made frames")
async def test_long_answers_are_not_gathered_beyond_what_may_wait_at_a_socket(
    server: Running, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "TOGETHER_CHARACTERS", 3_000)
    written = counted(monkeypatch)
    async with many([people.grace], NOTES) as (notes,):
        await in_their_groups(server, 1)
        await server.app.db.write(add_notes, [1_600] * 5)
        assert [len(found["newValue"]) for found in await notes.take(5)] == [1_600] * 5
    assert written == [2, 2, 1]


UNSAID = text("UPDATE fuel_requests SET note = 'after'").execution_options(**ANNOUNCED)


@pytest.mark.unwitnessed("changes a row past the log")
async def test_an_answer_that_is_kept_for_others_is_not_kept_for_long(
    server: Running, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the log does not tell of may have changed."""
    clock = 0.0
    monkeypatch.setattr(sharing, "monotonic", lambda: clock)
    await submit(people.ada, note="before")
    seen = []
    for clock in (0.0, RECENT_SECONDS):  # noqa: B007  (the clock is read elsewhere)
        async with many([people.grace], RESUMED, after="0") as (resumed,):
            seen.append((await resumed.next())["fuelRequest"]["note"])
        await server.app.db.write(lambda s: s.connection().execute(UNSAID))
    assert seen == ["before", "after"]


async def test_what_depends_on_who_looks_is_given_to_nobody_else(people: People, ivy: Client) -> None:
    own = {"grace": "grace@example.test", "ivy": "ivy@example.test"}
    deciders = {"grace": people.grace, "ivy": ivy}
    async with many([people.grace, ivy, people.grace, ivy, people.root], PRIVATE) as streams:
        for decider in ("grace", "ivy", "ivy", "grace"):
            request = await submit(people.ada)
            await decide(deciders[decider], request)
            told = [(await each.take(2))[1]["actor"] for each in streams]
            assert [actor["username"] for actor in told] == [decider] * 5
            seen_by = ["grace", "ivy", "grace", "ivy"]
            assert [actor["email"] for actor in told[:4]] == [own[decider] if v == decider else None for v in seen_by]
            assert told[4]["email"] == own[decider]


async def test_those_who_look_the_same_but_may_see_other_things_share_nothing(people: People) -> None:
    """ada and linus send the same document; each hears only of her own."""
    async with many([people.ada, people.linus] * 3, REQUESTS) as streams:
        mine, his = await submit(people.ada), await submit(people.linus)
        assert [(await each.next())["fuelRequest"]["id"] for each in streams] == [mine, his] * 3
        again = await submit(people.ada)
        assert [(await each.next())["fuelRequest"]["id"] for each in streams[::2]] == [again] * 3


async def test_who_loses_her_role_in_mid_stream_hears_of_her_own_only(people: People, ivy: Client) -> None:
    me = await ivy.data("{ viewer { id } }")
    async with many([people.grace, ivy], REQUESTS) as (hers, ivys):
        first = await submit(people.ada)
        assert [(await each.next())["fuelRequest"]["id"] for each in (hers, ivys)] == [first] * 2
        assert (await people.root.data(SET_ROLE, id=me["id"]))["errors"] == []
        second = await submit(people.ada)
        assert (await hers.next())["fuelRequest"]["id"] == second
        third = await submit(ivy)
        assert [(await each.next())["fuelRequest"]["id"] for each in (hers, ivys)] == [third] * 2


async def test_an_event_that_several_topics_match_is_told_once(people: People) -> None:
    """grace may see all fuel requests, and this one is also her own."""
    told: list[str] = []
    async with people.grace.subscribed("subscription { changes { entityType attribute } }") as changes:
        for client in (people.ada, people.grace, people.ada):
            await submit(client)
        while len(told) < 6:
            event = await changes.next()
            if event["entityType"] == "FuelRequest":  # her welcome mail may still be on its way
                told.append(event["attribute"])
    assert told == ["status", "litres"] * 3


async def test_an_event_without_an_attribute_is_told_once(server: Running, people: People) -> None:
    """What the event lacks looks like "any" in a topic of another's shape."""

    def delete_all(session: Session) -> None:
        for request in session.scalars(select(FuelRequest)):
            session.delete(request)

    query = 'subscription { changes(filter: {entityType: "FuelRequest"}) { kind } }'
    async with people.root.subscribed(query) as changes, people.grace.subscribed(REQUESTS):
        await submit(people.ada)
        await server.app.db.write(delete_all)
        await submit(people.ada)
        kinds = [each["kind"] for each in await changes.take(5)]
    assert kinds == ["CREATED", "CREATED", "DELETED", "CREATED", "CREATED"]


async def test_who_loses_her_role_while_an_answer_is_made_for_her_does_not_get_it(
    server: Running, people: People, ivy: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    me = await ivy.data("{ viewer { id } }")
    db = server.app.db
    look_up, gate, waiting = db.look_up, asyncio.Event(), asyncio.Semaphore(0)

    async def slow_look_up(work: Any, *args: Any) -> Any:
        if args and "sought" in args[0]:
            waiting.release()
            await gate.wait()
        return await look_up(work, *args)

    async with many([people.grace, ivy], REQUESTS.replace("username", "email")) as streams:
        await in_their_groups(server, 2)
        await submit(people.ada)
        for each in streams:
            await each.next()  # private: from here on each executes by itself
        monkeypatch.setattr(db, "look_up", slow_look_up)
        await db.write(add_notes, [1])
        async with asyncio.timeout(PATIENCE):
            await waiting.acquire()
            await waiting.acquire()
            monkeypatch.setattr(db, "look_up", look_up)
            assert (await people.root.data(SET_ROLE, id=me["id"]))["errors"] == []
            await caught_up(server.app)
        gate.set()
        hers = await submit(ivy)
        assert (await streams[1].next())["fuelRequest"]["id"] == hers


async def test_an_id_that_is_used_again_belongs_to_the_new_operation(people: People) -> None:
    async with people.grace.socket() as stream:
        for number in range(20):
            query = "subscription { fuelRequestStatusChanged { mark%d: cursor } }" % number  # noqa: UP031  (braces)
            payload = {"query": query}
            await stream.send({"type": "subscribe", "id": "1", "payload": payload})
            await submit(people.ada)
            message = await stream.receive()
            assert list(message["payload"]["data"]["fuelRequestStatusChanged"]) == [f"mark{number}"]
            await stream.send({"type": "complete", "id": "1"})


async def test_who_reads_nothing_holds_up_nobody_and_misses_nothing(server: Running, people: People) -> None:
    lengths = [20_000] * (INBOX * 20)  # more than the sockets in between take in
    async with (
        stalled(server.url, people.root.token) as slow,
        stalled(server.url, people.root.token) as slower,
        many([people.root] * 3, NOTES) as live,
    ):
        await server.app.db.write(add_notes, [1])
        for each in live:
            assert (await each.next())["newValue"] == "x"
        for start in range(0, len(lengths), 10):
            await server.app.db.write(add_notes, lengths[start : start + 10])
            for each in live:
                assert [len(found["newValue"]) for found in await each.take(10)] == [20_000] * 10
        for connection in (slow, slower):
            cursors: list[int] = []
            async with asyncio.timeout(PATIENCE):
                while len(cursors) < 1 + len(lengths):
                    message = json.loads(await connection.recv())
                    if message["type"] == "ping":
                        continue
                    cursors.append(parse_cursor(message["payload"]["data"]["changes"]["cursor"]).position)
            assert cursors == sorted(set(cursors))


async def test_more_than_are_told_in_one_go_are_all_told_once_and_in_order(server: Running, people: People) -> None:
    """SLICE members are told at a time; some leave in between."""
    per_socket, sockets = 100, SLICE // 100 + 2
    async with contextlib.AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(people.grace.socket()) for _ in range(sockets)]
        for each in opened:
            for number in range(per_socket):
                query = "subscription { fuelRequestStatusChanged { cursor } }"
                await each.send({"type": "subscribe", "id": str(number), "payload": {"query": query}})
            await each.send({"type": "ping"})
            assert (await each.receive())["type"] == "pong"
        await in_their_groups(server, per_socket * sockets)
        for _ in range(5):
            await submit(people.ada)
        await opened[-1].connection.close()
        for each in opened[:-1]:
            told: dict[str, list[int]] = {}
            for _ in range(5 * per_socket):
                message = await each.receive()
                cursor = parse_cursor(message["payload"]["data"]["fuelRequestStatusChanged"]["cursor"]).position
                told.setdefault(message["id"], []).append(cursor)
            assert len(told) == per_socket
            assert len({tuple(cursors) for cursors in told.values()}) == 1
            assert told["0"] == sorted(set(told["0"]))
