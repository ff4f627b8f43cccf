"""Queries, decisions and the fan-out of one stream, on a fresh SQLite database.

Figures of one machine at one moment: compare them with others of the same run only.
"""

import asyncio
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import websockets

SECONDS = 4.0
SUBSCRIBERS = 200
LOG_IN = 'mutation { logIn(input: {username: "root", password: "correct-horse-battery"}) { session { token } } }'
SUBMIT = 'mutation { submitFuelRequest(input: {litres: "1"}) { fuelRequest { id } } }'
READ = "query ($id: ID!) { fuelRequest(id: $id) { id status litres requester { id email } } }"
LIST = "{ fuelRequests(first: 50) { nodes { id status litres requester { id email } } } }"
DECIDE = "mutation ($id: ID!) { decideFuelRequest(input: {id: $id, status: APPROVED}) { errors { code } } }"
WATCH = "subscription { fuelRequestStatusChanged { cursor status } }"

Send = Callable[..., Awaitable[Any]]


async def measure(name: str, workers: int, once: Callable[[], Awaitable[None]]) -> None:
    """Print how often a second ``workers`` at a time can do it, and how long each waits."""
    times: list[float] = []
    end = time.perf_counter() + SECONDS

    async def work() -> None:
        while (begin := time.perf_counter()) < end:
            await once()
            times.append(time.perf_counter() - begin)

    await asyncio.gather(*(work() for _ in range(workers)))
    times.sort()
    p50, p99 = statistics.median(times), times[int(len(times) * 0.99) - 1]
    print(f"{name:42} {len(times) / SECONDS:9.0f} /s   p50 {p50 * 1e3:7.1f} ms   p99 {p99 * 1e3:7.1f} ms")


async def fan_out(url: str, token: str, submit: Callable[[], Awaitable[Any]]) -> None:
    """Print how many events a second reach subscribers of one stream, one change after the other."""
    received = 0
    ready = asyncio.Semaphore(0)
    done = asyncio.Event()

    async def subscriber() -> None:
        nonlocal received
        protocol = [websockets.Subprotocol("graphql-transport-ws")]
        address = url.replace("http", "ws", 1) + "/graphql"
        async with websockets.connect(address, subprotocols=protocol, proxy=None) as socket:
            await socket.send(json.dumps({"type": "connection_init", "payload": {"Authorization": f"Bearer {token}"}}))
            await socket.recv()
            await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": {"query": WATCH}}))
            await socket.send(json.dumps({"type": "ping"}))
            await socket.recv()
            ready.release()
            while not done.is_set():
                await socket.recv()
                received += 1

    tasks = [asyncio.create_task(subscriber()) for _ in range(SUBSCRIBERS)]
    for _ in tasks:
        await ready.acquire()
    begin, sent = time.perf_counter(), 0
    while time.perf_counter() - begin < SECONDS:
        await submit()
        sent += 1
        while received < sent * SUBSCRIBERS:  # noqa: ASYNC110  (an event would be set for every message)
            await asyncio.sleep(0)
    took = time.perf_counter() - begin
    print(f"{f'fan-out, {SUBSCRIBERS} subscribers':42} {received / took:9.0f} /s")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def load(url: str) -> None:
    async with httpx.AsyncClient(timeout=30, limits=httpx.Limits(max_connections=64)) as http:
        headers: dict[str, str] = {}

        async def send(query: str, **variables: Any) -> Any:
            body = {"query": query, "variables": variables}
            answer = (await http.post(url + "/graphql", json=body, headers=headers)).json()
            assert "errors" not in answer, answer
            return answer["data"]

        token = (await send(LOG_IN))["logIn"]["session"]["token"]
        headers["Authorization"] = f"Bearer {token}"
        ids = [(await send(SUBMIT))["submitFuelRequest"]["fuelRequest"]["id"] for _ in range(60)]

        async def decide_one() -> None:
            new = (await send(SUBMIT))["submitFuelRequest"]["fuelRequest"]["id"]
            await send(DECIDE, id=new)

        await measure("one fuel request, 16 at a time", 16, lambda: send(READ, id=ids[0]))
        await measure("50 fuel requests, 8 at a time", 8, lambda: send(LIST))
        await measure("a request submitted and decided, 16 at a time", 16, decide_one)
        await fan_out(url, token, lambda: send(SUBMIT))


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "gql_app", "serve", "--demo", "--port", "0"]
        with subprocess.Popen(
            command, cwd=directory, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        ) as server:
            try:
                assert server.stderr is not None
                address = next(filter(None, (re.search(r"running on (http://\S+)", line) for line in server.stderr)))[1]
                for line in server.stderr:
                    if "startup complete" in line:
                        break
                asyncio.run(load(address))
            finally:
                server.terminate()


if __name__ == "__main__":
    main()
