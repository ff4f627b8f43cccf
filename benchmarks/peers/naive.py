"""The naive stack: what one gets by following the documentation of each part.

A session per resolver, the requester loaded for each request (N+1), Strawberry's own GraphQL application, and one
subscription to the broadcaster per subscriber, each of which parses and executes every event for itself.
"""

import contextlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from itertools import count

import strawberry
from broadcaster import Broadcast
from sqlalchemy import select
from sqlalchemy.ext.asyncio import async_sessionmaker
from starlette.applications import Starlette
from starlette.routing import Route, WebSocketRoute
from strawberry.asgi import GraphQL

from benchmarks.peers import models

engine = models.make_engine()
new_session = async_sessionmaker(engine, expire_on_commit=False)
broadcast = Broadcast("memory://")
numbers = count(1)


@strawberry.type
class User:
    id: strawberry.ID
    username: str


@strawberry.type
class FuelRequest:
    id: strawberry.ID
    status: str
    litres: str
    requester_id: strawberry.Private[int]

    @strawberry.field
    async def requester(self) -> User:
        async with new_session() as session:
            user = await session.get_one(models.User, self.requester_id)
        return User(id=strawberry.ID(str(user.id)), username=user.username)

    @classmethod
    def of(cls, row: models.FuelRequest) -> "FuelRequest":
        return cls(id=strawberry.ID(str(row.id)), status=row.status, litres=row.litres, requester_id=row.requester_id)


@strawberry.type
class StatusChange:
    request_id: strawberry.Private[int]
    cursor: str
    previous_status: str
    status: str
    occurred_at: datetime

    @strawberry.field
    async def fuel_request(self) -> FuelRequest:
        async with new_session() as session:
            return FuelRequest.of(await session.get_one(models.FuelRequest, self.request_id))


@strawberry.type
class Query:
    @strawberry.field
    async def fuel_request(self, id: strawberry.ID) -> FuelRequest | None:
        async with new_session() as session:
            row = await session.get(models.FuelRequest, int(id))
        return FuelRequest.of(row) if row else None

    @strawberry.field
    async def fuel_requests(self, first: int) -> list[FuelRequest]:
        async with new_session() as session:
            query = select(models.FuelRequest).order_by(models.FuelRequest.id.desc()).limit(first)
            return [FuelRequest.of(row) for row in await session.scalars(query)]


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def decide(self, id: strawberry.ID, status: str) -> FuelRequest:
        async with new_session() as session:
            row = await session.get_one(models.FuelRequest, int(id))
            previous, row.status = row.status, status
            await session.commit()
        event = {
            "request_id": row.id,
            "owner_id": row.requester_id,
            "cursor": str(next(numbers)),
            "previous_status": previous,
            "status": status,
            "occurred_at": datetime.now(UTC).isoformat(),
        }
        await broadcast.publish("status", json.dumps(event))
        return FuelRequest.of(row)


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def status_changed(self, owner_id: int | None = None) -> AsyncIterator[StatusChange]:
        """With ``owner_id`` only what is hers; there is no signing in here."""
        async with broadcast.subscribe("status") as events:
            async for message in events:  # type: ignore[union-attr]
                event = json.loads(message.message)  # type: ignore[union-attr]
                owner = event.pop("owner_id")
                if owner_id in (None, owner):
                    occurred_at = datetime.fromisoformat(event.pop("occurred_at"))
                    yield StatusChange(**event, occurred_at=occurred_at)


graphql = GraphQL(strawberry.Schema(Query, Mutation, Subscription))


@contextlib.asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    async with broadcast:
        yield
    await engine.dispose()


app = Starlette(routes=[Route("/graphql", graphql), WebSocketRoute("/graphql", graphql)], lifespan=lifespan)
