"""Limits for HTTP connections. httptools has none: a head, a trailer or a pipeline may have any length.

Must hold: memory per connection is bounded, whatever the client sends. So is the parsing per turn of the event loop.
"""

import asyncio
import logging
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from gql_app.transport.connections import HEAD_SECONDS, connections_of, refused

logger = logging.getLogger(__name__)

MAX_HEAD = 32 * 1024
"""Bytes of a request's head. The same limit holds for trailers, and for a chunk's header."""
PIECE = 1024
"""Bytes per parsing step. The limits are checked after each."""
MAX_PIPELINED = 8
"""Requests that may wait for the answer to an earlier one. More are parsed later."""
MAX_UNPARSED = 1024 * 1024
"""Bytes that wait to be parsed. Reading is paused by then, so usual reads do not reach it."""
KEEP_ALIVE = 75
"""Seconds until an idle connection is closed. Load balancers close theirs earlier (AWS ALB and nginx: 60), so a request
never meets a connection that is being closed."""


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with limits. A client that exceeds one gets a status, and the connection is closed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._unparsed = b""
        self._since = 0
        """Bytes since the last complete part of a request."""
        self._in_head = False
        self._in_request = False
        self._is_known = False
        """True while a head is parsed for the second time (see `_ignore_upgrade`)."""
        self._open = connections_of(self)
        self._address: str | None = None
        """The peer's, while this connection is counted."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        address = self.client[0] if self.client else ""
        if self._open.enter(address) is not None:
            self._answer(503, "There are too many connections; try again later.")
            self.transport.close()
            return
        self._address = address
        self._open.expect_head(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._unparsed = b""
        self._open.met(self)
        if self._address is not None:
            self._open.leave(self._address)
        super().connection_lost(exc)

    def handle_websocket_upgrade(self) -> None:
        """From here on the connection is the WebSocket's, which is counted on."""
        super().handle_websocket_upgrade()
        address, self._address = self._address, None
        if address is not None:
            next_one: Any = self.transport.get_protocol()
            next_one.counted_in, next_one.counted_as = self._open, address

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        self._unparsed = self._unparsed + data if self._unparsed else data
        if len(self._unparsed) > MAX_UNPARSED:
            self._refuse(431, "pipeline", "There are too many requests behind the one that is answered.")
        self._parse()
        self._expect_the_rest()

    def _parse(self) -> None:
        """Parse until the pipeline is full."""
        data, self._unparsed = self._unparsed, b""
        start = 0
        while start < len(data) and self.parser is not None and not self.transport.is_closing():
            if len(self.pipeline) >= MAX_PIPELINED:
                self._unparsed = data[start:]
                self._open.met(self)  # the delay is ours, not the client's
                self.flow.pause_reading()
                return
            piece = data[start : start + PIECE]
            start += len(piece)
            self._since += len(piece)
            try:
                self.parser.feed_data(piece)
            except httptools.HttpParserUpgrade as upgrade:
                if self._should_upgrade():
                    self._open.met(self)
                    self.handle_websocket_upgrade()
                    return
                start -= len(piece) - upgrade.args[0]
                self._ignore_upgrade()
            except httptools.HttpParserError:
                self._refuse(400, "malformed", "That is not an HTTP request.")
            if self._since > MAX_HEAD:
                too_long = self._in_head and len(self.url) > MAX_HEAD // 2
                self._refuse(414 if too_long else 431, "too long", f"The head of a request may have {MAX_HEAD} bytes.")

    def _ignore_upgrade(self) -> None:
        """Treat an unknown `Upgrade` as absent (RFC 9110, 7.8). httptools skips the body of such a request. So a new
        parser reads it: it gets the framing headers once more, then the body."""
        framing = [pair for pair in self.headers if pair[0] in (b"content-length", b"transfer-encoding")]
        self.parser = httptools.HttpRequestParser(self)
        self._is_known = True
        try:
            self.parser.feed_data(b"POST / HTTP/1.1\r\n" + b"".join(b"%s: %s\r\n" % pair for pair in framing) + b"\r\n")
        finally:
            self._is_known = False

    def on_url(self, url: bytes) -> None:
        if not self._is_known:
            super().on_url(url)

    def on_message_begin(self) -> None:
        if self._is_known:
            return
        super().on_message_begin()
        self._in_head = self._in_request = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head and not self._is_known:  # drop trailers
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._is_known:
            return
        self._in_head = False
        self._since = 0
        self._open.met(self)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._since = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade() and not self._should_upgrade():
            return  # its body follows, see `_ignore_upgrade`
        self._in_request = False
        self._since = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._unparsed and not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self.loop.call_soon(self._go_on)  # let other connections run first

    def _go_on(self) -> None:
        self._parse()
        self._expect_the_rest()

    def _expect_the_rest(self) -> None:
        """A head that came in part has its deadline, and so have empty lines before one."""
        is_begun = self._in_head or (self._since > 0 and not self._in_request)
        if is_begun and not self._unparsed and not self._open.is_expected(self):
            self._open.expect_head(self)

    def is_late(self) -> None:
        self._refuse(408, "late", f"The head of a request must come within {HEAD_SECONDS:.0f} seconds.")

    def _refuse(self, status: int, why: str, said: str) -> None:
        """Close the connection. Send the status only if no answer is being sent."""
        self._unparsed = b""
        self._open.met(self)
        if self.transport.is_closing():
            return
        refused.labels(why).inc()
        logger.info("an HTTP connection is closed with %s: %s", status, said)
        if not self.pipeline and (self.cycle is None or self.cycle.response_complete):
            self._answer(status, said)
        self.transport.close()

    def _answer(self, status: int, said: str) -> None:
        head = "content-type: text/plain; charset=utf-8\r\nconnection: close\r\ncontent-length:"
        self.transport.write(STATUS_LINE[status] + f"{head} {len(said)}\r\n\r\n{said}".encode())
