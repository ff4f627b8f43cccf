"""`snapshot: true`: first what there is, then what changes, and nothing falls in between."""

import asyncio
import contextlib
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import literal_column, select, text, update
from sqlalchemy.orm import Session

from gql_app.api.ids import decode_id, encode_id
from gql_app.changes.cursors import parse_cursor
from gql_app.demo.fuel_requests.models import FuelRequest
from gql_app.execution import patience, snapshots
from gql_app.execution.snapshots import Snapshot
from gql_app.settings import Settings
from gql_app.testing.client import Client, Subscribed
from gql_app.testing.server import Running, serving
from tests.endings.test_nothing_hollow import has_failed, outages
from tests.people import People, decide, submit
from tests.things import caught_up
from tests.transport.wire import MULTIPART, SSE, streaming

WATCH = """subscription ($after: String, $snapshot: Boolean! = true, $id: ID) {
    fuelRequestStatusChanged(after: $after, snapshot: $snapshot, id: $id) {
        cursor status previousStatus actor { username } fuelRequest { id status } } }"""
DELIVERIES = "subscription { deliveryUpdated(snapshot: true) { cursor state delivery { id state } } }"


_SET = text("UPDATE fuel_requests SET status = :status")


class Told:
    """What a subscriber has heard."""

    def __init__(self) -> None:
        self.state: dict[str, str] = {}
        self.cursor: str | None = None
        self.repeated: list[str] = []
        self.is_complete = False
        self.was_empty = False

    def take(self, payload: Any) -> None:
        """A payload of the snapshot."""
        assert "errors" not in payload, payload
        said = payload["extensions"]["snapshot"]
        assert not self.is_complete
        self.is_complete, self.was_empty = said["last"], said.get("empty", False)
        self.cursor = said.get("position")
        if payload["data"] is None:
            return
        event = payload["data"]["fuelRequestStatusChanged"]
        assert (event["previousStatus"], event["actor"]) == (None, None)
        assert self.cursor in (None, event["cursor"])
        self.cursor = event["cursor"]
        name = event["fuelRequest"]["id"]
        if name in self.state:
            self.repeated.append(name)
        self.state[name] = event["status"]

    def follow(self, event: Any) -> None:
        self.cursor = event["cursor"]
        self.state[event["fuelRequest"]["id"]] = event["status"]


async def payload_of(stream: Subscribed) -> Any:
    message = await stream.message()
    assert message["type"] == "next", message
    return message["payload"]


async def whole(stream: Subscribed, told: Told | None = None) -> Told:
    told = told or Told()
    while not told.is_complete:
        told.take(await payload_of(stream))
    return told


@contextlib.contextmanager
def held(monkeypatch: pytest.MonkeyPatch, behind: int) -> Iterator[asyncio.Event]:
    """Each snapshot stands still when so many entities have been told of, until it is let go."""
    go, step, tell = asyncio.Event(), Snapshot.step, Snapshot.told
    count = 0

    async def hold(self: Snapshot, *given: Any) -> Any:
        if count >= behind:
            await go.wait()
        return await step(self, *given)

    def note(self: Snapshot, *given: Any) -> None:
        nonlocal count
        count += 1
        tell(self, *given)

    monkeypatch.setattr(Snapshot, "step", hold)
    monkeypatch.setattr(Snapshot, "told", note)
    yield go
    go.set()


async def test_what_there_is_comes_first_and_what_changes_follows(people: People, server: Running) -> None:
    mine = [await submit(people.ada) for _ in range(3)]
    hers = await submit(people.linus)
    await decide(people.grace, mine[1])
    await caught_up(server.app)
    async with people.grace.subscribed(WATCH) as stream, people.ada.subscribed(WATCH) as another:
        told = await whole(stream)
        assert told.state == {mine[0]: "PENDING", mine[1]: "APPROVED", mine[2]: "PENDING", hers: "PENDING"}
        assert (await whole(another)).state.keys() == set(mine)
        await decide(people.grace, mine[0])
        for each in (stream, another):
            event = await each.next()
            assert (event["fuelRequest"]["id"], event["previousStatus"], event["status"]) == (
                mine[0],
                "PENDING",
                "APPROVED",
            )


