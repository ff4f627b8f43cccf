"""GraphQL over HTTP: reading the request, and answering in the way that the client asked for."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Protocol

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from gql_app.api.context import Context
from gql_app.errors import Interrupted
from gql_app.execution.answers import Answer, refusal_of, refusal_of_unexpected
from gql_app.execution.engine import Engine, GraphQLRequest, Operation, Running
from gql_app.execution.operations import is_mutation, is_subscription
from gql_app.execution.patience import as_interruption
from gql_app.execution.trusted import DocumentRefused, TrustedDocuments
from gql_app.limiter import Whose
from gql_app.transport.requests import BadRequest, parse_json, read_request
from gql_app.transport.streams import COMPLETED, EVENT_STREAM, FRAMINGS, Framing, frames

logger = logging.getLogger(__name__)

MAX_BODY = 256 * 1024
"""Bytes of a request's body."""
BODY_TIMEOUT = 20.0
"""Seconds in which a request's body must have come."""
SEND_TIMEOUT = 20.0
"""Seconds that a client may leave a part of a stream unread."""
RETRY_AFTER = "1"
"""Seconds after which a client may ask again, when the database is away."""
JSON = "application/json"
_ASKING = frozenset({"query", "documentId", "extensions"})
"""Parameters of an address that asks something; without one it is a browser that looks."""
GRAPHQL_JSON = "application/graphql-response+json"

STOPPING_STATUS = {"UNAUTHENTICATED": 401, "FORBIDDEN": 403}
"""A browser's EventSource reconnects after 200, and gives up after any other status."""


class MakeContext(Protocol):
    """Makes the context of an operation from an Authorization header, the address of the client and a ticket."""

    def __call__(self, authorization: str | None, client: str, ticket: str | None = None) -> Awaitable[Context]: ...


class HttpEndpoint:
    """Answers GET and POST requests to ``/graphql``."""

    def __init__(
        self,
        engine: Engine,
        make_context: MakeContext,
        page: Callable[[], Response],
        stopping: asyncio.Event,
        trusted: TrustedDocuments,
    ) -> None:
        """``page`` is shown to a browser that opens the address."""
        self._engine = engine
        self._trusted = trusted
        self._make_context = make_context
        self._page = page
        self._stopping = stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            response = await self._respond(request)
        except ClientDisconnect:
            return
        except Exception as error:
            away = {"Retry-After": RETRY_AFTER} if as_interruption(error) is not None else None
            response = _json(refusal_of_unexpected(error), 503 if away else 500, JSON, away)
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        accepted = _accepted(request)
        if request.method not in ("GET", "POST"):
            return _json(refusal_of(BadRequest("Use POST.")), 405, JSON, {"Allow": "GET, POST"})
        if request.method == "GET" and not _ASKING & request.query_params.keys() and "text/html" in accepted:
            return self._page()
        kind = _kind(accepted)
        if kind is None:
            return _json(refusal_of(BadRequest(f"Accept {GRAPHQL_JSON} or {JSON}.")), 406, JSON)
        try:
            graphql_request = await _read(request, self._trusted)
        except (DocumentRefused, BadRequest) as error:
            is_bad = isinstance(error, BadRequest)
            return _json(refusal_of(error), 400, _plain(kind)) if is_bad else _answered(refusal_of(error), kind)
        except _TooLarge:
            return _json(refusal_of(BadRequest(f"A request may have {MAX_BODY} bytes.")), 413, JSON)
        except _UnsupportedType:
            return _json(refusal_of(BadRequest(f"Send {JSON}.")), 415, JSON)
        except TimeoutError:
            late = BadRequest(f"The request did not come within {BODY_TIMEOUT:.0f} seconds.")
            return _json(refusal_of(late), 408, JSON, {"Connection": "close"})
        return await self._execute(request, graphql_request, accepted, kind)

    async def _execute(
        self, request: Request, graphql_request: GraphQLRequest, accepted: list[str], kind: str
    ) -> Response:
        if (key := request.headers.get("idempotency-key")) is not None:
            graphql_request = replace(graphql_request, idempotency_key=key)
        operation = await self._engine.prepare(graphql_request, Whose(_client(request)))
        if isinstance(operation, Answer):
            return _answered(operation, kind)
        if request.method == "GET" and is_mutation(operation.definition):
            return _json(refusal_of(BadRequest("Mutations need POST.")), 405, _plain(kind), {"Allow": "POST"})
        name = next((each for each in accepted if each in FRAMINGS), None)
        is_event_source = request.method == "GET" and name == EVENT_STREAM and is_subscription(operation.definition)
        ticket = request.query_params.get("ticket") if request.method == "GET" else None
        if ticket is not None and not is_event_source:
            wrong = BadRequest(
                "A `ticket` is for a subscription by GET with Accept: text/event-stream, and nothing else."
            )
            return _json(refusal_of(wrong), 400, _plain(kind))
        make_context = partial(self._make_context, request.headers.get("authorization"), _client(request), ticket)
        if not is_subscription(operation.definition):
            return _answered(await self._engine.run(operation, await make_context()), kind)
        if name is None:
            message = "A subscription needs a WebSocket, or Accept: text/event-stream or multipart/mixed."
            return _json(refusal_of(BadRequest(message)), 406, _plain(kind))
        return await self._stream(request, operation, make_context, FRAMINGS[name], is_event_source=is_event_source)

    async def _stream(
        self,
        request: Request,
        operation: Operation,
        make_context: Callable[[], Awaitable[Context]],
        framing: Framing,
        *,
        is_event_source: bool,
    ) -> Response:
        last = request.headers.get("last-event-id")
        if last == COMPLETED:
            return Response(status_code=204)
        subscription: Running | Answer | Interrupted
        try:
            subscription = await self._engine.subscribe(operation, replace(await make_context(), last_event_id=last))
        except Exception as error:
            away = as_interruption(error)
            if away is None:
                raise
            subscription = away  # no status but 200 lets an EventSource come back
        if isinstance(subscription, Answer) and is_event_source and (status := STOPPING_STATUS.get(subscription.code)):
            return _json(subscription, status, JSON)
        return _Stream(
            subscription,
            frames(subscription, framing, self._stopping),
            self._stopping,
            headers={
                "Content-Type": framing.content_type,
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",
            },
        )


