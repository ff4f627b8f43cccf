"""The open connections of a process: how many there may be, and which of them still owe the head of a request."""

import asyncio
import logging
from collections import Counter, OrderedDict
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from time import monotonic
from typing import Any, Protocol

from prometheus_client import Counter as Metric

from gql_app.limiter.addresses import is_within, network_of

logger = logging.getLogger(__name__)

HEAD_SECONDS = 10.0
"""Time for a complete head, counted from the connect or from the head's first bytes."""
LOOK_SECONDS = 1.0
"""Seconds between two looks for heads that are late."""
QUIET_SECONDS = 10.0
"""The log tells of a full house once in so long."""

refused = Metric("gql_app_connections_refused", "Connections that were closed because of a limit", ["why"])

LIMITS = "gql_app.connection_limits"
"""Where the lifespan's state says how many connections there may be."""
_CONNECTIONS = "gql_app_connections"

Networks = tuple[IPv4Network | IPv6Network, ...]


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """How many connections a process takes. Those from `proxies` are counted in all only: they are many clients'."""

    at_all: int = 10_000
    per_address: int = 1_000
    proxies: Networks = ()


class Late(Protocol):
    def is_late(self) -> None:
        """Called when the head has not come in time."""


class Connections:
    """Counts the connections of one process. One timer serves all heads that are awaited."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self.limits = limits
        self.open = 0
        self._by_address: Counter[str] = Counter()
        self._awaited: OrderedDict[Late, float] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None
        self._said_at = -QUIET_SECONDS

    def enter(self, address: str) -> str | None:
        """Count another one. A sentence, if there are too many: then it is not counted."""
        network = network_of(address)
        if self.open >= self.limits.at_all:
            return self._full("all", f"{self.open} connections are open, as many as GQL_APP_MAX_CONNECTIONS allows")
        here = self._by_address[network] if network else 0
        if here >= self.limits.per_address and not is_within(address, self.limits.proxies):
            return self._full(
                "address",
                f"{here} connections from {network} are open, as many as GQL_APP_CONNECTIONS_PER_ADDRESS allows (if it "
                "is a proxy of yours, name it in GQL_APP_TRUSTED_PROXIES)",
            )
        self.open += 1
        if network:
            self._by_address[network] += 1
        return None

    def leave(self, address: str) -> None:
        self.open -= 1
        if network := network_of(address):
            self._by_address[network] -= 1
            if not self._by_address[network]:
                del self._by_address[network]

    def _full(self, why: str, said: str) -> str:
        refused.labels(f"too many: {why}").inc()
        if monotonic() - self._said_at >= QUIET_SECONDS:
            self._said_at = monotonic()
            logger.warning("a connection is refused: %s", said)
        return said

    def expect_head(self, protocol: Late) -> None:
        """The head must be there within `HEAD_SECONDS` from now, or `met` is called before."""
        self._awaited[protocol] = monotonic() + HEAD_SECONDS
        self._awaited.move_to_end(protocol)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)

    def met(self, protocol: Late) -> None:
        self._awaited.pop(protocol, None)

    def is_expected(self, protocol: Late) -> bool:
        return protocol in self._awaited

    def _look(self) -> None:
        self._timer = None
        while self._awaited:
            protocol, due = next(iter(self._awaited.items()))
            if due > monotonic():
                self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)
                return
            del self._awaited[protocol]
            protocol.is_late()


def connections_of(protocol: Any) -> Connections:
    """Those of the protocol's server. uvicorn has one state for all protocols of a server."""
    state = protocol.server_state
    found: Connections | None = getattr(state, _CONNECTIONS, None)
    if found is None:
        found = Connections(protocol.app_state.get(LIMITS) or ConnectionLimits())
        setattr(state, _CONNECTIONS, found)
    return found