@pytest.mark.parametrize("accept", [SSE, MULTIPART])
async def test_it_comes_over_http_too_and_no_position_is_told_before_it_is_complete(
    people: People, accept: str
) -> None:
    mine = {await submit(people.ada) for _ in range(3)}
    told = Told()
    async with streaming(people.ada, WATCH, accept) as wire:
        while not told.is_complete:
            if accept == SSE:
                event = await wire.event()
                assert wire.position == ""
                told.take(json.loads(event["data"]))
                assert event["id"] == told.cursor
            else:
                part = await wire.until(b"\r\n--graphql")
                assert b"Gql-App-Position" not in part
                body = json.loads(part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n--graphql") or b"{}")
                if body:
                    told.take(body["payload"])
    assert told.state.keys() == mine


async def test_an_empty_state_says_so_with_the_position(people: People) -> None:
    async with people.linus.subscribed(WATCH) as stream:
        told = await whole(stream)
        assert (told.state, told.was_empty) == ({}, True)
        one = await submit(people.linus)
        assert (await stream.next())["fuelRequest"]["id"] == one
    assert told.cursor is not None
    async with people.linus.subscribed(WATCH, after=told.cursor) as stream:  # nothing is told anew
        assert (await stream.next())["fuelRequest"]["id"] == one


async def test_who_is_cut_off_anywhere_goes_on_there(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "PAGE", 2)
    there = {await submit(people.ada) for _ in range(5)}
    for cut in range(6):
        told = Told()
        async with people.grace.subscribed(WATCH) as stream:
            for _ in range(cut):
                told.take(await payload_of(stream))
        is_begun = told.cursor is not None
        more = await submit(people.ada)
        async with people.grace.subscribed(WATCH, after=told.cursor) as stream:
            await whole(stream, told)
            assert told.repeated == []
            assert there <= told.state.keys() <= there | {more}
            if is_begun:
                assert (await stream.next())["fuelRequest"]["id"] == more
                told.state[more] = "PENDING"
        assert told.state.keys() == there | {more}
        there.add(more)


async def test_only_one_of_them(people: People) -> None:
    mine, other = await submit(people.ada), await submit(people.ada)
    async with people.ada.subscribed(WATCH, id=mine) as stream:
        told = await whole(stream)
        await decide(people.grace, other)
        await decide(people.grace, mine)
        assert (await stream.next())["fuelRequest"]["id"] == mine
    assert told.state == {mine: "PENDING"}
    async with people.linus.subscribed(WATCH, id=mine) as stream:
        assert await stream.error() == "NOT_FOUND"


async def test_a_cursor_of_the_midst_is_for_those_who_ask_for_a_snapshot(people: People) -> None:
    for _ in range(2):
        await submit(people.ada)
    async with people.ada.subscribed(WATCH) as stream:
        told = Told()
        told.take(await payload_of(stream))
    assert told.cursor is not None
    assert parse_cursor(told.cursor, snapshot=True).behind is not None
    async with people.ada.subscribed(WATCH, after=told.cursor, snapshot=False) as stream:
        assert await stream.error() == "INVALID"
    assert await people.ada.error("query ($c: String) { changes(after: $c) { nodes { cursor } } }", c=told.cursor) == (
        "INVALID"
    )


async def test_who_loses_a_role_in_the_midst_hears_of_what_is_hers(
    people: People, server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = await submit(people.grace)
    for _ in range(4):
        await submit(people.ada)
    viewer = await people.grace.data("{ viewer { id } }")
    with held(monkeypatch, 1) as go:
        async with people.grace.subscribed(WATCH) as stream:
            told = Told()
            told.take(await payload_of(stream))
            first = set(told.state)
            done = await people.root.data(
                "mutation ($id: ID!) { setRole(input: {userId: $id, role: USER}) { errors { code } } }", id=viewer["id"]
            )
            assert done["errors"] == []
            await caught_up(server.app)
            go.set()
            await whole(stream, told)
    assert told.state.keys() == first | {mine}


async def test_who_gains_a_role_in_the_midst_hears_of_all_that_she_may_see_now(
    people: People, server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "PAGE", 2)
    mine = {await submit(people.linus) for _ in range(4)}
    others = {await submit(people.ada) for _ in range(8)}
    viewer = await people.linus.data("{ viewer { id } }")
    with held(monkeypatch, 3) as go:
        async with people.linus.subscribed(WATCH) as stream:
            told = Told()
            for _ in range(3):
                told.take(await payload_of(stream))
            done = await people.root.data(
                "mutation ($id: ID!) { setRole(input: {userId: $id, role: APPROVER}) { errors { code } } }",
                id=viewer["id"],
            )
            assert done["errors"] == []
            await caught_up(server.app)
            go.set()
            await whole(stream, told)
    assert told.state.keys() == mine | others


async def test_what_has_gone_in_the_midst_is_not_told_of(
    people: People, server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """She may have heard that it has gone, and would keep it for good."""
    for _ in range(5):
        await submit(people.ada)
    with held(monkeypatch, 2) as go:
        async with people.ada.subscribed(WATCH) as stream:
            told = Told()
            for _ in range(2):
                told.take(await payload_of(stream))
            there = set(told.state)
            await server.app.db.write(_delete_all_but, there)
            await caught_up(server.app)
            go.set()
            payload = await payload_of(stream)
            assert (payload["data"], payload["extensions"]["snapshot"]["last"]) == (None, True)


def _delete_all_but(session: Session, kept: set[str]) -> None:
    for each in session.scalars(select(FuelRequest)):
        if encode_id("FuelRequest", each.public_id) not in kept:
            session.delete(each)


async def test_who_is_logged_out_in_the_midst_hears_nothing_more(
    people: People, server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        await submit(people.ada)
    with held(monkeypatch, 1) as go:
        async with people.ada.subscribed(WATCH) as stream:
            await payload_of(stream)
            assert (await people.ada.data("mutation { logOut { errors { code } } }"))["errors"] == []
            await caught_up(server.app)
            go.set()
            message = await stream.message()
            assert (message["type"], message["payload"][0]["extensions"]["code"]) == ("error", "UNAUTHENTICATED")


@pytest.mark.unwitnessed("a status that this version does not know")
async def test_a_value_of_a_newer_version_costs_its_operation_only(people: People, server: Running) -> None:
    await submit(people.ada)
    async with server.app.db.writing() as connection:
        await connection.execute(_SET, {"status": "WAITING"})
    async with people.ada.socket() as socket:
        stream = await socket.subscribe(WATCH)
        message = await stream.message()
        (error,) = message["payload"]
        assert error["extensions"] == {"code": "UNDECODABLE", "retryable": True}
        other = await socket.subscribe(DELIVERIES)
        assert (await payload_of(other))["data"]["deliveryUpdated"]["delivery"]["state"]
    async with server.app.db.writing() as connection:
        await connection.execute(_SET, {"status": "PENDING"})


@pytest.mark.unwitnessed("a status that no version knows any more")
async def test_a_value_that_no_version_knows_costs_its_own_entity_only(
    people: People, server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "LASTING", -1.0)
    mine = [await submit(people.ada) for _ in range(3)]
    one = decode_id(mine[1])
    assert one is not None
    await caught_up(server.app)
    async with server.app.db.writing() as connection:
        set_one = update(FuelRequest).where(FuelRequest.public_id == one[1])
        await connection.execute(set_one.values(status=literal_column("'WAITING'")))
    async with people.ada.subscribed(WATCH.replace("{ id status }", "{ id }")) as stream:
        told = [await payload_of(stream) for _ in range(3)]
        (odd,) = (each for each in told if "errors" in each)
        assert odd["errors"][0]["extensions"] == {"code": "UNDECODABLE", "retryable": False}
        known = [each["data"]["fuelRequestStatusChanged"]["fuelRequest"]["id"] for each in told if each is not odd]
        assert set(known) == {mine[0], mine[2]}
        assert [each["extensions"]["snapshot"]["last"] for each in told] == [False, False, True]
        later = await submit(people.ada)
        assert (await stream.next())["fuelRequest"]["id"] == later
    async with server.app.db.writing() as connection:
        await connection.execute(_SET, {"status": "PENDING"})


async def test_an_outage_in_the_midst_is_waited_for(people: People, server: Running) -> None:
    mine = {await submit(people.ada) for _ in range(3)}
    with outages(server, "fuel_requests") as outage:
        outage.on = True
        async with people.ada.subscribed(WATCH) as stream:
            await has_failed(outage, 2)
            outage.on = False
            assert (await whole(stream)).state.keys() == mine


async def test_messages_have_a_snapshot_too(people: People) -> None:
    await submit(people.ada)
    async with people.grace.subscribed(DELIVERIES) as stream:
        payload = await payload_of(stream)
        assert payload["extensions"]["snapshot"]["last"]


async def test_whatever_is_written_meanwhile_the_page_is_right_in_the_end(
    server: Running, people: People, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second process serves the page, so that it is behind at times; lines are cut at random."""
    monkeypatch.setattr(snapshots, "PAGE", 3)
    requests: dict[str, str] = {}

    async def write() -> None:
        for number in range(60):
            name = await submit(people.ada)
            requests[name] = "PENDING"
            if number % 2 == 0:
                some = random.choice([each for each, status in requests.items() if status == "PENDING"])
                await decide(people.grace, some)
                requests[some] = "APPROVED"
        last = await submit(people.ada)
        requests[last] = "REJECTED"  # whoever hears of it knows that this is all
        await decide(people.grace, last, status="REJECTED", note="full")

    def is_right(told: Told) -> bool:
        return told.is_complete and "REJECTED" in told.state.values() and told.state == requests

    async def load(url: str) -> dict[str, str]:
        told = Told()
        while not is_right(told):
            async with Client(url, people.grace.token).subscribed(WATCH, after=told.cursor) as stream:
                for _ in range(random.randint(1, 30)):
                    if is_right(told):
                        break
                    payload = await payload_of(stream)
                    if "extensions" in payload:
                        told.take(payload)
                    else:
                        told.follow(payload["data"]["fuelRequestStatusChanged"])
                stream.socket.connection.transport.abort()
            assert told.repeated == []
        return told.state

    async with serving(settings) as other, asyncio.TaskGroup() as group:
        writing = group.create_task(write())
        pages: list[asyncio.Task[dict[str, str]]] = []
        while not writing.done() and len(pages) < 40:
            pages.append(group.create_task(load(random.choice((server.url, other.url)))))
            await asyncio.sleep(random.uniform(0, 0.05))
    assert len(pages) > 10
    assert all(page.result() == requests for page in pages)
