"""The limits: the same SQL as JSON without GraphQL, and one ready-made text to every WebSocket.

`BENCH_RAW` chooses how SQL is run: ``aiosqlite`` (one bare connection, the quicker one) or ``sqlalchemy`` (SQLAlchemy
asyncio on aiosqlite, a pooled connection per request). The broadcast needs no database and commits nothing.
"""

import contextlib
import json
import os
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from itertools import count
from typing import Any

import aiosqlite
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from benchmarks.peers import models

SELECT = (
    "SELECT r.id, r.status, r.litres, u.id, u.username "
    "FROM fuel_requests AS r JOIN users AS u ON u.id = r.requester_id "
)
ONE = SELECT + "WHERE r.id = ?"
PAGE = SELECT + "ORDER BY r.id DESC LIMIT ?"
DECIDE = "UPDATE fuel_requests SET status = ? WHERE id = ?"


class Bare:
    """One connection of aiosqlite, that is one thread. Writers share its transaction: one commit may serve several."""

    async def open(self) -> None:
        self._connection = await aiosqlite.connect(models.database_path())
        for pragma in models.PRAGMAS:
            await self._connection.execute("PRAGMA " + pragma)

    async def close(self) -> None:
        await self._connection.close()

    async def rows(self, sql: str, values: tuple[Any, ...]) -> Sequence[Sequence[Any]]:
        return list(await self._connection.execute_fetchall(sql, values))

    async def write(self, sql: str, values: tuple[Any, ...]) -> None:
        await self._connection.execute(sql, values)
        await self._connection.commit()


class Pooled:
    """SQLAlchemy's engine, a connection from its pool per request."""

    async def open(self) -> None:
        self._engine = models.make_engine()

    async def close(self) -> None:
        await self._engine.dispose()

    async def rows(self, sql: str, values: tuple[Any, ...]) -> Sequence[Sequence[Any]]:
        async with self._engine.connect() as connection:
            return (await connection.exec_driver_sql(sql, values)).all()

    async def write(self, sql: str, values: tuple[Any, ...]) -> None:
        async with self._engine.begin() as connection:
            await connection.exec_driver_sql(sql, values)


database: Bare | Pooled = Pooled() if os.environ.get("BENCH_RAW") == "sqlalchemy" else Bare()
sockets: set[WebSocket] = set()
numbers = count(1)


def _shown(row: Sequence[Any]) -> dict[str, Any]:
    return {
        "id": str(row[0]),
        "status": row[1],
        "litres": row[2],
        "requester": {"id": str(row[3]), "username": row[4]},
    }


def _json(data: Any) -> Response:
    return Response(json.dumps({"data": data}, separators=(",", ":")), media_type="application/json")


async def one(request: Request) -> Response:
    asked = await request.json()
    return _json(_shown((await database.rows(ONE, (asked["id"],)))[0]))


async def page(request: Request) -> Response:
    asked = await request.json()
    return _json([_shown(row) for row in await database.rows(PAGE, (asked["first"],))])


async def decide(request: Request) -> Response:
    asked = await request.json()
    await database.write(DECIDE, (asked["status"], asked["id"]))
    return _json(asked)


async def publish(request: Request) -> Response:
    for _ in (await request.json())["ids"]:
        event = {
            "cursor": str(next(numbers)),
            "previousStatus": "PENDING",
            "status": "APPROVED",
            "occurredAt": datetime.now(UTC).isoformat(),
        }
        message = {"id": "1", "type": "next", "payload": {"data": {"statusChanged": event}}}
        text = json.dumps(message, separators=(",", ":"))
        for socket in tuple(sockets):
            await socket.send_text(text)
    return _json({})


async def listen(socket: WebSocket) -> None:
    await socket.accept()
    sockets.add(socket)
    try:
        while (await socket.receive())["type"] != "websocket.disconnect":
            pass
    finally:
        sockets.discard(socket)


@contextlib.asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    await database.open()
    yield
    await database.close()


app = Starlette(
    routes=[
        *(Route(f"/{each.__name__}", each, methods=["POST"]) for each in (one, page, decide, publish)),
        WebSocketRoute("/graphql", listen),
    ],
    lifespan=lifespan,
)
