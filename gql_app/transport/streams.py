"""Subscriptions over HTTP: Server-Sent Events (graphql-sse, distinct connections mode) and multipart (Apollo's).

Must hold: a response holds whole frames, and no event is written after the subscription has ended. How it ends is said
in `endings`.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Protocol

from gql_app.changes.cursors import Cursor
from gql_app.errors import GqlAppError, Interrupted, Stopping
from gql_app.execution.answers import Answer, refusal_of
from gql_app.execution.engine import Running
from gql_app.transport.endings import protocol_error

HEARTBEAT = 12.0
"""Seconds of silence after which something is sent: shorter than what proxies wait."""

EVENT_STREAM = "text/event-stream"
COMPLETED = "complete"
"""The id of the last frame. A browser's EventSource always reconnects after a stream, and sends the last id. If it is
this one, the answer is 204, after which it stops (HTML, 9.2.3)."""


class Framing(Protocol):
    """How answers become bytes of a response that goes on."""

    content_type: str
    begin: bytes
    end: bytes

    def heartbeat(self, told: Cursor | None) -> bytes:
        """What says that all is well, and if it is known the cursor up to which everything has been told."""

    def frame(self, answer: Answer) -> bytes: ...

    def interruption(self, error: GqlAppError) -> bytes:
        """The last bytes where the client shall come back."""


class ServerSentEvents:
    content_type = "text/event-stream; charset=utf-8"
    begin = b""
    end = f"event: complete\nid: {COMPLETED}\ndata:\n\n".encode()

    def heartbeat(self, told: Cursor | None) -> bytes:
        """An `id` without data is no event, but it is what an EventSource sends as `Last-Event-ID` (HTML, 9.2.6)."""
        return b":\n\n" if told is None else f"id: {told}\n\n".encode()

    def frame(self, answer: Answer) -> bytes:
        identified = f"id: {answer.cursor}\n" if answer.cursor is not None else ""
        return f"event: next\n{identified}data: {answer.body}\n\n".encode()

    def interruption(self, error: GqlAppError) -> bytes:
        """Nothing: without `complete` it is a lost line."""
        return b""


class Multipart:
    content_type = 'multipart/mixed; boundary="graphql"; subscriptionSpec="1.0"'
    # A client takes a part when it sees the delimiter behind it: each part is sent with that one.
    begin = b"\r\n--graphql"
    end = b"--\r\n"

    def heartbeat(self, told: Cursor | None) -> bytes:
        """An empty object, which clients pass over; the cursor is in a header of the part."""
        return _part("{}", "" if told is None else f"Gql-App-Position: {told}\r\n")

    def frame(self, answer: Answer) -> bytes:
        return _part(answer.body if answer.request_error else f'{{"payload":{answer.body}}}')

    def interruption(self, error: GqlAppError) -> bytes:
        return _part(json.dumps(protocol_error(error), separators=(",", ":"))) + self.end


def _part(body: str, headers: str = "") -> bytes:
    return f"\r\nContent-Type: application/json\r\n{headers}\r\n{body}\r\n--graphql".encode()


async def frames(
    subscription: Running | Answer | Interrupted, framing: Framing, stopping: asyncio.Event
) -> AsyncIterator[bytes]:
    """The bytes of the response, until the subscription ends or the process stops."""
    if isinstance(subscription, Interrupted):
        yield framing.begin + framing.heartbeat(None) + framing.interruption(subscription)
        return
    if isinstance(subscription, Answer):
        yield framing.begin + framing.frame(subscription)
        yield framing.end
        return
    # The headers leave at once, and say that events are not missed from here on.
    yield framing.begin + framing.heartbeat(subscription.begun_after)
    stop = asyncio.ensure_future(stopping.wait())
    following: asyncio.Future[Answer | GqlAppError | None] | None = None
    try:
        while True:
            following = following or asyncio.ensure_future(_next(subscription))
            await asyncio.wait((following, stop), timeout=HEARTBEAT, return_when=asyncio.FIRST_COMPLETED)
            if stop.done():
                yield framing.interruption(Stopping())
                return
            if not following.done():
                yield framing.heartbeat(subscription.told)
                continue
            found, following = following.result(), None
            if not isinstance(found, Answer):
                yield _last(found, framing)
                return
            yield found.framed(framing, framing.frame)
    finally:
        subscription.leave()  # first: a response that is cancelled may be cancelled again at the next await
        tasks: list[asyncio.Future[Any]] = [stop] if following is None else [stop, following]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await subscription.aclose()  # a generator can be closed when it does not run any more


def _last(reason: GqlAppError | None, framing: Framing) -> bytes:
    if reason is None:
        return framing.end
    if reason.retryable:
        return framing.interruption(reason)
    return framing.frame(refusal_of(reason)) + framing.end


async def _next(subscription: Running) -> Answer | GqlAppError | None:
    """The next answer, or why there is none: None is the operation's own end."""
    try:
        return await subscription.__anext__()
    except StopAsyncIteration:
        return None
    except GqlAppError as error:
        return error


FRAMINGS: dict[str, Framing] = {EVENT_STREAM: ServerSentEvents(), "multipart/mixed": Multipart()}
