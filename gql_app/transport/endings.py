"""How streams end, the same for WebSocket, Server-Sent Events and multipart.

Must hold: only an operation's own end says `complete`, after its last event or the error that is final. Everything that
may be better a little later looks like a lost line, or says ``retryable: true``: the client comes back after its last
cursor, and nothing is missed.
The table is in docs/frontend.md, and tested.
"""

import json
from typing import Any

from gql_app.errors import GqlAppError, Interrupted, SessionReplaced, Stopping, Unauthenticated, code_text
from gql_app.execution.answers import refusal_of

SERVICE_RESTART, TRY_AGAIN_LATER = 1012, 1013
"""RFC 6455's registry of close codes. graphql-ws comes back after both (its client, `isFatalInternalCloseCode`)."""
UNAUTHORIZED, FORBIDDEN = 4401, 4403
"""graphql-ws takes 4401 as final; after 4403 it comes back, and asks its `connectionParams` anew."""

FAULT = (TRY_AGAIN_LATER, "INTERNAL")


def closing(error: GqlAppError) -> tuple[int, str] | None:
    """The code and reason with which the end of one stream closes its whole WebSocket; None: it does not."""
    if isinstance(error, SessionReplaced):
        return FORBIDDEN, code_text(SessionReplaced)
    if isinstance(error, Unauthenticated):
        return UNAUTHORIZED, "Unauthorized"
    if isinstance(error, Interrupted):
        return SERVICE_RESTART if isinstance(error, Stopping) else TRY_AGAIN_LATER, code_text(type(error))
    return None


def is_said_first(error: GqlAppError) -> bool:
    """Whether the operation gets an `error` message of its own on a WebSocket."""
    return not isinstance(error, Interrupted | SessionReplaced)


def protocol_error(error: GqlAppError) -> dict[str, Any]:
    """The part with which a multipart response is interrupted.

    Apollo Client makes a `CombinedProtocolErrors` of it (readMultipartBody in its parseAndCheckHttpResponse), and its
    RetryLink tries again.
    """
    return {"payload": None, **json.loads(refusal_of(error).body)}
