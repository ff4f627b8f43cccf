"""Who is measured, and how each is asked: how it starts, and its words for the same work."""

import base64
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from benchmarks.data import approver, public_id, token
from benchmarks.http_load import post
from benchmarks.socket_load import Wish
from gql_app.api.ids import encode_id

PEERS = Path(__file__).parent / "peers"
FLAT = "cursor previousStatus status occurredAt"
RICH = "fuelRequest { id status litres requester { id username } }"


class Contestant(Protocol):
    """Requests are numbered from 1. A published request is decided, and all its subscribers hear of it."""

    @property
    def name(self) -> str: ...
    @property
    def command(self) -> Sequence[str]: ...
    @property
    def environment(self) -> Mapping[str, str]: ...
    @property
    def workloads(self) -> frozenset[str]: ...
    def one(self, number: int) -> bytes:
        """W1: the HTTP request for one fuel request with its requester."""
        ...

    def page(self) -> bytes:
        """W2: the same for the latest 50."""
        ...

    def decide(self, number: int, status: str) -> bytes:
        """W3: the same for a decision."""
        ...

    def publish(self, numbers: Sequence[int], status: str) -> bytes:
        """W4, W5: one HTTP request that makes as many events."""
        ...

    def subscriber(self, number: int, *, rich: bool = False) -> Wish:
        """W4, W5, W6: what subscriber ``number`` says, who hears of all requests."""
        ...

    def owner(self, user: int, operations: int = 1) -> Wish:
        """W4d: what a user says who hears of her own requests only."""
        ...


def _body(query: str, variables: Mapping[str, object]) -> bytes:
    return json.dumps({"query": query, "variables": variables}, separators=(",", ":")).encode()


def _payload(query: str, **variables: object) -> str:
    return _body(query, variables).decode()


ONE_ADDRESS = {
    "GQL_APP_ADDRESS_BUDGET": "999999999",
    "GQL_APP_VIEWER_BUDGET": "999999999",
    "GQL_APP_MAX_CONNECTIONS": "1000000",
    "GQL_APP_CONNECTIONS_PER_ADDRESS": "1000000",
    "GQL_APP_LIMITS": "sign_up=1000000/second",
}
"""All load comes from one address here, and often for one person. The limits are counted, and not reached."""


@dataclass(frozen=True)
class Product:
    """`gql-app serve` as it is: tokens, the log, and deliveries owed and captured by its own worker."""

    name: str = "product"
    distinct_viewers: bool = True
    """Each subscriber of everybody's requests is a different approver; or all are the same one."""
    command: Sequence[str] = (sys.executable, "-m", "gql_app", "serve", "--port", "{port}")
    environment: Mapping[str, str] = field(
        default_factory=lambda: {"GQL_APP_DATABASE_URL": "sqlite:///{database}", **ONE_ADDRESS}
    )
    workloads: frozenset[str] = frozenset({"W1", "W2", "W3", "W4", "W4r", "W4d", "W5", "W6", "W7", "W9", "W11"})
    words: int = 0
    """How often a subscriber's answer repeats its cursor, to be longer."""

    def _post(self, query: str, **variables: object) -> bytes:
        return post("/graphql", _body(query, variables), token(approver(0)))

    def one(self, number: int) -> bytes:
        query = "query ($id: ID!) { fuelRequest(id: $id) { id status litres requester { id username } } }"
        return self._post(query, id=_global_id(number))

    def page(self) -> bytes:
        return self._post("{ fuelRequests(first: 50) { nodes { id status litres requester { id username } } } }")

    def decide(self, number: int, status: str) -> bytes:
        return self.publish([number], status)

    def publish(self, numbers: Sequence[int], status: str) -> bytes:
        fields = "fuelRequest { id status } errors { code message }"
        decisions = [
            f"d{n}: decideFuelRequest(input: {{id: $i{n}, status: $s}}) {{ {fields} }}" for n in range(len(numbers))
        ]
        ids = " ".join(f"$i{n}: ID!" for n in range(len(numbers)))
        query = f"mutation ({ids} $s: FuelRequestStatus!) {{ {' '.join(decisions)} }}"
        return self._post(query, s=status, **{f"i{n}": _global_id(number) for n, number in enumerate(numbers)})

    def subscriber(self, number: int, *, rich: bool = False) -> Wish:
        fields = f"cursor {RICH}" if rich else FLAT
        fields += "".join(f" c{word}: cursor" for word in range(self.words))
        viewer = approver(number if self.distinct_viewers else 0)
        return Wish(token(viewer), (_payload(f"subscription {{ fuelRequestStatusChanged {{ {fields} }} }}"),))

    def resuming(self, number: int, after: str) -> Wish:
        """W7: the same from a cursor on."""
        query = f"subscription ($after: String) {{ fuelRequestStatusChanged(after: $after) {{ {FLAT} }} }}"
        return Wish(token(approver(number)), (_payload(query, after=after),))

    def owner(self, user: int, operations: int = 1) -> Wish:
        return Wish(token(user), (_payload(f"subscription {{ fuelRequestStatusChanged {{ {FLAT} }} }}"),) * operations)

    def sign_up(self, name: str) -> bytes:
        """W9."""
        query = "mutation ($i: SignUpInput!) { signUp(input: $i) { user { id } errors { code message } } }"
        password = base64.b32encode(name.encode()).decode() + "-correct-horse"
        values = {"username": name, "email": f"{name}@example.test", "password": password}
        return post("/graphql", _body(query, {"i": values}))


