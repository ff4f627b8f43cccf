"""Ready-made WebSocket frames, straight to the transport.

uvicorn's protocol encodes a message anew for each socket that it is sent to. A shared answer differs between sockets
only by the operation's id in front of it; `FrameProtocol` lets it be written as it is. It is the frame that RFC 6455
(section 5.2) says: FIN and text, not masked, no extension (compression is never negotiated here), its length in the
shortest form. Control frames and everything else stay uvicorn's.
"""

import contextlib
import struct
from collections.abc import Iterable
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState
from websockets.http11 import Request

EXTENSION = "gql_app.write_texts"
"""Where the ASGI scope offers `FrameProtocol.write_texts`."""

FIN_TEXT = 0x81


def header(length: int) -> bytes:
    """What comes before a text of so many bytes."""
    if length < 126:
        return bytes((FIN_TEXT, length))
    if length < 65_536:
        return struct.pack("!BBH", FIN_TEXT, 126, length)
    return struct.pack("!BBQ", FIN_TEXT, 127, length)


class FrameProtocol(WebSocketsSansIOProtocol):
    """uvicorn's protocol, which can also write texts at once."""

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        scope: Any = getattr(self, "scope", None)  # none when the handshake was refused
        if scope is not None:
            scope["extensions"][EXTENSION] = self.write_texts

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
