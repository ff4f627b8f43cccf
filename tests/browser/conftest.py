"""A real browser that looks at the server's pages."""

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
