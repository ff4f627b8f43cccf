"""A fuel request's life, seen from outside."""

from gql_app.testing.server import Running
from tests.people import DECIDE, People, decide, submit

WATCH = """
    subscription ($id: ID, $after: String) {
      fuelRequestStatusChanged(id: $id, after: $after) {
        cursor previousStatus status fuelRequest { id status requester { username } } actor { username }
      }
    }"""


async def test_a_decision_reaches_the_subscription_the_phone_and_the_inbox(people: People) -> None:
    async with people.ada.subscribed(WATCH) as mine, people.grace.subscribed(WATCH) as all_of_them:
        request_id = await submit(people.ada, litres="12.5")
        for stream in (mine, all_of_them):
            event = await stream.next()
            assert (event["previousStatus"], event["status"]) == (None, "PENDING")
            assert event["fuelRequest"]["requester"]["username"] == "ada"
        await decide(people.grace, request_id, note="Have a good trip")
        for stream in (mine, all_of_them):
            event = await stream.next()
            assert (event["previousStatus"], event["status"]) == ("PENDING", "APPROVED")
            assert event["actor"]["username"] == "grace"
    deliveries = "{ deliveries(first: 2) { nodes { channel recipient body } } }"
    told = {(d["channel"], d["recipient"]): d["body"] for d in (await people.ada.data(deliveries))["nodes"]}
    assert told["SMS", "+15005550100"] == "The status of your Fuel Request has changed to Approved."
    assert "Have a good trip" in told["EMAIL", "ada@example.test"]


async def test_the_second_decision_gets_conflict_and_changes_nothing(people: People, server: Running) -> None:
    request_id = await submit(people.ada)
    await decide(people.grace, request_id, status="REJECTED")
    before = server.app.feed.position
    payload = await people.root.data(DECIDE, id=request_id, status="APPROVED")
    assert [error["code"] for error in payload["errors"]] == ["CONFLICT"]
    assert await server.app.feed.look() == max(before, server.app.feed.position)
    status = await people.ada.data("query ($id: ID!) { fuelRequest(id: $id) { status } }", id=request_id)
    assert status == {"status": "REJECTED"}


async def test_nobody_decides_her_own_request(people: People) -> None:
    mine = await submit(people.grace)
    refused = await people.grace.data(DECIDE, id=mine)
    assert [(each["code"], each["field"]) for each in refused["errors"]] == [("INVALID", ["input", "id"])]
    await decide(people.root, mine)  # an admin may, where it is not her own
