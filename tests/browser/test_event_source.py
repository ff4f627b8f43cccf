"""A browser's own EventSource: it signs in by a ticket, follows, comes back by itself, and stops where it must."""

import pytest

from tests.browser.conftest import Visit
from tests.people import People, submit

pytestmark = pytest.mark.browser

FOLLOW = """
async (token) => {
  const ask = (query) => fetch("/graphql", {
    method: "POST",
    headers: {"Content-Type": "application/json", Authorization: `Bearer ${token}`},
    body: JSON.stringify({query}),
  }).then((response) => response.json());
  window.ask = ask;
  const made = await ask("mutation { createStreamTicket { streamTicket { ticket } } }");
  const query = "subscription { fuelRequestStatusChanged { cursor } }";
  const {ticket} = made.data.createStreamTicket.streamTicket;
  const source = window.source = new EventSource(`/graphql?${new URLSearchParams({query, ticket})}`);
  window.heard = [];
  window.errors = [];
  source.addEventListener("next", (event) => {
    const {data, errors} = JSON.parse(event.data);
    window.heard.push(data?.fuelRequestStatusChanged.cursor ?? errors[0].extensions.code);
  });
  source.onerror = () => window.errors.push(source.readyState);
  await new Promise((opened) => { source.onopen = opened; });
}
"""
STILL, CLOSED = 0, 2


async def test_it_follows_and_stops_after_the_end_of_its_session(visit: Visit, people: People) -> None:
    page = await visit.open("/")
    await page.evaluate(FOLLOW, people.ada.token)
    await submit(people.ada)
    await submit(people.ada)
    await page.wait_for_function("() => heard.length === 2")
    await page.evaluate("ask('mutation { logOut { errors { code } } }')")
    # The browser comes back once, after 3 seconds, and is told to stop.
    await page.wait_for_function("() => source.readyState === EventSource.CLOSED")
    assert (await page.evaluate("heard"))[2:] == ["UNAUTHENTICATED"]
    assert await page.evaluate("errors") == [STILL, CLOSED]


async def test_it_stops_at_a_ticket_that_is_none(visit: Visit) -> None:
    page = await visit.open("/")
    await page.evaluate("""() => {
        window.source = new EventSource("/graphql?ticket=none&query=subscription%20{changes{cursor}}");
    }""")
    await page.wait_for_function("() => source.readyState === EventSource.CLOSED")
    assert all("401" in each for each in visit.complaints)
    visit.complaints.clear()