def _global_id(number: int) -> str:
    return encode_id("FuelRequest", public_id("FuelRequest", number))


@dataclass(frozen=True)
class GraphQLPeer:
    """Another GraphQL server, without tokens, log or deliveries."""

    name: str
    command: Sequence[str]
    workloads: frozenset[str]
    environment: Mapping[str, str] = field(
        default_factory=lambda: {"BENCH_DATABASE": "{database}", "BENCH_PORT": "{port}", "NODE_ENV": "production"}
    )

    def one(self, number: int) -> bytes:
        query = "query ($id: ID!) { fuelRequest(id: $id) { id status litres requester { id username } } }"
        return post("/graphql", _body(query, {"id": str(number)}))

    def page(self) -> bytes:
        return post("/graphql", _body("{ fuelRequests(first: 50) { id status litres requester { id username } } }", {}))

    def decide(self, number: int, status: str) -> bytes:
        return self.publish([number], status)

    def publish(self, numbers: Sequence[int], status: str) -> bytes:
        decisions = " ".join(f"d{n}: decide(id: $i{n}, status: $s) {{ id status }}" for n in range(len(numbers)))
        ids = " ".join(f"$i{n}: ID!" for n in range(len(numbers)))
        values: dict[str, object] = {f"i{n}": str(number) for n, number in enumerate(numbers)}
        return post("/graphql", _body(f"mutation ({ids} $s: String!) {{ {decisions} }}", values | {"s": status}))

    def subscriber(self, number: int, *, rich: bool = False) -> Wish:
        fields = f"cursor {RICH}" if rich else FLAT
        return Wish(None, (_payload(f"subscription {{ statusChanged {{ {fields} }} }}"),))

    def owner(self, user: int, operations: int = 1) -> Wish:
        query = f"subscription ($id: Int) {{ statusChanged(ownerId: $id) {{ {FLAT} }} }}"
        return Wish(None, (_payload(query, id=user),) * operations)


@dataclass(frozen=True)
class Raw:
    """A limit: no GraphQL; its broadcast has no database either."""

    name: str
    command: Sequence[str]
    workloads: frozenset[str]
    driver: str = "aiosqlite"

    @property
    def environment(self) -> Mapping[str, str]:
        return {"BENCH_DATABASE": "{database}", "BENCH_PORT": "{port}", "BENCH_RAW": self.driver}

    def one(self, number: int) -> bytes:
        return post("/one", json.dumps({"id": number}).encode())

    def page(self) -> bytes:
        return post("/page", json.dumps({"first": 50}).encode())

    def decide(self, number: int, status: str) -> bytes:
        return post("/decide", json.dumps({"id": number, "status": status}).encode())

    def publish(self, numbers: Sequence[int], status: str) -> bytes:
        return post("/publish", json.dumps({"ids": list(numbers)}).encode())

    def subscriber(self, number: int, *, rich: bool = False) -> Wish:
        return Wish(None, (), graphql=False)

    def owner(self, user: int, operations: int = 1) -> Wish:
        raise NotImplementedError("a broadcast knows no owners")


def _uvicorn(module: str) -> Sequence[str]:
    options = ("--port", "{port}", "--log-level", "warning", "--no-access-log", "--backlog", "2048")
    return (sys.executable, "-m", "uvicorn", f"benchmarks.peers.{module}:app", *options)


def _node(script: str) -> Sequence[str]:
    return ("node", str(PEERS / "node" / script))


QUERIES = frozenset({"W1", "W2", "W3"})
STREAMS = frozenset({"W4", "W5", "W6"})


def contestants(chosen: str, *, distinct_viewers: bool) -> list[Contestant]:
    """Those of a list of names with commas; ``node`` stands for three. Raises ValueError for another name."""
    known: dict[str, list[Contestant]] = {
        "naive": [GraphQLPeer("naive", _uvicorn("naive"), QUERIES | STREAMS | {"W4r", "W4d"})],
        "raw": [Raw("raw", _uvicorn("raw"), QUERIES | STREAMS)],
        "raw-sqlalchemy": [Raw("raw-sqlalchemy", _uvicorn("raw"), QUERIES, "sqlalchemy")],
        "product": [Product(distinct_viewers=distinct_viewers)],
        "node": [
            GraphQLPeer("yoga", _node("yoga.mjs"), QUERIES | STREAMS | {"W4r"}),
            GraphQLPeer("mercurius", _node("mercurius.mjs"), QUERIES | STREAMS | {"W4r"}),
            Raw("node-ws", _node("ws.mjs"), STREAMS),
        ],
    }
    unknown = set(chosen.split(",")) - set(known)
    if unknown:
        raise ValueError(f"There is no {' or '.join(sorted(unknown))}; choose of {', '.join(known)}.")
    return [each for name in chosen.split(",") for each in known[name]]
