"""Notes of any length, and those who subscribe to them."""

import contextlib
import json
import socket
from collections.abc import AsyncIterator
from decimal import Decimal

import websockets
from sqlalchemy import select
from sqlalchemy.orm import Session

from gql_app.accounts.models import User
from gql_app.demo.fuel_requests.models import FuelRequest

NOTES = 'subscription ($after: String) { changes(after: $after, filter: {attribute: "note"}) { cursor newValue } }'


def add_notes(session: Session, lengths: list[int]) -> None:
    owner = session.scalars(select(User.id)).first()
    session.add_all(FuelRequest(requester_id=owner, litres=Decimal(1), note="x" * length) for length in lengths)


@contextlib.asynccontextmanager
async def stalled(url: str, token: str | None) -> AsyncIterator[websockets.ClientConnection]:
    """A subscription to all notes that reads nothing until it is asked to."""
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    narrow.connect(("127.0.0.1", int(url.rpartition(":")[2])))
    narrow.setblocking(False)
    protocols = [websockets.Subprotocol("graphql-transport-ws")]
    address = url.replace("http", "ws", 1) + "/graphql"
    async with websockets.connect(
        address, sock=narrow, subprotocols=protocols, max_queue=1, ping_interval=None, proxy=None, max_size=None
    ) as connection:
        init = {"type": "connection_init", "payload": {"Authorization": f"Bearer {token}"}}
        await connection.send(json.dumps(init))
        await connection.recv()
        await connection.send(json.dumps({"type": "subscribe", "id": "s", "payload": {"query": NOTES}}))
        await connection.send(json.dumps({"type": "ping"}))
        assert json.loads(await connection.recv())["type"] == "pong"
        yield connection
