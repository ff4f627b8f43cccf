"""One WebSocket: its messages, and the operations that it has running.

Must hold: what one operation does leaves the others of its socket alone. Each running operation is a task. A message
that makes no sense closes the socket with the protocol's code; an operation that fails gets an ``error`` and leaves the
others alone. How streams end is said in `endings`.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from starlette.types import Receive, Send

from gql_app.api.context import Context
from gql_app.changes.cursors import Cursor
from gql_app.errors import GqlAppError, Interrupted, Overloaded, Unauthenticated
from gql_app.execution.answers import Answer, refusal_of
from gql_app.execution.engine import Engine, Running
from gql_app.execution.operations import is_subscription
from gql_app.execution.patience import as_interruption
from gql_app.execution.trusted import TrustedDocuments
from gql_app.limiter import Whose
from gql_app.transport.endings import FAULT, closing, is_said_first
from gql_app.transport.positions import Positions
from gql_app.transport.protocol import Close, Gone, authorization, beginning, read_id, read_message, short
from gql_app.transport.requests import BadRequest, read_request

logger = logging.getLogger(__name__)

INIT_TIMEOUT = 10.0
"""Seconds in which a client must say `connection_init`."""
SEND_TIMEOUT = 20.0
"""Seconds that a client may leave messages unread before it is cut off."""
MAX_OPERATIONS = 100
"""Operations that one socket may have running."""


class Socket:
    """One client, and the operations that it has running."""

    def __init__(
        self,
        engine: Engine,
        make_context: Callable[[str | None, str], Awaitable[Context]],
        position: Callable[[], Cursor],
        trusted: TrustedDocuments,
        receive: Receive,
        send: Send,
        client: str,
        write: Callable[..., bool] | None,
    ) -> None:
        self._engine = engine
        self._make_context = make_context
        self._position = position
        self._trusted = trusted
        self._receive = receive
        self._raw_send = send
        self._client = client
        self._write = write
        self._authorization: str | None = None
        self._ready = False
        self._operations: dict[str, asyncio.Task[None]] = {}
        self._subscriptions: dict[str, Running] = {}
        self._positions = Positions(self._operations, self._subscriptions, self._send)
        self._stopped: set[asyncio.Task[None]] = set()
        self._end: asyncio.Future[Close | None] = asyncio.get_running_loop().create_future()

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
            self._positions.close()
            await _cancelled(reader, *self._operations.values(), *self._stopped)

    def _close(self, code: int, reason: str) -> None:
        self._ends(Close(code, reason))

    def _ends(self, close: Close | None) -> None:
        """None: the client has gone. What comes first counts."""
        if not self._end.done():
            self._end.set_result(close)

    async def _read(self) -> None:
        """Handle messages in their order, until the client has gone."""
        try:
            async with asyncio.timeout(INIT_TIMEOUT):
                while not self._ready:
                    if not await self._read_one():
                        return
            while await self._read_one():
                pass
        except Gone:
            return
        except Close as close:
            self._close(close.code, close.reason)
        except TimeoutError:
            self._close(4408, "Connection initialisation timeout")
        except Exception as error:
            self._close_after(error)

    async def _read_one(self) -> bool:
        """False: there are no more messages."""
        message = await self._receive()
        if message["type"] != "websocket.receive":
            return False
        await self._handle(message.get("text"))
        return True

    async def _handle(self, text: str | None) -> None:
        message = read_message(text)
        match message.get("type"):
            case "connection_init":
                await self._initialise(message.get("payload"))
            case "ping":
                payload = message.get("payload")
                await self._send({"type": "pong"} if payload is None else {"type": "pong", "payload": payload})
            case "pong":
                pass
            case "subscribe":
                self._start(read_id(message.get("id")), message.get("payload"))
            case "complete":
                self._stop(read_id(message.get("id")))
                if len(self._stopped) >= MAX_OPERATIONS:  # a write goes on until it is done, also a stopped one
                    await asyncio.wait(self._stopped, return_when=asyncio.FIRST_COMPLETED)
            case _:
                raise Close(4400, "Unknown message type")

    async def _initialise(self, payload: object) -> None:
        if self._ready:
            raise Close(4429, "Too many initialisation requests")
        if not isinstance(payload, dict | None):
            raise Close(4400, "The payload must be an object")
        self._authorization = authorization(payload or {})
        context = await self._make_context(self._authorization, self._client)
        if self._authorization and context.viewer is None:
            raise Close(4401, "Unauthorized")  # graphql-ws takes 4401 as final, after 4403 it would try again
        self._ready = True
        await self._send({"type": "connection_ack", "payload": {"position": str(self._position())}})

    def _start(self, operation_id: str, payload: object) -> None:
        if not self._ready:
            raise Close(4401, "Unauthorized")
        if operation_id in self._operations:
            raise Close(4409, f"Subscriber for {short(operation_id)} already exists")
        if len(self._operations) >= MAX_OPERATIONS:
            raise Close(4429, "Too many operations")
        # The context's position in the log is taken here, before anything is awaited: what is committed from now on
        # reaches the subscription, however long it takes to begin.
        context = asyncio.ensure_future(self._make_context(self._authorization, self._client))
        task = asyncio.create_task(self._run(operation_id, [payload], context))
        self._operations[operation_id] = task
        task.add_done_callback(lambda _: self._forget(operation_id, task))
        task.add_done_callback(lambda _: context.cancel())  # a task cancelled at once has not awaited it

    def _stop(self, operation_id: str) -> None:
        """The client wants no more of it; it may use the id again at once."""
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
                await self._end_of(operation_id, error)
        except Gone:
            pass
        except Close as close:
            self._close(close.code, close.reason)
        except TimeoutError:
            self._close_by(Overloaded())
        except Exception as error:
            self._close_after(error)

    async def _end_of(self, operation_id: str, error: GqlAppError) -> None:
        if error.retryable:
            self._positions.mute()
        if is_said_first(error):
            await self._fail(operation_id, refusal_of(error))
        if closing(error) is None or (isinstance(error, Unauthenticated) and not self._authorization):
            return
        if not isinstance(error, Interrupted):
            await self._answers_are_sent()
        self._close_by(error)

    async def _answers_are_sent(self) -> None:
        """Until queries and mutations are through: one of them may bring the token of the new session."""
        asking = [task for name, task in self._operations.items() if name not in self._subscriptions]
        if others := [task for task in asking if task is not asyncio.current_task()]:
            await asyncio.wait(others, timeout=SEND_TIMEOUT)

    def _close_by(self, error: GqlAppError) -> None:
        if (found := closing(error)) is not None:
            self._close(*found)

    def _close_after(self, error: Exception) -> None:
        if (interrupted := as_interruption(error)) is not None:
            logger.warning("a WebSocket is closed, its client may come back: the database is away (%r)", error)
            self._close_by(interrupted)
        else:
            logger.error("a WebSocket failed", exc_info=error)
            self._close(*FAULT)

    async def _operate(self, operation_id: str, payload: list[object], context: Context) -> None:
        try:
            request = read_request(payload.pop(), self._trusted)
        except BadRequest as error:
            raise Close(4400, error.message[:120]) from error
        context.line = id(self)
        operation = await self._engine.prepare(request, Whose(self._client, context.line))
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

    async def _stream(self, operation_id: str, subscription: Running) -> None:
        self._subscriptions[operation_id] = subscription
        if self._write is not None:
            subscription.write_at_once = partial(self._write, beginning(operation_id).encode())
        self._positions.begun()
        try:
            async for answer in subscription:
                await self._next(operation_id, answer)
            await self._send({"type": "complete", "id": operation_id})
        finally:
            await subscription.aclose()

    async def _next(self, operation_id: str, answer: Answer) -> None:
        self._positions.on_their_way += 1
        try:
            await self._send_text(beginning(operation_id) + answer.body + "}")
        finally:
            self._positions.on_their_way -= 1

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
            raise Gone from error


async def _cancelled(*tasks: "asyncio.Future[Any]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
