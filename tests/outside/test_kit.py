"""What authors of verticals test with, on both databases."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import text

from gql_app.demo.verticals import DEMO
from gql_app.settings import Secret, Settings
from gql_app.testing import Client, empty_database, findings, messages, serving, witness
from tests import postgres
from tests.conftest import require

SIGN_UP = """mutation { signUp(input: {username: "ada", email: "ada@example.test", password: "correct-horse-battery",
    phoneNumber: "+15005550101"}) { session { token } errors { message } } }"""
SUBMIT = "mutation { submitFuelRequest(input: {litres: 5}) { fuelRequest { id } errors { code } } }"


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_a_test_of_a_vertical(kind: str, tmp_path: Path) -> None:
    if kind == "postgres":
        require("PostgreSQL", await asyncio.to_thread(postgres.is_there), "no PostgreSQL")
    async with empty_database(tmp_path if kind == "sqlite" else postgres.URL) as url:
        await postgres.migrated(url)
        async with serving(Settings(database_url=Secret(url), bcrypt_cost=4), DEMO) as server:
            watching = await witness(server.app)
            token = (await Client(server.url).data(SIGN_UP))["session"]["token"]
            assert (await Client(server.url, token).data(SUBMIT))["errors"] == []
            (welcome,) = await messages(server.app)
            assert (welcome.channel, welcome.subject) == ("EMAIL", "Welcome")
            assert (await findings(server.app), await watching.unrecorded()) == ([], 0)
            async with server.app.db.writing() as connection:
                await connection.execute(text("UPDATE fuel_requests SET status = 'APPROVED'"))
            assert await watching.unrecorded() == 1
            assert await findings(server.app) == []