class _Stream(StreamingResponse):
    """A response that goes on; a client that does not read it is cut off."""

    def __init__(
        self,
        subscription: Running | Answer | Interrupted,
        body: AsyncIterator[bytes],
        stopping: asyncio.Event,
        headers: dict[str, str],
    ) -> None:
        super().__init__(body, headers=headers)
        self._subscription = subscription
        self._stopping = stopping

    async def stream_response(self, send: Send) -> None:
        async def send_in_time(message: dict[str, object]) -> None:
            async with asyncio.timeout(SEND_TIMEOUT):
                await send(message)

        await super().stream_response(send_in_time)  # type: ignore[arg-type]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        except TimeoutError:
            logger.info("a stream was left unread for %s seconds and is cut off", SEND_TIMEOUT)
        except asyncio.CancelledError:
            if not self._stopping.is_set():
                raise
            logger.info("a stream was left unread and is cut off: the process stops")
        finally:
            # Here too: a body that was never begun ends without running anything.
            running = None if isinstance(self._subscription, Answer | Interrupted) else self._subscription
            if running is not None:
                running.leave()
            await self.body_iterator.aclose()  # type: ignore[attr-defined]
            if running is not None:
                await running.aclose()


class _TooLarge(Exception):
    pass


class _UnsupportedType(Exception):
    pass


async def _read(request: Request, trusted: TrustedDocuments) -> GraphQLRequest:
    if request.method == "GET":
        params = request.query_params
        payload = {name: params[name] for name in ("query", "documentId", "operationName") if name in params}
        for name in ("variables", "extensions"):
            if params.get(name):
                payload[name] = parse_json(params[name])
        return read_request(payload, trusted)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != JSON:
        raise _UnsupportedType
    declared = request.headers.get("content-length", "0")
    if not declared.isdecimal() or int(declared) > MAX_BODY:
        raise _TooLarge
    body = b""
    async with asyncio.timeout(BODY_TIMEOUT):
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY:
                raise _TooLarge
    return read_request(parse_json(body), trusted)


def _accepted(request: Request) -> list[str]:
    """The media types that the client takes, the most wanted first."""
    header = ",".join(request.headers.getlist("accept")) or "*/*"
    wanted = []
    for index, part in enumerate(header.split(",")):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        try:
            weight = float(quality)
        except ValueError:
            weight = 0.0
        if name and weight > 0:
            wanted.append((-weight, index, name))
    return [name for _, _, name in sorted(wanted)]


def _kind(accepted: list[str]) -> str | None:
    """How to answer what is no stream: JSON wherever the client takes it (clients that also take event streams
    cannot always split a single answer out of one)."""
    for name in accepted:
        if name in (GRAPHQL_JSON, JSON):
            return name
    if "*/*" in accepted or "application/*" in accepted:
        return JSON
    if any(name in FRAMINGS for name in accepted):
        return next(name for name in accepted if name in FRAMINGS)
    return None


def _plain(kind: str) -> str:
    return kind if kind in (JSON, GRAPHQL_JSON) else JSON


def _answered(answer: Answer, kind: str) -> Response:
    """GraphQL over HTTP, section 6.4: with its own media type a request error is a 400, with plain JSON a 200."""
    if kind in FRAMINGS:
        framing = FRAMINGS[kind]
        return Response(
            framing.begin + framing.frame(answer) + framing.end, headers={"Content-Type": framing.content_type}
        )
    if answer.retry_after is not None:
        return _json(answer, 429, kind, {"Retry-After": str(answer.retry_after)})
    status = 400 if answer.request_error and kind == GRAPHQL_JSON else 200
    return _json(answer, status, kind)


def _json(answer: Answer, status: int, kind: str, headers: dict[str, str] | None = None) -> Response:
    return Response(
        answer.body,
        status,
        {"Content-Type": f"{kind}; charset=utf-8", "Cache-Control": "no-store", **(headers or {})},
    )


def _client(request: Request) -> str:
    return request.client.host if request.client else ""
