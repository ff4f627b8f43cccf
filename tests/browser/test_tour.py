"""The demo's way through the pages, in a real browser: what the server commits appears in front of people."""

import json

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import Visit
from tests.people import PASSWORD, People, submit

pytestmark = pytest.mark.browser


async def editor_holds(page: Page, editor: str, text: str) -> None:
    """Wait until one of the three editors of the tab that is shown does."""
    await page.wait_for_function(
        """([name, text]) => globalThis.__MONACO?.editor.getEditors()
            .some(editor => editor.getModel()?.uri.path.includes(name) && editor.getValue().includes(text))""",
        arg=[editor, text],
    )


async def show_tab(page: Page, operation: str, *, headers: str = "") -> None:
    """Look at a tab of the tour, and wait until its editors hold what belongs to it."""
    await page.locator(".graphiql-tab-button", has_text=operation).click()
    await editor_holds(page, "operation.graphql", f" {operation}")
    await editor_holds(page, "request-headers", headers)


async def execute(page: Page, operation: str | None = None) -> None:
    """Press the play button, and choose where the tab holds several operations."""
    if operation is None:
        await page.locator("button.graphiql-execute-button").click()
    else:
        await page.locator("button.graphiql-execute-button[aria-haspopup=menu]").click()
        await page.get_by_role("menuitem", name=operation).click()


async def set_variables(page: Page, **variables: str) -> None:
    await page.evaluate(
        """text => globalThis.__MONACO.editor.getEditors()
            .find(editor => editor.getModel().uri.path.includes("variables")).setValue(text)""",
        json.dumps(variables),
    )


async def test_a_decision_arrives_in_the_page_that_watches_and_in_the_mailbox(visit: Visit, people: People) -> None:
    request_id = await submit(people.ada, litres="120.5")
    mailbox = await visit.open("/mailbox")
    await expect(mailbox.locator("#connection")).to_have_text("live")

    page = await visit.open("/graphql")
    await show_tab(page, "LogIn")
    await execute(page)
    await expect(page.get_by_role("status").filter(has_text="Signed in as grace")).to_be_visible()

    await show_tab(page, "WatchFuelRequests", headers="Bearer")
    await execute(page)
    await expect(page.locator("button.graphiql-execute-button[aria-label*=Stop]")).to_be_visible()

    await show_tab(page, "PendingRequests", headers="Bearer")
    await set_variables(page, id=request_id)
    live = page.get_by_role("region", name="Live")
    await expect(live.locator(".live-state")).to_have_text("live · 0 events")
    await execute(page, "Decide")
    await expect(live.locator(".live-state")).to_have_text("live · 1 event")
    event = json.loads(await live.locator(".live-stream pre").inner_text())["fuelRequestStatusChanged"]
    assert (event["previousStatus"], event["status"]) == ("PENDING", "APPROVED")
    assert event["fuelRequest"]["id"] == request_id
    assert event["actor"] == {"username": "grace"}

    await expect(mailbox.locator(".phone").filter(has_text="+15005550100").locator(".bubble")).to_contain_text(
        "Approved"
    )
    await expect(mailbox.locator(".mail").filter(has_text="ada@example.test").first).to_contain_text("Approved")


async def test_the_start_page_leads_to_the_others(visit: Visit) -> None:
    page = await visit.open("/")

    await expect(page.get_by_role("heading", level=1)).to_contain_text("gql_app")
    await expect(page.get_by_text(PASSWORD)).to_be_visible()
    await page.get_by_role("link", name="Open the mailbox").click()
    await expect(page.locator("#connection")).to_have_text("live")
    await page.get_by_role("link", name="GraphiQL").click()
    await expect(page.get_by_role("tab")).to_have_count(6)
