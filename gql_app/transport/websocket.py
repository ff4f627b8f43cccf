"""The graphql-transport-ws protocol over bare ASGI messages. A socket's life is in `socket`."""

from collections.abc import Awaitable, Callable

from starlette.types import Receive, Scope, Send

from gql_app.api.context import Context
from gql_app.changes.cursors import Cursor
from gql_app.execution.engine import Engine
from gql_app.execution.trusted import TrustedDocuments
from gql_app.transport.frames import EXTENSION
from gql_app.transport.protocol import PROTOCOL
from gql_app.transport.socket import Socket


class WebSocketEndpoint:
    """Answers WebSockets to ``/graphql``."""

    def __init__(
        self,
        engine: Engine,
        make_context: Callable[[str | None, str], Awaitable[Context]],
        position: Callable[[], Cursor],
        trusted: TrustedDocuments,
        *,
        fast: bool = True,
    ) -> None:
        """``position`` is where the process stands in the log; ``fast``: with ready-made frames (see `frames`)."""
        self._engine = engine
        self._make_context = make_context
        self._position = position
        self._trusted = trusted
        self._fast = fast

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect
        try:
            if PROTOCOL not in scope.get("subprotocols", ()):
                await send({"type": "websocket.accept"})
                await send({"type": "websocket.close", "code": 4406, "reason": "Subprotocol not acceptable"})
                return
            await send({"type": "websocket.accept", "subprotocol": PROTOCOL})
        except OSError:  # the client has gone meanwhile
            return
        client = (scope.get("client") or ("",))[0]
        write = scope.get("extensions", {}).get(EXTENSION) if self._fast else None
        await Socket(
            self._engine, self._make_context, self._position, self._trusted, receive, send, client, write
        ).serve()
