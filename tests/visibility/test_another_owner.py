"""An entity gets another owner: the former one hears that it left, and nothing after."""

import asyncio
import contextlib
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from gql_app.accounts.models import User
from gql_app.demo.fuel_requests.models import FuelRequest
from gql_app.demo.projects.models import Project
from gql_app.execution.subscription import Subscription
from gql_app.testing.client import Subscribed
from gql_app.testing.server import Running
from tests.people import People, decide, submit
from tests.things import caught_up, head_of

SIGHT = "subscription ($after: String) { visibilityChanged(after: $after) { cursor kind entityType entityId } }"
STATUS = """subscription ($after: String) { fuelRequestStatusChanged(after: $after) {
    cursor status fuelRequest { note requester { username } } } }"""
CHANGES = """subscription ($after: String) { changes(after: $after) {
    cursor kind entityType entityId attribute newValue } }"""
LOG = '{ changes(last: 50, filter: {entityType: "FuelRequest"}) { nodes { kind attribute newValue } } }'
NODE = "query ($id: ID!) { node(id: $id) { id } fuelRequest(id: $id) { id } fuelRequests { nodes { note } } }"
PROJECT = 'mutation { createProject(input: {name: "Harbour"}) { project { id } errors { code } } }'
COMMENT = """mutation ($id: ID!, $body: String!) { addComment(input: {projectId: $id, body: $body}) {
    comment { id } errors { code } } }"""
COMMENTS = """subscription ($id: ID!, $after: String) { commentAdded(projectId: $id, after: $after) {
    cursor comment { body } } }"""


def _id_of(session: Session, name: str) -> int:
    return session.scalars(select(User.id).where(User.username == name)).one()


def give(session: Session, to: str, *, in_bulk: bool = False) -> None:
    """All fuel requests to this user."""
    owner = _id_of(session, to)
    if in_bulk:
        session.execute(update(FuelRequest).values(requester_id=owner))
        return
    for request in session.scalars(select(FuelRequest)):
        request.requester_id = owner


def delete_all(session: Session) -> None:
    for request in session.scalars(select(FuelRequest)):
        session.delete(request)


def give_projects(session: Session, to: str) -> None:
    owner = _id_of(session, to)
    for project in session.scalars(select(Project)):
        project.owner_id = owner


async def _heard(stream: Subscribed, count: int) -> list[tuple[str, str]]:
    return [(each["kind"], each["entityId"]) for each in await stream.take(count)]


async def test_it_leaves_one_and_comes_to_the_other(server: Running, people: People) -> None:
    begin = str(await head_of(server.app.db))
    async with people.ada.subscribed(SIGHT) as adas, people.linus.subscribed(SIGHT) as his:
        request = await submit(people.ada, note="mine")
        for in_bulk, owner in ((False, "linus"), (True, "ada"), (True, "linus")):
            await server.app.db.write(give, owner, in_bulk=in_bulk)
        came, left = ("CAME", request), ("LEFT", request)
        assert await _heard(adas, 4) == [came, left, came, left]
        assert await _heard(his, 3) == [came, left, came]
    async with (
        people.ada.subscribed(SIGHT, after=begin) as hers,
        people.linus.subscribed(SIGHT, after=begin) as his,
        people.grace.subscribed(SIGHT, after=begin) as approvers,
    ):
        assert await _heard(hers, 4) == [came, left, came, left]
        assert await _heard(his, 3) == [came, left, came]
        assert await _heard(approvers, 1) == [came]  # she sees all of them, whoever they belong to
        other = await submit(people.ada)
        assert await _heard(approvers, 1) == [("CAME", other)]


