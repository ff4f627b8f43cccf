"""An app, most often the service, behind a real socket in the test's own event loop."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import uvicorn

from gql_app.app import App
from gql_app.asgi import create_asgi
from gql_app.server import configuration
from gql_app.settings import Settings
from gql_app.vertical import Vertical


@dataclass(frozen=True)
class Running:
    """A server that answers at `url`; `app` are its parts."""

    url: str
    app: App

    @property
    def ws_url(self) -> str:
        return self.url.replace("http", "ws", 1)


class _Server(uvicorn.Server):
    """Leaves the signals to pytest."""

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]
        yield


@contextlib.asynccontextmanager
async def listening(config: uvicorn.Config) -> AsyncIterator[str]:
    """Serve on a free port while the block runs; yields the address."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        if task.done():
            task.result()
            raise RuntimeError("the server did not start")
        await asyncio.sleep(0)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


@contextlib.asynccontextmanager
async def serving(settings: Settings, verticals: Sequence[Vertical] | None = None) -> AsyncIterator[Running]:
    """Serve the service, or an application of these verticals; its streams end when the block does."""
    app = App(settings, verticals)
    async with listening(configuration(create_asgi(app), host="127.0.0.1", port=0, log_level="warning")) as url:
        try:
            yield Running(url, app)
        finally:
            app.stopping.set()
