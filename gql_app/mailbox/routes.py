"""What the mailbox page reads: a page of messages, and a stream of what comes or changes."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from gql_app.changes.feed import Feed
from gql_app.changes.scope import Scope
from gql_app.changes.topics import Topic
from gql_app.db import Database
from gql_app.deliveries.models import Delivery
from gql_app.deliveries.texts import Texts

PAGE = 50
HEARTBEAT = 12.0


def _shown(row: Delivery, texts: Texts) -> dict[str, Any]:
    said = texts.shown(row)
    return {
        "id": str(row.public_id),
        "channel": row.channel.name,
        "state": row.shown_state.name,
        "recipient": row.recipient,
        "subject": said.subject,
        "body": said.body,
        "html": said.html,
        "createdAt": row.created_at.isoformat(timespec="microseconds"),
    }


def _page(session: Session, texts: Texts, before: int | None) -> dict[str, Any]:
    query = select(Delivery).order_by(Delivery.id.desc()).limit(PAGE + 1)
    if before is not None:
        query = query.where(Delivery.id < before)
    rows = session.scalars(query).all()
    more = len(rows) > PAGE
    rows = rows[:PAGE]
    return {"messages": [_shown(row, texts) for row in rows], "next": str(rows[-1].id) if more else None}


def _found(session: Session, texts: Texts, public_id: UUID) -> Sequence[dict[str, Any]]:
    return [_shown(row, texts) for row in session.scalars(select(Delivery).where(Delivery.public_id == public_id))]


def mailbox_routes(db: Database, feed: Feed, texts: Texts, stopping: asyncio.Event) -> list[Route]:
    """``/mailbox/messages?before=CURSOR`` (JSON, newest first) and ``/mailbox/stream`` (Server-Sent Events)."""

    async def messages(request: Request) -> Response:
        before = request.query_params.get("before", "")
        if before and not (before.isascii() and before.isdecimal() and len(before) <= 18):
            return JSONResponse({"error": "`before` must be a cursor from `next`"}, 400)
        return JSONResponse(await db.read(_page, texts, int(before) if before else None))

    async def stream(request: Request) -> Response:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(_events(db, feed, texts, stopping), media_type="text/event-stream", headers=headers)

    return [Route("/mailbox/messages", messages), Route("/mailbox/stream", stream)]


async def _events(db: Database, feed: Feed, texts: Texts, stopping: asyncio.Event) -> AsyncIterator[str]:
    every = Scope(entity_types=frozenset({Delivery.__entity__}))
    watch = feed.watch([Topic(Delivery.__entity__, "state")], every, after=feed.cursor)
    stop = asyncio.ensure_future(stopping.wait())
    following = asyncio.ensure_future(watch.__anext__())
    try:
        yield ":\n\n"
        while not stop.done():
            await asyncio.wait((following, stop), timeout=HEARTBEAT, return_when=asyncio.FIRST_COMPLETED)
            if following.done():
                for message in await db.read(_found, texts, following.result().entity_id):
                    yield f"event: message\ndata: {json.dumps(message)}\n\n"
                following = asyncio.ensure_future(watch.__anext__())
            elif not stop.done():
                yield ":\n\n"
    finally:
        watch.close()
        for task in (stop, following):
            task.cancel()
        await asyncio.gather(stop, following, return_exceptions=True)
