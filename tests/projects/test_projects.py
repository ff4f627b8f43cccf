"""The second tracked model: it gets its log, its stream and its messages by declaring them."""

from tests.people import People

CREATE = (
    'mutation ($name: String! = "Harbour") { createProject(input: {name: $name}) { project { id } errors { code } } }'
)
SET = """mutation ($id: ID!, $status: ProjectStatus!) {
    setProjectStatus(input: {id: $id, status: $status}) { project { status } errors { code } } }"""
COMMENT = """mutation ($id: ID!, $body: String!) {
    addComment(input: {projectId: $id, body: $body}) { comment { body author { username } } errors { code field } } }"""
WATCH = """subscription ($id: ID, $after: String) {
    projectStatusChanged(id: $id, after: $after) { cursor previousStatus status project { name owner { username } }
    actor { username } } }"""
WATCH_COMMENTS = """subscription ($id: ID!, $after: String) {
    commentAdded(projectId: $id, after: $after) { cursor comment { body author { username } project { name } } } }"""


async def test_a_status_reaches_the_subscription_the_phone_and_the_inbox_each_time(people: People) -> None:
    async with people.ada.subscribed(WATCH) as mine, people.linus.subscribed(WATCH) as others:
        project = (await people.ada.data(CREATE))["project"]["id"]
        for status in ("ACTIVE", "ACTIVE", "DONE"):
            assert (await people.root.data(SET, id=project, status=status))["errors"] == []
        events = await mine.take(3)
        assert [(e["previousStatus"], e["status"]) for e in events] == [
            (None, "PLANNED"),
            ("PLANNED", "ACTIVE"),
            ("ACTIVE", "DONE"),
        ]
        assert events[2]["actor"]["username"] == "root"
        assert events[2]["project"] == {"name": "Harbour", "owner": {"username": "ada"}}
        foreign = (await people.linus.data(CREATE, name="Own"))["project"]["id"]
        assert (await others.next())["project"]["name"] == "Own"
    bodies = [d["body"] for d in (await people.ada.data("{ deliveries { nodes { body } } }"))["nodes"]]
    assert bodies.count("The status of your Project has changed to Active.") == 1
    assert bodies.count("The status of your Project has changed to Done.") == 1
    assert (await people.ada.data(SET, id=foreign, status="DONE"))["errors"] == [{"code": "NOT_FOUND"}]
    assert await people.grace.data("{ projects { nodes { id } } }") == {"nodes": []}


async def test_comments_reach_those_who_watch_their_project_and_can_be_caught_up_with(people: People) -> None:
    here, there = [(await people.ada.data(CREATE, name=name))["project"]["id"] for name in ("here", "there")]
    async with people.ada.subscribed(WATCH_COMMENTS, id=here) as stream:
        for project, body in ((there, "elsewhere"), (here, "first"), (here, "second")):
            assert (await people.root.data(COMMENT, id=project, body=body))["errors"] == []
        first, second = await stream.take(2)
        assert first["comment"] == {"body": "first", "author": {"username": "root"}, "project": {"name": "here"}}
    async with people.ada.subscribed(WATCH_COMMENTS, id=here, after=first["cursor"]) as again:
        assert await again.next() == second
    listed = await people.ada.data("query ($id: ID!) { comments(projectId: $id) { nodes { body } } }", id=here)
    assert [c["body"] for c in listed["nodes"]] == ["first", "second"]


async def test_a_foreign_project_is_as_good_as_none(people: People) -> None:
    project = (await people.ada.data(CREATE))["project"]["id"]
    refused = await people.linus.data(COMMENT, id=project, body="hello")
    assert refused["errors"] == [{"code": "NOT_FOUND", "field": ["input", "projectId"]}]
    for watch in (WATCH, WATCH_COMMENTS):
        async with people.linus.subscribed(watch, id=project) as stream:
            assert await stream.error() == "NOT_FOUND"
    assert await people.linus.data("query ($id: ID!) { node(id: $id) { id } }", id=project) is None
    empty = await people.ada.data(COMMENT, id=project, body=" \n ")
    assert empty["errors"] == [{"code": "INVALID", "field": ["input", "body"]}]
