"""Subscribers over graphql-transport-ws: bare sockets on which frames are counted by their headers.

A frame's text is looked at only where it is asked for (`Crowd.on_text`): to take the time, or to look for errors.
"""

import base64
import json
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.loop import Loop

TOGETHER = 64
"""Sockets that are connected at a time."""
PATIENCE = 60.0
RECEIVE = 65536
BUFFER = bytearray(RECEIVE)
VIEW = memoryview(BUFFER)
"""What was read last, whoever read it."""
NARROW = 4096
"""Bytes that wait at a deaf one; the server's own kernel keeps some hundred thousand more for it."""
TEXT, PING, PONG = 1, 9, 10
TEXT_HEAD = 0x81
"""The first byte of a text in one frame."""


@dataclass(frozen=True)
class Wish:
    """What one socket says: its token, and the operations that it subscribes to (none: it only listens)."""

    token: str | None
    payloads: tuple[str, ...]
    graphql: bool = True


def frame(opcode: int, payload: bytes) -> bytes:
    """A client's frame. Its mask is zero: allowed, and nothing has to be computed."""
    size = len(payload)
    head = bytes([0x80 | opcode, 0x80 | size]) if size < 126 else bytes([0x80 | opcode, 0xFE]) + size.to_bytes(2)
    return head + bytes(4) + payload


def message(**fields: object) -> bytes:
    return frame(TEXT, json.dumps(fields).encode())


class Subscriber:
    """One socket. `received` counts the texts after the handshake."""

    __slots__ = ("_crowd", "_left", "_socket", "closed", "received", "wish")

    def __init__(self, crowd: "Crowd", wish: Wish) -> None:
        self._crowd = crowd
        self._left = b""
        self.wish = wish
        self.received = 0
        self.closed = False
        self._socket = socket.socket()
        if crowd.deaf:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, NARROW)  # it must be set before
        self._socket.settimeout(PATIENCE)
        self._socket.connect(("127.0.0.1", crowd.port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def say_hello(self) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        protocol = "Sec-WebSocket-Protocol: graphql-transport-ws\r\n" if self.wish.graphql else ""
        self._socket.sendall(
            f"GET /graphql HTTP/1.1\r\nHost: 127.0.0.1:{self._crowd.port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{protocol}\r\n".encode()
        )

    def say_init(self) -> None:
        while b"\r\n\r\n" not in self._left:
            self._left += self._receive()
        head, _, self._left = self._left.partition(b"\r\n\r\n")
        if b" 101 " not in head:
            raise ConnectionError(f"no WebSocket: {head[:200]!r}")
        if self.wish.graphql:
            payload = {"Authorization": f"Bearer {self.wish.token}"} if self.wish.token else {}
            self._socket.sendall(message(type="connection_init", payload=payload))

    def hear(self, kind: bytes) -> None:
        """Wait for a message of this type."""
        while kind not in self._left:
            self._left += self._receive()
        self._left = b""

    def subscribe(self) -> None:
        for number, payload in enumerate(self.wish.payloads, 1):
            subscribe = f'{{"id":"{number}","type":"subscribe","payload":{payload}}}'
            self._socket.sendall(frame(TEXT, subscribe.encode()))

    def ping(self) -> None:
        self._socket.sendall(message(type="ping"))

    def attach(self, loop: Loop) -> None:
        self._socket.settimeout(None)  # with one, Python asks the kernel twice
        loop.add(self._socket.fileno(), self.read)

    def is_cut_off(self) -> bool:
        """Whether the server has given a deaf one up. What it had sent before is thrown away."""
        self._socket.settimeout(0)
        try:
            while self._socket.recv_into(BUFFER):
                pass
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def close(self, loop: Loop) -> None:
        loop.remove(self._socket.fileno())
        self._socket.close()
        self.closed = True

    def _receive(self) -> bytes:
        got = self._socket.recv(RECEIVE)
        if not got:
            raise ConnectionError(f"a WebSocket was closed: {self._left[-200:]!r}")
        return got

    def read(self) -> None:
        """Count the texts in what has come."""
        size = self._socket.recv_into(BUFFER)
        if not size:
            self._crowd.lost(self)
        elif not self._left and self._crowd.on_text is None and BUFFER[0] == TEXT_HEAD and size == _whole(size):
            if size < SHORT and bytes(VIEW[2:16]) == PING_TEXT:
                return
            self.received += 1  # one frame and nothing else: the usual case, without a copy
            self._crowd.received += 1
        else:
            self._walk(self._left + bytes(VIEW[:size]))

    def _walk(self, data: bytes) -> None:
        crowd, size, at, texts = self._crowd, len(data), 0, 0
        while size - at >= 2:
            length, begin = data[at + 1], at + 2
            if length == 126:
                length, begin = int.from_bytes(data[at + 2 : at + 4]), at + 4
            elif length == 127:
                length, begin = int.from_bytes(data[at + 2 : at + 10]), at + 10
            if begin + length > size:
                break
            if data[at] == TEXT_HEAD and data[begin : begin + 14] == PING_TEXT:
                pass
            elif data[at] == TEXT_HEAD:
                texts += 1
                if crowd.on_text is not None:
                    crowd.on_text(data[begin : begin + length])
            elif data[at] & 15 == PING:
                self._socket.sendall(frame(PONG, data[begin : begin + length]))
            at = begin + length
        self._left = data[at:]
        self.received += texts
        crowd.received += texts


PING_TEXT = b'{"type":"ping"'
"""How the message begins by which our server says where a stream stands. It tells of no event."""
SHORT = 128
"""Bytes of a frame that such a message fits into."""


def _whole(size: int) -> int:
    """How many bytes the first frame in the buffer has, if it is shorter than 64 KiB."""
    length = BUFFER[1]
    return 2 + length if length < 126 or size < 4 else 4 + (BUFFER[2] << 8 | BUFFER[3])


class Crowd:
    """Many subscribers of one server. Deaf ones subscribe and then read nothing any more."""

    def __init__(self, loop: Loop, port: int, *, deaf: bool = False) -> None:
        self.port = port
        self.deaf = deaf
        self.received = 0
        self.gone = 0
        self.on_text: Callable[[bytes], None] | None = None
        self.members: list[Subscriber] = []
        self._loop = loop

    def connect(self, wishes: Sequence[Wish], *, subscribe: bool = True, sure: bool = False) -> None:
        """Open a socket for each wish; ``sure``: return when the server has answered after all subscriptions.

        Without it they may still be beginning: `work_fanout.settle` finds that out.
        """
        for start in range(0, len(wishes), TOGETHER):
            group = [Subscriber(self, wish) for wish in wishes[start : start + TOGETHER]]
            for each in group:
                each.say_hello()
            for each in group:
                each.say_init()
            for each in group:
                if each.wish.graphql:
                    each.hear(b"connection_ack")
                if subscribe:
                    each.subscribe()
                if sure:
                    each.ping()
            for each in group:
                if sure:
                    each.hear(b'"pong"')
                if not self.deaf:
                    each.attach(self._loop)
            self.members += group

    def subscribe(self) -> None:
        for each in self.members:
            each.subscribe()

    def lost(self, member: Subscriber) -> None:
        self.gone += 1
        member.close(self._loop)

    def close(self) -> None:
        for each in self.members:
            if not each.closed:
                each.close(self._loop)
