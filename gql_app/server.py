"""uvicorn, set up so that streams end when the process stops and stalled clients are cut off."""

import asyncio
import contextlib
import gc
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.supervisors import Multiprocess

from gql_app.errors import ConfigurationError
from gql_app.transport.edge import KEEP_ALIVE, BoundedProtocol
from gql_app.transport.frames import FrameProtocol

MAX_MESSAGE = 128 * 1024
"""Bytes of a WebSocket message from a client."""
GRACE = 3
"""Seconds that a stopping server gives to running requests. The delivery workers stop after that, and have
`worker.DRAIN_SECONDS`: the process is gone within 10 seconds."""
BACKLOG = 2048
"""Connections that may wait to be accepted (uvicorn's own default)."""
MOST_FILES = 1_048_576
"""Open files that we ask for. Linux allows no more by default (fs.nr_open)."""
UNREAD_MS = 20_000
"""Milliseconds that sent bytes may stay unacknowledged before Linux cuts the connection: uvicorn itself closes
politely and would wait forever for a client that has stopped reading."""


@contextlib.contextmanager
def announced_stop(stopping: asyncio.Event) -> Iterator[None]:
    """Sets ``stopping`` as soon as the process is asked to stop, so that streams end by themselves: uvicorn first
    waits for running responses, and only then tells the application."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def stop(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(stopping.set)
        handler = before[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is stop:
                signal.signal(number, handler)


def leave_alone_what_stays() -> None:
    """Take what a process has loaded until it serves out of the garbage collector's rounds.

    It is some hundred thousand objects that never become garbage; a full round over them is a pause of 100 ms and more.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def configuration(
    app: Any, *, host: str, port: int, workers: int = 1, log_level: str = "info", keep_alive: int = KEEP_ALIVE
) -> uvicorn.Config:
    """``app`` is an application, or with several workers the import string of a factory.

    ``keep_alive``: seconds until an idle connection is closed.
    """
    return uvicorn.Config(
        app,
        factory=isinstance(app, str),
        host=host,
        port=port,
        workers=workers,
        log_level=log_level,
        access_log=False,
        http=BoundedProtocol,
        ws=FrameProtocol,
        ws_max_size=MAX_MESSAGE,
        ws_per_message_deflate=False,  # twice the memory and time for texts this short
        timeout_graceful_shutdown=GRACE,
        timeout_keep_alive=keep_alive,
        timeout_worker_healthcheck=60,  # a process that is still importing does not answer yet
        server_header=False,
        proxy_headers=False,  # the application does it, see `transport.door`
        lifespan="on",
    )


def _listener(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise ConfigurationError(
            f"Cannot listen at {host}, port {port}: {error.strerror or error}. Choose others with --host and --port."
        ) from error
    listener.set_inheritable(True)
    return listener


def _take_all_files() -> None:
    """Each connection is an open file, and the usual soft limit is 1,024. Processes that are started inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def serve(config: uvicorn.Config, announce: Callable[[int], None]) -> None:
    """Serve until SIGINT or SIGTERM; ``announce(port)`` is called when the address is ours.

    Raises:
        ConfigurationError: the address cannot be listened at.
    """
    _take_all_files()
    listener = _listener(config.host, config.port)
    announce(listener.getsockname()[1])
    if sys.platform == "linux":
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_MS)
    if config.workers > 1:
        Multiprocess(config, sockets=[listener]).run()
    else:
        for number in (signal.SIGINT, signal.SIGTERM):
            # uvicorn raises the signal once more when it has stopped; to have stopped as asked is no failure.
            signal.signal(number, lambda *_: None)
        uvicorn.Server(config).run(sockets=[listener])
