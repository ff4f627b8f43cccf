"""``/healthz``: the process runs. ``/readyz``: it can do its work. ``/metrics``: numbers for Prometheus."""

import contextlib
import secrets
from collections.abc import Sequence

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest
from prometheus_client.registry import REGISTRY
from sqlalchemy import func, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from gql_app.changes import log
from gql_app.changes.broadcast import ReconnectingBackend
from gql_app.changes.feed import Feed
from gql_app.db import Database
from gql_app.deliveries.models import Delivery
from gql_app.deliveries.worker import ChannelWorker
from gql_app.settings import Secret


def _backlog(session: Session) -> dict[tuple[str, str], int]:
    query = (
        select(Delivery.channel, Delivery.state, func.count())
        .where(Delivery.due_at.is_not(None))
        .group_by(Delivery.channel, Delivery.state)
    )
    # The state is written out: only so a database sees that the index of the dead ones has them all.
    dead = select(Delivery.channel, func.count()).where(text("state = 'DEAD'")).group_by(Delivery.channel)
    return {(channel.name, state.name): count for channel, state, count in session.execute(query)} | {
        (channel.name, "DEAD"): count for channel, count in session.execute(dead)
    }


def ops_routes(
    db: Database,
    feed: Feed,
    channels: Sequence[ChannelWorker],
    backend: ReconnectingBackend | None,
    metrics_token: Secret | None = None,
) -> list[Route]:
    """With a token, `/metrics` is for those who send it: `Authorization: Bearer …`."""
    registry = CollectorRegistry()
    watches = Gauge("gql_app_watches", "Open subscriptions in this process", registry=registry)
    position = Gauge("gql_app_feed_position", "How far this process has read the change log", registry=registry)
    head = Gauge("gql_app_log_head", "Where the change log ends", registry=registry)
    backlog = Gauge(
        "gql_app_deliveries", "Deliveries that are unfinished or dead", ["channel", "state"], registry=registry
    )

    async def healthz(request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(request: Request) -> Response:
        problems = [
            f"{channel.name} is paused: the provider refuses our credentials" for channel in channels if channel.paused
        ]
        if backend is not None and not backend.connected:
            problems.append("the broadcaster is away: changes of other processes are found by polling")
        try:
            end = await db.read(log.head)
        except (SQLAlchemyError, OSError):
            return JSONResponse({"status": "unavailable", "problems": ["the database cannot be reached"]}, 503)
        status = "degraded" if problems else "ready"
        return JSONResponse({"status": status, "problems": problems, "logHead": end, "feedPosition": feed.position})

    async def metrics(request: Request) -> Response:
        if metrics_token is not None:
            given = request.headers.get("authorization", "").encode("utf-8", "surrogateescape")
            if not secrets.compare_digest(given, f"Bearer {metrics_token.reveal()}".encode()):
                said = "Send the token of GQL_APP_METRICS_TOKEN as Authorization: Bearer.\n"
                return PlainTextResponse(said, 401, {"WWW-Authenticate": "Bearer"})
        watches.set(feed.watches)
        position.set(feed.position)
        backlog.clear()
        with contextlib.suppress(SQLAlchemyError, OSError):  # what is known without the database is told also then
            head.set(await db.read(log.head))
            for (channel, state), count in (await db.read(_backlog)).items():
                backlog.labels(channel, state).set(count)
        return Response(generate_latest(REGISTRY) + generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)]
