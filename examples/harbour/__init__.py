"""A service for a harbour, written on gql_app: people sign in at an identity provider of somebody else's."""

from datetime import UTC, datetime
from pathlib import Path

import jwt

from gql_app import DELIVERIES, VISIBILITY, Authentication, Credentials, Vertical, Viewer
from harbour import boats

KEY = "the key of the identity provider, which signs with it"


async def who(credentials: Credentials) -> Viewer | None:
    """Whose token it is."""
    try:
        claims = jwt.decode(
            credentials.token, KEY, algorithms=["HS256"], audience="harbour", options={"require": ["exp", "sub"]}
        )
        skipper, until = int(claims["sub"]), datetime.fromtimestamp(claims["exp"], UTC)
    except (jwt.InvalidTokenError, ValueError, OverflowError, OSError):
        return None
    return Viewer(skipper, frozenset(claims.get("roles", ())), as_of=credentials.as_of, expires_at=until)


HARBOUR = Vertical(
    "harbour",
    entities=(boats.Skipper, boats.Boat),
    migrations=Path(__file__).parent / "migrations",
    mutations=(boats.register_boat, boats.put_to_sea, boats.assign_berth),
    rules=(boats.tell_skipper,),
    authentication=Authentication(who),
    roles=("HARBOUR_MASTER",),
    errors=(boats.AtSea,),
)
ALL = (HARBOUR, DELIVERIES, VISIBILITY)
