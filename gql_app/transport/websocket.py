"""The graphql-transport-ws protocol over bare ASGI messages (github.com/enisdenjo/graphql-ws, PROTOCOL.md).

Must hold: what one operation does leaves the others of its socket alone. Each running operation is a task. A message
that makes no sense closes the socket with the protocol's code; an operation that fails gets an ``error`` and leaves the
others alone.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from starlette.types import Receive, Scope, Send

from gql_app.api.context import Context
from gql_app.db import is_outage
from gql_app.errors import GqlAppError, Unauthenticated
from gql_app.execution.answers import Answer, refusal_of
from gql_app.execution.documents import is_subscription
from gql_app.execution.engine import Engine
from gql_app.execution.subscription import Subscription
from gql_app.transport.frames import EXTENSION
from gql_app.transport.requests import BadRequest, parse_json, read_request

logger = logging.getLogger(__name__)

PROTOCOL = "graphql-transport-ws"
INIT_TIMEOUT = 10.0
"""Seconds in which a client must say `connection_init`."""
SEND_TIMEOUT = 20.0
"""Seconds that a client may leave messages unread before it is cut off."""
MAX_OPERATIONS = 100
"""Operations that one socket may have running."""


class _Gone(Exception):
    """The client has gone; the reader will hear of it."""


class _Close(Exception):
    """Close the socket with this code (those of the protocol, and 4429 of common use)."""

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(reason)


class WebSocketEndpoint:
    """Answers WebSockets to ``/graphql``."""

    def __init__(
        self, engine: Engine, make_context: Callable[[str | None, str], Awaitable[Context]], *, fast: bool = True
    ) -> None:
        """``fast``: with ready-made frames where the server takes them (see `frames`)."""
        self._engine = engine
        self._make_context = make_context
        self._fast = fast

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect
        if PROTOCOL not in scope.get("subprotocols", ()):
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close", "code": 4406, "reason": "Subprotocol not acceptable"})
            return
        await send({"type": "websocket.accept", "subprotocol": PROTOCOL})
        client = (scope.get("client") or ("",))[0]
        write = scope.get("extensions", {}).get(EXTENSION) if self._fast else None
        await _Socket(self._engine, self._make_context, receive, send, client, write).serve()


class _Socket:
    def __init__(
        self,
        engine: Engine,
        make_context: Callable[[str | None, str], Awaitable[Context]],
        receive: Receive,
        send: Send,
        client: str,
        write: Callable[..., bool] | None,
    ) -> None:
        self._engine = engine
        self._make_context = make_context
        self._receive = receive
        self._raw_send = send
        self._client = client
        self._write = write
        self._authorization: str | None = None
        self._ready = False
        self._operations: dict[str, asyncio.Task[None]] = {}
        self._subscriptions: dict[str, Subscription] = {}
        self._stopped: set[asyncio.Task[None]] = set()
        self._end: asyncio.Future[_Close | None] = asyncio.get_running_loop().create_future()

    async def serve(self) -> None:
        reader = asyncio.ensure_future(self._read())
        reader.add_done_callback(lambda _: self._ends(None))
        try:
            if (close := await self._end) is not None:
                reader.cancel()
                with contextlib.suppress(Exception):
                    async with asyncio.timeout(SEND_TIMEOUT):
                        await self._raw_send({"type": "websocket.close", "code": close.code, "reason": close.reason})
        finally:
            await _cancelled(reader, *self._operations.values(), *self._stopped)

    def _close(self, code: int, reason: str) -> None:
        self._ends(_Close(code, reason))

    def _ends(self, close: _Close | None) -> None:
        """None: the client has gone. What comes first counts."""
        if not self._end.done():
            self._end.set_result(close)

    async def _read(self) -> None:
        """Handle messages in their order, until the client has gone."""
        try:
            while True:
                if self._ready:
                    message = await self._receive()
                else:
                    async with asyncio.timeout(INIT_TIMEOUT):
                        message = await self._receive()
                if message["type"] != "websocket.receive":
                    return
                await self._handle(message.get("text"))
        except _Close as close:
            self._close(close.code, close.reason)
        except TimeoutError:
            self._close(4408, "Connection initialisation timeout")
        except Exception as error:
            self._close_after(error)

    async def _handle(self, text: str | None) -> None:
        try:
            message = parse_json(text if text is not None else "")
        except BadRequest as error:
            raise _Close(4400, "Messages must be JSON texts") from error
        if not isinstance(message, dict):
            raise _Close(4400, "Messages must be JSON objects")
        match message.get("type"):
            case "connection_init":
                await self._initialise(message.get("payload"))
            case "ping":
                await self._send({"type": "pong"})
            case "pong":
                pass
            case "subscribe":
                self._start(message.get("id"), message.get("payload"))
            case "complete":
                self._stop(message.get("id"))
                if len(self._stopped) >= MAX_OPERATIONS:  # a write goes on until it is done, also a stopped one
                    await asyncio.wait(self._stopped, return_when=asyncio.FIRST_COMPLETED)
            case _:
                raise _Close(4400, "Unknown message type")

    async def _initialise(self, payload: object) -> None:
        if self._ready:
            raise _Close(4429, "Too many initialisation requests")
        if not isinstance(payload, dict | None):
            raise _Close(4400, "The payload must be an object")
        self._authorization = _authorization(payload or {})
        context = await self._make_context(self._authorization, self._client)
        if self._authorization and context.viewer is None:
            raise _Close(4401, "Unauthorized")  # graphql-ws takes 4401 as final, after 4403 it would try again
        self._ready = True
        await self._send({"type": "connection_ack"})

    def _start(self, operation_id: object, payload: object) -> None:
        if not self._ready:
            raise _Close(4401, "Unauthorized")
        if not isinstance(operation_id, str) or not operation_id or len(operation_id) > 128:
            raise _Close(4400, "The id must be a text")
        if operation_id in self._operations:
            raise _Close(4409, "Subscriber for this id already exists")
        if len(self._operations) >= MAX_OPERATIONS:
            raise _Close(4429, "Too many operations")
        # The context's position in the log is taken here, before anything is awaited: what is committed from now on
        # reaches the subscription, however long it takes to begin.
        context = asyncio.ensure_future(self._make_context(self._authorization, self._client))
        task = asyncio.create_task(self._run(operation_id, [payload], context))
        self._operations[operation_id] = task
        task.add_done_callback(lambda _: self._forget(operation_id, task))
        task.add_done_callback(lambda _: context.cancel())  # a task cancelled at once has not awaited it

    def _stop(self, operation_id: object) -> None:
        """The client wants no more of it; it may use the id again at once."""
        if not isinstance(operation_id, str):
            return
        task = self._operations.pop(operation_id, None)
        if task is not None:
            if (subscription := self._subscriptions.pop(operation_id, None)) is not None:
                subscription.leave()  # at once: nothing under this id comes from it any more
            self._stopped.add(task)
            task.add_done_callback(self._stopped.discard)
            task.cancel()

    def _forget(self, operation_id: str, task: "asyncio.Task[None]") -> None:
        if self._operations.get(operation_id) is task:
            del self._operations[operation_id]
            self._subscriptions.pop(operation_id, None)

    async def _run(self, operation_id: str, payload: list[object], context: "asyncio.Future[Context]") -> None:
        try:
            try:
                await self._operate(operation_id, payload, await context)
            except GqlAppError as error:
                await self._fail(operation_id, refusal_of(error))
                if isinstance(error, Unauthenticated) and self._authorization:
                    self._close(4401, "Unauthorized")
        except _Gone:
            pass
        except TimeoutError:
            self._close(4408, "Messages were left unread")
        except Exception as error:
            self._close_after(error)

    def _close_after(self, error: Exception) -> None:
        """graphql-ws takes 1011 as final; after 1013 it tries again (its client.ts, isFatalInternalCloseCode)."""
        if is_outage(error):
            logger.warning("a WebSocket is closed, its client may come back: the database is away (%r)", error)
            self._close(1013, "Try again later")
        else:
            logger.error("a WebSocket failed", exc_info=error)
            self._close(1011, "Internal error")

    async def _operate(self, operation_id: str, payload: list[object], context: Context) -> None:
        operation = await self._engine.prepare(read_request(payload.pop()))
        if isinstance(operation, Answer):
            return await self._fail(operation_id, operation)
        if not is_subscription(operation.definition):
            found = await self._engine.run(operation, context)
            if found.request_error:
                return await self._fail(operation_id, found)
            await self._next(operation_id, found)
            return await self._send({"type": "complete", "id": operation_id})
        subscription = await self._engine.subscribe(operation, context)
        if isinstance(subscription, Answer):
            return await self._fail(operation_id, subscription)
        await self._stream(operation_id, subscription)

    async def _stream(self, operation_id: str, subscription: Subscription) -> None:
        self._subscriptions[operation_id] = subscription
        if self._write is not None:
            subscription.write_at_once = partial(self._write, _beginning(operation_id).encode())
        try:
            async for answer in subscription:
                await self._next(operation_id, answer)
        finally:
            subscription.leave()

    async def _next(self, operation_id: str, answer: Answer) -> None:
        await self._send_text(_beginning(operation_id) + answer.body + "}")

    async def _fail(self, operation_id: str, answer: Answer) -> None:
        errors = json.loads(answer.body)["errors"]
        await self._send({"id": operation_id, "type": "error", "payload": errors})

    async def _send(self, message: dict[str, Any]) -> None:
        await self._send_text(json.dumps(message, separators=(",", ":")))

    async def _send_text(self, text: str) -> None:
        if self._write is not None and self._write(b"", (text.encode(),)):
            return
        try:
            async with asyncio.timeout(SEND_TIMEOUT):
                await self._raw_send({"type": "websocket.send", "text": text})
        except TimeoutError:
            raise
        except OSError as error:  # ASGI's word for it
            raise _Gone from error


def _beginning(operation_id: str) -> str:
    """What comes before the answer in a `next` message."""
    return f'{{"id":{json.dumps(operation_id)},"type":"next","payload":'


def _authorization(payload: dict[str, Any]) -> str | None:
    """The payload's ``Authorization``, or the same in a ``headers`` object as GraphiQL and Apollo send it."""
    headers = payload.get("headers")
    for source in (payload, headers if isinstance(headers, dict) else {}):
        for name, value in source.items():
            if name.lower() == "authorization" and isinstance(value, str) and value:
                return value
    return None


async def _cancelled(*tasks: "asyncio.Future[Any]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
