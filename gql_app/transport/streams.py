"""Subscriptions over HTTP: Server-Sent Events (graphql-sse, distinct connections mode) and multipart (Apollo's).

Must hold: a response holds whole frames, and no event is written after the subscription has ended.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Protocol

from gql_app.errors import GqlAppError
from gql_app.execution.answers import Answer, refusal_of
from gql_app.execution.subscription import Subscription

HEARTBEAT = 12.0
"""Seconds of silence after which something is sent: shorter than what proxies wait."""


class Framing(Protocol):
    """How answers become bytes of a response that goes on."""

    content_type: str
    begin: bytes
    heartbeat: bytes
    end: bytes

    def frame(self, answer: Answer) -> bytes: ...


class ServerSentEvents:
    content_type = "text/event-stream; charset=utf-8"
    begin = b""
    heartbeat = b":\n\n"
    end = b"event: complete\ndata:\n\n"

    def frame(self, answer: Answer) -> bytes:
        identified = f"id: {answer.cursor}\n" if answer.cursor is not None else ""
        return f"event: next\n{identified}data: {answer.body}\n\n".encode()


class Multipart:
    content_type = 'multipart/mixed; boundary="graphql"; subscriptionSpec="1.0"'
    # A client takes a part when it sees the delimiter behind it: each part is sent with that one.
    begin = b"\r\n--graphql"
    heartbeat = b"\r\nContent-Type: application/json\r\n\r\n{}\r\n--graphql"
    end = b"--\r\n"

    def frame(self, answer: Answer) -> bytes:
        body = answer.body if answer.request_error else f'{{"payload":{answer.body}}}'
        return f"\r\nContent-Type: application/json\r\n\r\n{body}\r\n--graphql".encode()


async def frames(
    subscription: Subscription | Answer, framing: Framing, stopping: asyncio.Event
) -> AsyncIterator[bytes]:
    """The bytes of the response, until the subscription ends or the process stops."""
    if isinstance(subscription, Answer):
        yield framing.begin + framing.frame(subscription)
        yield framing.end
        return
    # The headers leave at once, and say that events are not missed from here on.
    yield framing.begin + framing.heartbeat
    stop = asyncio.ensure_future(stopping.wait())
    following: asyncio.Future[Answer] | None = None
    try:
        while True:
            following = following or asyncio.ensure_future(_next(subscription))
            await asyncio.wait((following, stop), timeout=HEARTBEAT, return_when=asyncio.FIRST_COMPLETED)
            if stop.done():
                break
            if following.done():
                found, following = following.result(), None
                yield found.framed(framing, framing.frame)
                if found.request_error:
                    break
            else:
                yield framing.heartbeat
        yield framing.end
    finally:
        await subscription.aclose()  # first: a response that is cancelled may be cancelled again at the next await
        tasks: list[asyncio.Future[Any]] = [stop] if following is None else [stop, following]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _next(subscription: Subscription) -> Answer:
    """The next answer; the reason for which the stream ends comes as the last one."""
    try:
        return await subscription.__anext__()
    except GqlAppError as error:
        return refusal_of(error)


FRAMINGS: dict[str, Framing] = {"text/event-stream": ServerSentEvents(), "multipart/mixed": Multipart()}
