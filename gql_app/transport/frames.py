"""Ready-made WebSocket frames, straight to the transport.

uvicorn's protocol encodes a message anew for each socket that it is sent to. A shared answer differs between sockets
only by the operation's id in front of it; `FrameProtocol` lets it be written as it is. It is the frame that RFC 6455
(section 5.2) says: FIN and text, not masked, no extension (compression is never negotiated here), its length in the
shortest form. Control frames and everything else stay uvicorn's.
"""

import contextlib
import logging
import struct
from collections.abc import Iterable
from time import monotonic
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState
from websockets.http11 import Request

from gql_app.transport.connections import Connections, refused

logger = logging.getLogger(__name__)

EXTENSION = "gql_app.write_texts"
"""Where the ASGI scope offers `FrameProtocol.write_texts`."""


_logger = logging.getLogger("uvicorn.error.websockets")
_logger.setLevel(logging.WARNING)
"""uvicorn logs the address of each WebSocket with its query, which may hold a secret."""

FIN_TEXT = 0x81


def header(length: int) -> bytes:
    """What comes before a text of so many bytes."""
    if length < 126:
        return bytes((FIN_TEXT, length))
    if length < 65_536:
        return struct.pack("!BBH", FIN_TEXT, 126, length)
    return struct.pack("!BBQ", FIN_TEXT, 127, length)


PIECE = 1024
"""Bytes per parsing step, 170 frames at most. The limits are checked after each."""
FRAMES_PER_TURN = 256
"""Frames of one socket before other connections run."""
FRAMES_AT_ONCE, FRAMES_PER_SECOND = 4_000, 500
"""Token bucket of a client: burst and refill. A page that starts many operations needs the burst."""
MAX_UNPARSED = 1024 * 1024
"""Bytes that wait to be parsed. Reading is paused by then, so usual reads do not reach it."""
TOO_MANY = 4429
"""Close code. graphql-ws does not reconnect after it."""


class FrameProtocol(WebSocketsSansIOProtocol):
    """uvicorn's protocol. It can also write ready-made texts, and it limits the frames that a client sends.

    Must hold: parsing per turn of the event loop is bounded, and so are the frames per second.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = _logger
        self._unparsed = b""
        self._frames_left = float(FRAMES_AT_ONCE)
        self._counted_at = monotonic()
        self.counted_in: Connections | None = None
        self.counted_as = ""
        """The address that this connection is counted for."""

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.counted_in is not None:
            self.counted_in.leave(self.counted_as)

    def data_received(self, data: bytes) -> None:
        is_waiting = bool(self._unparsed)
        self._unparsed += data
        if len(self._unparsed) > MAX_UNPARSED:
            self._close_busy()
        elif is_waiting:
            self.transport.pause_reading()
        else:
            self._parse()

    def _parse(self) -> None:
        data, self._unparsed = self._unparsed, b""
        frames, start = 0, 0
        while start < len(data) and not self.transport.is_closing():
            if frames >= FRAMES_PER_TURN:
                self._unparsed = data[start:]
                self.transport.pause_reading()
                self.loop.call_soon(self._go_on)
                return
            self.conn.receive_data(data[start : start + PIECE])
            start += PIECE
            if self.conn.parser_exc is not None:
                self.handle_parser_exception()
                return
            frames += len(self.conn.events)
            if self._spent(len(self.conn.events)):
                self._close_busy()
                return
            self.handle_events()

    def _go_on(self) -> None:
        self._parse()
        if not (self._unparsed or self.read_paused or self.transport.is_closing()):
            self.transport.resume_reading()

    def _spent(self, frames: int) -> bool:
        """Whether the client has sent more than it may."""
        now = monotonic()
        earned = (now - self._counted_at) * FRAMES_PER_SECOND
        self._frames_left = min(self._frames_left + earned, FRAMES_AT_ONCE) - frames
        self._counted_at = now
        return self._frames_left < 0

    def _close_busy(self) -> None:
        self._unparsed = b""
        if self.transport.is_closing():
            return
        refused.labels("frames").inc()
        logger.info("a WebSocket is closed: it has sent too many frames")
        if self.handshake_complete and not self.close_sent:
            self.close_sent = self.disconnected = True  # answers under way have nowhere to go
            self.conn.send_close(TOO_MANY, "Too many messages")
            self.transport.write(b"".join(self.conn.data_to_send()))
        self.transport.close()

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        scope: Any = getattr(self, "scope", None)  # none when the handshake was refused
        if scope is not None:
            scope["extensions"][EXTENSION] = self.write_texts
            scope.pop("state", None)  # a copy for each socket of what nobody asks for

    def is_refused(self) -> None:
        """The handshake was answered by an HTTP response. uvicorn does not count that as an answer."""
        self.handshake_complete = True

    def shutdown(self) -> None:
        with contextlib.suppress(InvalidState):  # the client has said goodbye, and does not read our answer
            return super().shutdown()
        self.transport.close()

    def handle_ping(self) -> None:
        """A client that takes no answers gets none: uvicorn would keep them for it, as many as it asks for."""
        answers = self.conn.data_to_send()
        if self.writable.is_set():
            self.transport.write(b"".join(answers))

    def write_texts(self, beginning: bytes, endings: Iterable[bytes]) -> bool:
        """Send UTF-8 texts that begin alike; False when the client has not taken what was sent before, or is gone."""
        if not self.writable.is_set() or self.close_sent or self.disconnected or self.transport.is_closing():
            return False
        size = len(beginning)
        parts: list[bytes] = []
        for ending in endings:
            parts += (header(size + len(ending)), beginning, ending)
        self.transport.write(b"".join(parts))
        return True
