"""A process behind ASGI: its transports, its pages, and the door before them."""

import contextlib
import logging
import resource
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from typing import Any, cast
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute
from starlette.types import ASGIApp
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from gql_app.app import App
from gql_app.deliveries.reports import report_routes
from gql_app.execution.engine import Engine
from gql_app.execution.trusted import TrustedDocuments
from gql_app.limiter import Budgets
from gql_app.mailbox.routes import mailbox_routes
from gql_app.ops.routes import ops_routes
from gql_app.pages.site import graphiql_page, page_routes
from gql_app.schema import build
from gql_app.server import announced_stop, leave_alone_what_stays
from gql_app.settings import Settings
from gql_app.transport.connections import LIMITS, ConnectionLimits
from gql_app.transport.door import LOCAL, Door, Hosts, ShortWay, origin_of
from gql_app.transport.http import HttpEndpoint
from gql_app.transport.websocket import WebSocketEndpoint
from gql_app.vertical import Vertical

OTHER_FILES = 200
"""Open files that are no clients' connections: those of the database, of providers, the log."""

logger = logging.getLogger(__name__)


def create_app(settings: Settings | None = None, verticals: Sequence[Vertical] | None = None) -> ASGIApp:
    """The ASGI application of these verticals; it opens and closes everything in its lifespan."""
    return create_asgi(App(settings or Settings.from_environment(), verticals))


def create_asgi(app: App) -> ASGIApp:
    """The parts of a process behind ASGI."""

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[Mapping[str, object]]:
        async with app.running(deliver=app.settings.inline_worker):
            leave_alone_what_stays()
            with announced_stop(app.stopping):
                yield {LIMITS: _connection_limits(app.settings)}
            app.stopping.set()
            engine.close()

    settings = app.settings
    budgets = Budgets(settings.address_budget, settings.viewer_budget)
    schema = build(app.application.verticals, fast=settings.fast)
    engine = Engine(schema, fast=settings.fast, budgets=budgets, introspection=settings.introspection)
    page = partial(graphiql_page, demo=settings.demo, mailbox=settings.mailbox, shown=settings.graphiql)
    trusted = TrustedDocuments.read(settings.documents, only=settings.documents_only)
    http = HttpEndpoint(engine, app.make_context, page, app.stopping, trusted)
    websocket = WebSocketEndpoint(engine, app.make_context, lambda: app.feed.cursor, trusted, fast=settings.fast)
    whole: ASGIApp = ShortWay("/graphql", http, websocket, Starlette(routes=_routes(app), lifespan=lifespan))
    if origins := list(settings.cors_origins):
        whole = CORSMiddleware(whole, allow_origins=origins, allow_methods=["GET", "POST"], allow_headers=["*"])
    whole = _door(whole, settings)
    if settings.trusted_proxies:
        proxies = [str(each) for each in settings.trusted_proxies]
        whole = cast(ASGIApp, ProxyHeadersMiddleware(cast(Any, whole), proxies))
    return whole


def _door(whole: ASGIApp, settings: Settings) -> Door:
    """For development also the names and addresses of one's own machine: they are nobody else's page."""
    public = urlsplit(settings.public_url).hostname or ""
    names = [public, *settings.allowed_hosts, *(() if settings.production else LOCAL)]
    origins = [origin_of(settings.public_url), *settings.cors_origins]
    hosts = Hosts(names, any_address=not settings.production)
    return Door(whole, hosts, origins, encrypted=settings.public_url.startswith("https://"))


def _connection_limits(settings: Settings) -> ConnectionLimits:
    """Must hold: a connection is refused with a word before the process runs out of files, which is silent."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    room = settings.max_connections if files == resource.RLIM_INFINITY else max(files - OTHER_FILES, OTHER_FILES)
    if room < settings.max_connections:
        logger.warning("this process may open %s files, so it takes %s connections; raise its limit", files, room)
    at_all = min(settings.max_connections, room)
    return ConnectionLimits(at_all, settings.connections_per_address, proxies=settings.trusted_proxies)


def _routes(app: App) -> list[BaseRoute]:
    settings = app.settings
    routes: list[BaseRoute] = [
        *ops_routes(app.db, app.feed, app.workers.channels, app.backend, settings.metrics_token),
        *report_routes(app.db, settings),
        *page_routes(
            demo=settings.demo, mailbox=settings.mailbox, graphiql=settings.graphiql, version=version("gql-app")
        ),
    ]
    if settings.mailbox:
        routes += mailbox_routes(app.db, app.feed, app.application.texts, app.stopping)
    return routes
