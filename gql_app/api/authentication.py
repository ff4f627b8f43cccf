"""How an application knows who looks: a function that makes a viewer of what a request shows.

async def who(credentials: Credentials) -> Viewer | None:
    claims = jwt.decode(credentials.token, KEY, algorithms=["RS256"], audience="fuel")
    return Viewer(int(claims["sub"]), roles=frozenset(claims["roles"]), as_of=credentials.as_of)

SIGN_IN = Vertical("sign-in", authentication=Authentication(who))
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from gql_app.audiences.registry import ALL, Catalog
from gql_app.db import Database
from gql_app.viewer import Viewer, with_keys


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request shows.

    `token` is that of ``Authorization: Bearer …`` (over WebSocket also of ``connectionParams``), or a ticket. `client`
    is the peer's address. `as_of` is the log position that is known before anything is read: the viewer's `as_of`.
    """

    token: str = field(repr=False)
    client: str
    db: Database
    as_of: int
    catalog: Catalog = ALL
    """The models of the application: the viewer's `catalog`."""


async def _nobody(credentials: Credentials) -> Viewer | None:
    return None


@dataclass(frozen=True, slots=True)
class Authentication:
    """`viewer_of` makes a viewer of a token; None for a token that is nobody's, or no longer valid.

    It is asked for each operation. `expires_at` of the viewer ends her streams: without it they go on as long as the
    line does.

    `look_again` finds out which roles a viewer has now, and raises Unauthenticated where she may not be here any more.
    It is asked when rows that give her roles or keys have changed (`__role__`, `__grants__`). By default the roles stay
    those of the token, until it expires. Keys that rows give are looked up in any case.

    `viewer_of_ticket` makes a viewer of the ``ticket`` in the URL of a stream (Server-Sent Events by GET): a browser's
    EventSource signs in with it. By default every ticket is refused.
    """

    viewer_of: Callable[[Credentials], Awaitable[Viewer | None]]
    look_again: Callable[[Database, Viewer], Awaitable[Viewer]] = with_keys
    viewer_of_ticket: Callable[[Credentials], Awaitable[Viewer | None]] = _nobody


NOBODY = Authentication(_nobody)
"""Of an application in which nobody signs in."""
