"""Tells the client of a WebSocket where it stands: a `ping` whose payload is ``{"position": cursor, "streams": 2}``.

All streams of the socket have been told everything up to that cursor. A client that reconnects may use it as `after`.
`streams` is the number of these streams. A client that has started more must ignore the position. Clients that do not
know it answer with a `pong`, as the protocol demands. graphql-ws passes it to its `ping` listeners.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from gql_app.changes.cursors import Cursor
from gql_app.execution.engine import Running
from gql_app.execution.plain import PlainSubscription

INTERVAL = 30.0
"""Seconds from one to the next."""
SOON = 0.25
"""Seconds after which a stream that has begun hears of its position."""


class Positions:
    """For one socket. Nothing is kept running while it has no streams.

    Must hold: a position never overtakes an answer. So none is sent while an answer is being sent, or while an
    operation is starting: a new stream may begin before that position.
    """

    __slots__ = ("_is_mute", "_last", "_operations", "_send", "_sending", "_streams", "_timer", "on_their_way")

    def __init__(
        self,
        operations: Mapping[str, object],
        streams: Mapping[str, Running],
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        """``operations`` are all that run, ``streams`` those that are started subscriptions."""
        self._operations = operations
        self._streams = streams
        self._send = send
        self._timer: asyncio.TimerHandle | None = None
        self._sending: asyncio.Task[None] | None = None
        self._last: Cursor | None = None
        self._is_mute = False
        self.on_their_way = 0
        """Answers that have been handed out by their streams and are not sent yet."""

    def mute(self) -> None:
        """Send no more positions: a stream has ended with an event untold, and will resume before it."""
        self._is_mute = True
        self.close()

    def begun(self) -> None:
        """Another stream has begun."""
        if self._is_mute:
            return
        self.close()
        self._last = None
        self._timer = asyncio.get_running_loop().call_later(SOON, self._tell)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _tell(self) -> None:
        followed = [each for each in self._streams.values() if not isinstance(each, PlainSubscription)]
        if not followed:
            return
        is_busy = len(self._operations) > len(self._streams) or self.on_their_way > 0
        self._timer = asyncio.get_running_loop().call_later(SOON if is_busy else INTERVAL, self._tell)
        if is_busy:
            return
        told = [each.told for each in followed]
        least = min((each for each in told if each is not None), default=None)
        if least is None or None in told or least == self._last:
            return
        if self._sending is None or self._sending.done():  # otherwise the client does not read
            self._last = least
            self._sending = asyncio.create_task(self._ping(least))

    async def _ping(self, told: Cursor) -> None:
        with contextlib.suppress(Exception):  # who has gone, or does not read, is found out where answers are sent
            await self._send({"type": "ping", "payload": {"position": str(told), "streams": len(self._streams)}})
