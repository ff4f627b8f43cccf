"""The service behind a real socket, in the test's own event loop."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass

import uvicorn

from gql_app.app import App, create_asgi
from gql_app.server import configuration
from gql_app.settings import Settings


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
async def serving(settings: Settings) -> AsyncIterator[Running]:
    """Serve on a free port while the block runs."""
    app = App(settings)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = _Server(configuration(create_asgi(app), host="127.0.0.1", port=0, log_level="warning"))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        if task.done():
            task.result()
            raise RuntimeError("the server did not start")
        await asyncio.sleep(0)
    try:
        yield Running(f"http://127.0.0.1:{listener.getsockname()[1]}", app)
    finally:
        app.stopping.set()
        server.should_exit = True
        await task
