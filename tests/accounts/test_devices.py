"""Others' guesses at a password do not lock its owner out of a device on which she has signed in before."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from gql_app.accounts import devices, service
from gql_app.accounts.models import KnownDevice
from gql_app.accounts.throttle import PER_CLIENT, PER_DEVICE, PER_NAME
from gql_app.db import Database
from gql_app.limiter import Limiter
from gql_app.testing.client import Client
from gql_app.testing.server import Running
from tests.people import PASSWORD, People
from tests.things import HASH, add_user

LOG_IN = """mutation ($name: String!, $password: String!, $device: String) {
    logIn(input: {username: $name, password: $password, deviceToken: $device}) {
        session { token } deviceToken errors { code retryAfter } } }"""
CHANGE = """mutation ($old: String!, $new: String!) {
    changePassword(input: {currentPassword: $old, newPassword: $new}) { deviceToken errors { code } } }"""


async def log_in(server: Running, password: str = PASSWORD, device: str | None = None, name: str = "ada") -> Any:
    return await Client(server.url).data(LOG_IN, name=name, password=password, device=device)


async def test_guesses_from_everywhere_do_not_keep_a_known_device_out(server: Running, people: People) -> None:
    device = (await log_in(server))["deviceToken"]
    limiter = server.app.resource(Limiter)
    for number in range(PER_NAME.times):  # as if each came from another address
        await limiter.spend(PER_NAME, "ada")
        if number < PER_CLIENT.times:
            await limiter.spend(PER_CLIENT, "ada", "127.0.0.1")
    refused = await log_in(server)
    assert refused["errors"][0]["code"] == "RATE_LIMITED"
    assert refused["errors"][0]["retryAfter"] > 0
    assert (await log_in(server, device="made up"))["errors"][0]["code"] == "RATE_LIMITED"
    linus = (await log_in(server, name="linus"))["deviceToken"]
    assert (await log_in(server, device=linus))["errors"][0]["code"] == "RATE_LIMITED"  # it is his, not hers
    for _ in range(2):
        known = await log_in(server, device=device)
        assert (known["errors"], known["deviceToken"]) == ([], device)


async def test_on_a_known_device_failures_are_counted_too(server: Running, people: People) -> None:
    device = (await log_in(server))["deviceToken"]
    codes = [(await log_in(server, "wrong", device))["errors"][0]["code"] for _ in range(PER_DEVICE.times + 1)]
    assert codes == ["BAD_CREDENTIALS"] * PER_DEVICE.times + ["RATE_LIMITED"]
    assert (await log_in(server))["errors"] == []  # elsewhere nothing was counted


async def test_a_device_token_lets_nobody_in(server: Running, people: People) -> None:
    device = (await log_in(server))["deviceToken"]
    assert (await log_in(server, "wrong", device))["session"] is None
    error = await Client(server.url, device).error("{ viewer { username } fuelRequests { nodes { id } } }")
    assert error == "UNAUTHENTICATED"


async def test_a_new_password_forgets_all_devices_but_this_one(server: Running, people: People) -> None:
    before = (await log_in(server))["deviceToken"]
    changed = await people.ada.data(CHANGE, old=PASSWORD, new=PASSWORD + "2")
    assert changed["errors"] == []
    kept = await log_in(server, PASSWORD + "2", changed["deviceToken"])
    assert kept["deviceToken"] == changed["deviceToken"]
    assert (await log_in(server, PASSWORD + "2", before))["deviceToken"] != before


async def test_only_hashes_are_kept_and_so_many_of_one_person(db: Database) -> None:
    ada = await add_user(db)
    tokens = [(await db.write(service.log_in, ada.id, HASH, timedelta(days=1)))[2] for _ in range(devices.MOST + 5)]
    assert len(set(tokens)) == len(tokens)
    assert await db.read(lambda session: session.scalar(select(func.count(KnownDevice.id)))) == devices.MOST
    assert await db.read(devices.known, ada.id, tokens[-1]) is not None
    assert await db.read(devices.known, ada.id, tokens[0]) is None
    stored = await db.read(lambda session: session.scalars(select(KnownDevice.device_hash)).all())
    assert not any(token.encode() in stored for token in tokens)


@pytest.mark.parametrize("token", ["", "x" * 10_000, "\x00"])
async def test_what_is_no_token_is_no_device(server: Running, people: People, token: str) -> None:
    assert (await log_in(server, device=token))["errors"] == []
