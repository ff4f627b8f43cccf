"""Our transports over a schema of the test's own, behind a real socket."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import strawberry
import uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute

from gql_app.api.context import Context
from gql_app.app import App
from gql_app.execution.engine import Engine
from gql_app.execution.trusted import TrustedDocuments
from gql_app.testing.server import listening
from gql_app.transport.http import HttpEndpoint
from gql_app.transport.websocket import WebSocketEndpoint
from tests.fast import FAST


@contextlib.asynccontextmanager
async def serving_schema(schema: strawberry.Schema, app: App, *, signed_in: bool = False) -> AsyncIterator[str]:
    """Serve the schema; yields the address. ``signed_in``: to those whom the app knows, otherwise to anybody."""

    async def make_context(authorization: str | None, client: str, ticket: str | None = None) -> Context:
        if signed_in:
            return await app.make_context(authorization, client, ticket)
        return Context(app.db, app.feed, app.settings, app.resources, arrived_at=app.feed.cursor, _client=client)

    engine = Engine(schema, fast=FAST)
    routes = [
        Route("/graphql", HttpEndpoint(engine, make_context, Response, asyncio.Event(), TrustedDocuments())),
        WebSocketRoute(
            "/graphql", WebSocketEndpoint(engine, make_context, lambda: app.feed.cursor, TrustedDocuments(), fast=FAST)
        ),
    ]
    async with listening(uvicorn.Config(Starlette(routes=routes), log_level="warning", lifespan="off")) as url:
        yield url
