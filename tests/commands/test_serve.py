"""`serve` and `worker`, from outside."""

import asyncio
import contextlib
import random
import signal
import socket
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from gql_app.accounts.models import User
from gql_app.db import Database
from gql_app.deliveries.models import Delivery, DeliveryState
from gql_app.demo.people import PASSWORD
from gql_app.testing.client import PATIENCE, Client
from tests.commands.conftest import Run
from tests.crash.process import ServiceProcess
from tests.people import decide, log_in, submit

UPDATES = "subscription { deliveryUpdated { state } }"


def free_port() -> int:
    """Of those that Linux gives to nobody who asks for any."""
    for port in random.sample(range(20_000, 30_000), 20):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port")


def states(session: Session) -> list[DeliveryState]:
    return list(session.scalars(select(Delivery.state)))


async def test_it_listens_where_it_was_told_to(base: dict[str, str], tmp_path: Path) -> None:
    port = free_port()
    async with ServiceProcess(tmp_path, base, "serve", "--host", "127.0.0.1", "--port", str(port)) as process:
        assert await process.url() == f"http://127.0.0.1:{port}"
        await process.line(f"gql_app is at http://127.0.0.1:{port}/ and GraphiQL at http://127.0.0.1:{port}/graphql")
        async with httpx.AsyncClient(trust_env=False) as http:
            assert (await http.get(f"http://127.0.0.1:{port}/readyz")).status_code == 200


async def test_the_address_that_it_prints_is_the_one_it_listens_at(base: dict[str, str], tmp_path: Path) -> None:
    async with ServiceProcess(tmp_path, base, "serve", "--port", "0") as process:
        port = (await process.url()).rpartition(":")[2]
        assert f"gql_app is at http://127.0.0.1:{port}/" in process.output


async def test_the_demo_says_who_can_sign_in_and_they_can(base: dict[str, str], tmp_path: Path) -> None:
    async with ServiceProcess(tmp_path, base, "serve", "--demo", "--port", "0") as process:
        url = await process.url()
        for name in ("ada", "linus", "grace", "root"):
            assert any(line.split()[:1] == [name] for line in process.lines), process.output
            await log_in(url, name, PASSWORD)
        assert PASSWORD in process.output


async def test_a_second_start_leaves_the_demos_database_alone(
    base: dict[str, str], tmp_path: Path, db: Database
) -> None:
    async with ServiceProcess(tmp_path, base, "serve", "--demo", "--port", "0") as process:
        url = await process.url()
        await submit(await log_in(url, "ada", PASSWORD), note="mine")
        users = await db.read(lambda s: s.scalars(select(User.public_id)).all())
    async with ServiceProcess(tmp_path, base, "serve", "--demo", "--port", "0") as process:
        ada = await log_in(await process.url(), "ada", PASSWORD)
        requests = await ada.data("{ fuelRequests { nodes { note } } }")
        assert [node["note"] for node in requests["nodes"]] == ["mine", "North depot"]
        assert users == await db.read(lambda s: s.scalars(select(User.public_id)).all())


async def test_a_taken_port_is_named(run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        outcome = await run("serve", "--port", port)
    outcome.refused(port)
    assert "GraphiQL at" not in outcome.out, "it says where it is, and is not there"


@pytest.mark.parametrize("port", ["70000", "-1", "http"])
async def test_an_impossible_port_is_refused(run: Run, port: str) -> None:
    (await run("serve", "--port", port)).refused("--port")


async def test_a_host_that_is_not_here_is_named(run: Run) -> None:
    (await run("serve", "--port", "0", "--host", "192.0.2.1")).refused("192.0.2.1")  # TEST-NET-1 (RFC 5737)


@pytest.mark.parametrize("workers", ["0", "-2"])
async def test_there_is_at_least_one_worker_process(run: Run, workers: str) -> None:
    (await run("serve", "--port", "0", "--workers", workers)).refused("--workers")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
async def test_a_worker_delivers_what_another_process_owes(
    base: dict[str, str], tmp_path: Path, db: Database, number: signal.Signals
) -> None:
    async with (
        ServiceProcess(tmp_path, base, "serve", "--demo", "--no-deliveries", "--port", "0") as serving,
        ServiceProcess(tmp_path, base, "worker") as worker,
    ):
        url = await serving.url()
        await worker.line("delivers messages")
        root, ada = await log_in(url, "root", PASSWORD), await log_in(url, "ada", PASSWORD)
        async with root.subscribed(UPDATES) as updates:
            await decide(await log_in(url, "grace", PASSWORD), await submit(ada))
            async with asyncio.timeout(PATIENCE):
                while set(await db.read(states)) != {DeliveryState.SENT}:
                    await updates.next()
        worker.send(number)
        assert await worker.ended() == 0
        assert "Traceback" not in worker.output


async def test_a_service_that_does_not_deliver_leaves_its_messages_alone(
    base: dict[str, str], tmp_path: Path, db: Database
) -> None:
    async with ServiceProcess(tmp_path, base, "serve", "--demo", "--no-deliveries", "--port", "0") as process:
        url = await process.url()
        root, ada = await log_in(url, "root", PASSWORD), await log_in(url, "ada", PASSWORD)
        async with root.subscribed(UPDATES) as updates:
            await decide(await log_in(url, "grace", PASSWORD), await submit(ada))
            assert [event["state"] for event in await updates.take(2)] == ["PENDING", "PENDING"]
    assert set(await db.read(states)) == {DeliveryState.PENDING}


async def test_several_processes_serve_one_port(base: dict[str, str], tmp_path: Path) -> None:
    async with ServiceProcess(tmp_path, base, "serve", "--demo", "--workers", "2", "--port", "0") as process:
        url = await process.url()
        ada, grace = await log_in(url, "ada", PASSWORD), await log_in(url, "grace", PASSWORD)
        async with grace.subscribed("subscription { fuelRequestStatusChanged { status } }") as updates:
            for _ in range(6):
                await submit(Client(url, ada.token))
            assert len(await updates.take(6)) == 6
        process.send(signal.SIGTERM)
        assert await process.ended() == 0
