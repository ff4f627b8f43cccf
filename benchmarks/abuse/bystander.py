"""Somebody else, in a process and from an address of her own: one small query every 50 ms, and sign-ins where asked.

``python -m benchmarks.abuse.bystander PORT SECONDS [ada]`` prints what she waited for as JSON.
"""

import asyncio
import json
import sys
import time
from typing import Any

import httpx

ADDRESS = "127.0.0.3"
EVERY = 0.05
PASSWORD = "correct-horse-battery"
LOG_IN = 'mutation ($u: String!) { logIn(input: {username: $u, password: "' + PASSWORD + '"}) { session { token } } }'


async def follow(port: int, seconds: float, user: str | None) -> dict[str, Any]:
    waits: list[float] = []
    lost = 0
    signed_in: list[float] = []
    end = time.monotonic() + seconds
    transport = httpx.AsyncHTTPTransport(local_address=ADDRESS)
    async with httpx.AsyncClient(transport=transport, timeout=60, base_url=f"http://127.0.0.1:{port}") as http:

        async def sign_in() -> None:
            while time.monotonic() < end:
                began = time.perf_counter()
                answer = (await http.post("/graphql", json={"query": LOG_IN, "variables": {"u": user}})).json()
                if answer["data"]["logIn"]["session"]:
                    signed_in.append(time.perf_counter() - began)
                await asyncio.sleep(0.5)

        other = asyncio.create_task(sign_in()) if user else None
        while time.monotonic() < end:
            began = time.perf_counter()
            try:
                lost += (await http.post("/graphql", json={"query": "{ __typename }"})).status_code != 200
            except httpx.HTTPError:
                lost += 1
            waits.append(time.perf_counter() - began)
            await asyncio.sleep(EVERY)
        if other is not None:
            await other
    return {"waits": waits, "lost": lost, "signed_in": signed_in}


if __name__ == "__main__":
    name = sys.argv[3] if len(sys.argv) > 3 else None
    print(json.dumps(asyncio.run(follow(int(sys.argv[1]), float(sys.argv[2]), name))))
