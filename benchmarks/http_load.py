"""HTTP load: keep-alive connections with one request in the air each; every body is looked at."""

import math
import re
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks.loop import Loop

LENGTH = re.compile(rb"content-length: *(\d+)", re.I)
ERRORS = (b'"errors":[{', b'"errors": [{')
"""In an answer with `errors` of GraphQL itself or of a mutation's payload, as the servers write JSON."""
PATIENCE = 30.0
"""Seconds that what is in the air at the end is waited for."""


def post(path: str, body: bytes, token: str | None = None) -> bytes:
    """A request's bytes."""
    authorization = f"Authorization: Bearer {token}\r\n" if token else ""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nAccept: application/json\r\n"
        f"{authorization}Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Connection:
    """Sends one request at a time, and calls back with the answer's body."""

    def __init__(self, loop: Loop, port: int) -> None:
        self._loop = loop
        self._port = port
        self._data = b""
        self._answered: Callable[[bytes, bool], None] | None = None
        self._socket: socket.socket | None = None
        self._open()

    @property
    def busy(self) -> bool:
        return self._answered is not None

    def send(self, request: bytes, answered: Callable[[bytes, bool], None]) -> None:
        """``answered`` gets the body and whether it was 200 without errors."""
        self._answered = answered
        self._data = b""
        (self._socket or self._open()).sendall(request)

    def close(self) -> None:
        if self._socket is not None:
            self._loop.remove(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _open(self) -> socket.socket:
        self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=PATIENCE)
        self._socket.settimeout(None)  # with one, Python asks the kernel twice
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._loop.add(self._socket.fileno(), self._read)
        return self._socket

    def _read(self) -> None:
        assert self._socket is not None
        got = self._socket.recv(65536)
        if not got:
            if self.busy:
                raise ConnectionError("the server closed an HTTP connection before its answer")
            return self.close()  # it was idle for too long; the next request opens another
        self._data += got
        head, found, body = self._data.partition(b"\r\n\r\n")
        if not found:
            return
        length = LENGTH.search(head)
        complete = len(body) >= int(length[1]) if length else body.endswith(b"0\r\n\r\n")
        if complete and self._answered is not None:
            answered, self._answered = self._answered, None
            ok = head.startswith(b"HTTP/1.1 200") and not any(each in body for each in ERRORS)
            answered(body, ok)


def percentile(values: Sequence[float], share: float) -> float:
    """NaN of nothing."""
    return sorted(values)[math.ceil(len(values) * share) - 1] if values else math.nan


@dataclass
class Measured:
    """Seconds of each answer, and the first body with an error."""

    times: list[float] = field(default_factory=list)
    errors: int = 0
    first_error: bytes = b""
    seconds: float = 0.0
    late: int = 0
    """Requests that were sent more than a hundredth of a second after they were due: no connection was free."""

    def note(self, began: float, body: bytes, ok: bool) -> None:
        self.times.append(time.perf_counter() - began)
        if not ok:
            self.errors += 1
            self.first_error = self.first_error or body[:300]

    @property
    def rate(self) -> float:
        return len(self.times) / self.seconds if self.seconds else math.nan

    def milliseconds(self, share: float) -> float:
        return percentile(self.times, share) * 1e3


def closed_loop(loop: Loop, connections: Sequence[Connection], requests: Iterator[bytes], seconds: float) -> Measured:
    """Each connection sends its next request when the last one is answered; ends earlier when there are no more."""
    measured = Measured()
    begin = time.perf_counter()
    end = begin + seconds

    def next_on(connection: Connection) -> None:
        request = next(requests, None) if time.perf_counter() < end else None
        if request is None:
            return
        sent = time.perf_counter()

        def answered(body: bytes, ok: bool) -> None:
            measured.note(sent, body, ok)
            next_on(connection)

        connection.send(request, answered)

    for connection in connections:
        next_on(connection)
    loop.run_until(lambda: not any(c.busy for c in connections), seconds + PATIENCE)
    measured.seconds = time.perf_counter() - begin
    return measured


class Paced:
    """An open loop: requests at fixed times, whether the last ones are answered or not."""

    def __init__(self, connections: Sequence[Connection], requests: Iterator[bytes], per_second: float) -> None:
        self.measured = Measured()
        self.sent = 0
        self._connections = connections
        self._requests = requests
        self._pause = 1 / per_second
        self._begin = time.perf_counter()

    def begin_anew(self) -> None:
        """Nothing is due from the time that nobody pumped."""
        self._begin = time.perf_counter() - self.sent * self._pause

    def pump(self) -> None:
        """Send what is due. An answer's time counts from when its request was due."""
        while (due := self._begin + self.sent * self._pause) <= time.perf_counter():
            free = next((c for c in self._connections if not c.busy), None)
            request = next(self._requests, None) if free else None
            if free is None or request is None:
                return
            self.sent += 1
            self.measured.late += time.perf_counter() - due > 0.01
            free.send(request, lambda body, ok, due=due: self.measured.note(due, body, ok))  # type: ignore[misc]
