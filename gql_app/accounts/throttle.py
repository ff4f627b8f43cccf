"""Slows down guessing: failed sign-ins are counted per name and client, and per name."""

import contextlib
from collections.abc import AsyncIterator

from gql_app.errors import BadCredentials
from gql_app.limiter import Limit, Limiter, network_of

WINDOW = 300
"""Seconds after the first failure in which the failures are counted."""
PER_CLIENT = Limit("sign_in", 10, WINDOW)
"""Of one name, from one address."""
PER_NAME = Limit("sign_in_name", 100, WINDOW)
"""Of one name, from all addresses."""
PER_ADDRESS = Limit("sign_up", 60, 3600, "Too many accounts were opened from this address; try again later.")
LONGEST_NAME = 64


@contextlib.asynccontextmanager
async def attempt(limiter: Limiter, name: str, client: str) -> AsyncIterator[None]:
    """One try at a password. It counts until it has succeeded: so do those that are being tried at the same time.

    Raises:
        RateLimited: there were too many failures.
    """
    name = name[:LONGEST_NAME].lower()  # nobody's is longer
    address = network_of(client)
    await limiter.spend(PER_CLIENT, name, address)
    try:
        await limiter.spend(PER_NAME, name)
        yield
    except BadCredentials:
        raise
    except BaseException:  # it was not tried
        await limiter.give_back(PER_CLIENT, name, address)
        await limiter.give_back(PER_NAME, name)
        raise
    await limiter.forgive(PER_CLIENT, name, address)
    await limiter.give_back(PER_NAME, name)
