"""The demo's way through the pages, in a real browser: what the server commits appears in front of people."""

import json
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from playwright.async_api import BrowserContext, ConsoleMessage, Page, Request, async_playwright, expect

from gql_app.pages import site
from gql_app.settings import Settings
from gql_app.testing.server import Running
from tests.conftest import require
from tests.people import PASSWORD, People, submit

CHROMIUM = os.environ.get("GQL_APP_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
BUNDLE = Path(site.__file__).parent / "static/graphiql/graphiql.js"
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
PATIENCE = 15_000
"""Milliseconds."""

pytestmark = pytest.mark.browser


@dataclass
class Visit:
    """A browser's window, and what went wrong or elsewhere in it."""

    context: BrowserContext
    url: str
    complaints: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)

    async def open(self, path: str) -> Page:
        page = await self.context.new_page()
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", self._asked)
        page.on("websocket", lambda socket: self._address(socket.url))
        await page.goto(self.url + path)
        return page

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):  # a violated Content-Security-Policy is an error, too
            self.complaints.append(message.text)

    def _asked(self, request: Request) -> None:
        self._address(request.url)

    def _address(self, url: str) -> None:
        ours = (self.url + "/", self.url.replace("http", "ws", 1) + "/", "data:", "blob:" + self.url)
        if not url.startswith(ours):
            self.elsewhere.append(url)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    require("Chromium", CHROMIUM is not None, "no chromium on PATH")
    require("GraphiQL", BUNDLE.is_file(), "GraphiQL is not built in this checkout")
    return replace(settings, demo=True)


@pytest.fixture
async def visit(server: Running) -> AsyncIterator[Visit]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        context = await browser.new_context(viewport={"width": 1280, "height": 800})
        context.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)
        visit = Visit(context, server.url)
        yield visit
        await browser.close()
    assert visit.elsewhere == []
    assert visit.complaints == []


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