async def test_the_former_owner_reads_nothing_new_in_any_way(server: Running, people: People) -> None:
    request = await submit(people.ada, note="of ada's time")
    await caught_up(server.app)
    async with people.ada.subscribed(STATUS) as live, people.ada.subscribed(CHANGES) as changes:
        await server.app.db.write(give, "linus")
        await decide(people.grace, request)
        await submit(people.ada, note="the next")
        assert (await live.next())["fuelRequest"]["note"] == "the next"
        while (event := await changes.next())["entityType"] != "FuelRequest":
            pass
        assert event["entityId"] != request
    async with people.ada.subscribed(STATUS, after="0") as resumed:
        first, second = await resumed.take(2)
        assert (first["status"], first["fuelRequest"]) == ("PENDING", None)
        assert second["fuelRequest"]["note"] == "the next"
    assert (await people.ada.send(NODE, id=request))["data"] == {
        "node": None,
        "fuelRequest": None,
        "fuelRequests": {"nodes": [{"note": "the next"}]},
    }
    texts = [each["newValue"] for each in (await people.ada.data(LOG))["nodes"]]
    assert "APPROVED" not in texts
    async with people.linus.subscribed(STATUS, after="0") as his:  # what was before he does not hear
        assert (await his.next())["status"] == "APPROVED"


async def test_comments_follow_their_project(server: Running, people: People) -> None:
    project = (await people.ada.data(PROJECT))["project"]["id"]
    await people.ada.data(COMMENT, id=project, body="before")
    await caught_up(server.app)
    async with (
        people.ada.subscribed(COMMENTS, id=project) as adas,
        people.root.subscribed(COMMENTS, id=project) as roots,
    ):
        await server.app.db.write(give_projects, "linus")
        async with people.linus.subscribed(COMMENTS, id=project, after="0") as his:
            await people.linus.data(COMMENT, id=project, body="after")
            assert (await his.next())["comment"]["body"] == "after"
        assert (await roots.next())["comment"]["body"] == "after"
        await server.app.db.write(give_projects, "ada")
        await people.root.data(COMMENT, id=project, body="again")
        assert (await adas.next())["comment"]["body"] == "again"
    async with people.ada.subscribed(COMMENTS, id=project, after="0") as resumed:
        assert [each["comment"] for each in await resumed.take(2)] == [{"body": "before"}, {"body": "again"}]


async def test_an_owner_that_changes_back_is_not_told(server: Running, people: People) -> None:
    request = await submit(people.ada)
    await caught_up(server.app)

    def there_and_back(session: Session) -> None:
        give(session, "linus")
        session.flush()
        give(session, "ada")

    async with people.ada.subscribed(SIGHT) as adas, people.linus.subscribed(SIGHT) as his:
        await server.app.db.write(there_and_back)
        await server.app.db.write(delete_all)
        assert await _heard(adas, 1) == [("LEFT", request)]
        other = await submit(people.linus)
        assert await _heard(his, 1) == [("CAME", other)]


async def test_moved_and_deleted_in_one_transaction_it_leaves_the_one_who_had_it(
    server: Running, people: People
) -> None:
    request = await submit(people.ada)
    await caught_up(server.app)

    def move_and_delete(session: Session) -> None:
        give(session, "linus")
        session.flush()
        delete_all(session)

    async with people.ada.subscribed(SIGHT) as adas, people.linus.subscribed(SIGHT) as his:
        await server.app.db.write(move_and_delete)
        assert await _heard(adas, 1) == [("LEFT", request)]
        other = await submit(people.linus)
        assert await _heard(his, 1) == [("CAME", other)]


async def test_fifty_subscribers_to_the_comments_of_a_project_cost_one_execution(
    server: Running, people: People, monkeypatch: Any
) -> None:
    project = (await people.ada.data(PROJECT))["project"]["id"]
    async with contextlib.AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(people.ada.subscribed(COMMENTS, id=project)) for _ in range(50)]
        async with asyncio.timeout(10):
            while not all(watch.parked for watch in server.app.feed._watches):  # noqa: ASYNC110
                await asyncio.sleep(0)
        executions: list[int] = []
        execute = Subscription.execute

        async def counted(self: Subscription, event: Any) -> Any:
            executions.append(event.position)
            return await execute(self, event)

        monkeypatch.setattr(Subscription, "execute", counted)
        await people.ada.data(COMMENT, id=project, body="one for all")
        assert [(await each.next())["comment"]["body"] for each in streams] == ["one for all"] * 50
        assert len(executions) == 1
