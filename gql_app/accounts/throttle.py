"""Slows down guessing: failed sign-ins are counted per name and client, per name, and apart from these per device."""

import contextlib
from collections.abc import AsyncIterator

from gql_app.errors import BadCredentials
from gql_app.limiter import Limit, Limiter, network_of

WINDOW = 300
"""Seconds after the first failure in which the failures are counted."""
PER_CLIENT = Limit("sign_in", 10, WINDOW, by_address=True)
"""Of one name, from one address."""
PER_DEVICE = Limit("sign_in_device", 10, WINDOW, by_address=True)
"""On one device on which its owner has signed in before."""
PER_NAME = Limit("sign_in_name", 100, WINDOW)
"""Of one name, from all addresses."""
PER_ADDRESS = Limit(
    "sign_up", 60, 3600, "Too many accounts were opened from this address; try again later.", by_address=True
)
LONGEST_NAME = 64


@contextlib.asynccontextmanager
async def attempt(limiter: Limiter, name: str, client: str, device: int | None = None) -> AsyncIterator[None]:
    """One try at a password. It counts until it has succeeded: so do those that are being tried at the same time.

    Must hold: strangers cannot lock somebody out of a ``device`` on which she has signed in before. Failures there are
    counted apart, and those elsewhere are not looked at.

    Raises:
        RateLimited: there were too many failures.
    """
    name = name[:LONGEST_NAME].lower()  # nobody's is longer
    address = network_of(client)
    counted: list[tuple[Limit, tuple[str, ...]]] = [(PER_CLIENT, (name, address)), (PER_NAME, (name,))]
    if device is not None:
        counted = [(PER_DEVICE, (str(device), address))]
    done: list[tuple[Limit, tuple[str, ...]]] = []
    try:
        for limit, whose in counted:
            await limiter.spend(limit, *whose)
            done.append((limit, whose))
        yield
    except BadCredentials:
        raise
    except BaseException:  # it was not tried
        for limit, whose in done:
            await limiter.give_back(limit, *whose)
        raise
    for limit, whose in done:
        await (limiter.give_back if limit is PER_NAME else limiter.forgive)(limit, *whose)
