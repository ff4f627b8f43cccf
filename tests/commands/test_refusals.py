"""Settings that cannot be used are refused by every command, by name and without a traceback."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from tests.commands.conftest import Run
from tests.crash.process import ServiceProcess

SECRET = "open-sesame"


@pytest.mark.parametrize("command", [(), ("nonsense",), ("user",), ("serve", "--nonsense")])
async def test_a_command_that_is_none_is_answered_with_the_usage(run: Run, command: tuple[str, ...]) -> None:
    (await run(*command)).refused("usage: gql-app")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BCRYPT_COST", "3"),
        ("BCRYPT_COST", "many"),
        ("BCRYPT_COST", "²"),
        ("SESSION_HOURS", "0"),
        ("POLL_INTERVAL_MS", "5"),
        ("ENVIRONMENT", "staging"),
        ("PUBLIC_URL", "example.test"),
        ("DATABASE_URL", "mysql://localhost/x"),
        ("DATABASE_URL", "sqlite://"),
        ("DATABASE_URL", f"postgresql://u:{SECRET}@127.0.0.1:port/x"),
        ("BROADCAST_URL", "carrier-pigeon://x"),
        ("SMTP_URL", "http://localhost"),
        ("SMTP_URL", f"smtp://u:{SECRET}@localhost:port"),
        ("SMTP_URL", f"smtp://u:{SECRET}@localhost:99999"),
        ("SMTP_URL", f"smtp://u:{SECRET}@[localhost:25"),
        ("MAIL_FROM", "nobody"),
        ("CORS_ORIGINS", "example.test"),
        ("TWILIO_ACCOUNT_SID", "AC" + "1" * 32),
        ("BCRYPT_KOST", "12"),
    ],
)
async def test_a_setting_that_cannot_be_used_is_named(run: Run, name: str, value: str) -> None:
    outcome = await run("prune", "--older-than-days", "1", **{name: value})
    outcome.refused(f"GQL_APP_{name}" if not name.startswith("TWILIO") else "GQL_APP_TWILIO_AUTH_TOKEN")
    assert SECRET not in outcome.out + outcome.err


@pytest.mark.parametrize("command", [("migrate",), ("serve", "--port", "0"), ("worker",), ("deliveries", "list")])
async def test_a_database_that_cannot_be_opened_is_named(run: Run, tmp_path: Path, command: tuple[str, ...]) -> None:
    (await run(*command, DATABASE_URL=f"sqlite:///{tmp_path}/none/x.db")).refused("GQL_APP_DATABASE_URL")
    (tmp_path / "text.db").write_text("This is not a database, and never was one. " * 100)
    (await run(*command, DATABASE_URL=f"sqlite:///{tmp_path}/text.db")).refused("GQL_APP_DATABASE_URL")


async def test_a_database_that_does_not_answer_is_named_without_its_password(run: Run) -> None:
    outcome = await run("migrate", DATABASE_URL=f"postgresql://u:{SECRET}@127.0.0.1:1/x")
    outcome.refused("GQL_APP_DATABASE_URL")
    assert SECRET not in outcome.err


@pytest.mark.parametrize("command", [("serve", "--port", "0"), ("worker",), ("migrate",)])
async def test_production_names_everything_unsafe_at_once(run: Run, command: tuple[str, ...]) -> None:
    names = ("PUBLIC_URL", "TWILIO_ACCOUNT_SID", "SMTP_URL", "MAIL_FROM", "BCRYPT_COST")
    (await run(*command, ENVIRONMENT="production")).refused(*(f"GQL_APP_{name}" for name in names))


async def test_production_refuses_the_demo(run: Run) -> None:
    safe = {
        "ENVIRONMENT": "production",
        "PUBLIC_URL": "https://fuel.example.test",
        "TWILIO_ACCOUNT_SID": "AC" + "1" * 32,
        "TWILIO_AUTH_TOKEN": "token",
        "TWILIO_FROM": "+15005550006",
        "SMTP_URL": f"smtp://u:{SECRET}@mail.example.test:587",
        "MAIL_FROM": "Fuel <fuel@example.test>",
        "BCRYPT_COST": "10",
        "ALLOW_SQLITE": "1",
        "SMS_COUNTRIES": "DE",
    }
    outcome = await run("serve", "--demo", "--port", "0", **safe)
    outcome.refused("--demo")
    assert "GQL_APP_" not in outcome.err


@pytest.mark.skipif(os.name != "posix", reason="signals")
async def test_a_worker_without_a_broadcaster_says_so_and_works_on(base: dict[str, str], tmp_path: Path) -> None:
    base["BROADCAST_URL"] = f"redis://:{SECRET}@127.0.0.1:1"
    async with ServiceProcess(tmp_path, base, "worker") as worker, asyncio.timeout(30):
        await worker.line("broadcaster")
        await worker.line("delivers messages")
        worker.send(signal.SIGTERM)
        assert await worker.ended() == 0
        assert SECRET not in worker.output
        assert "Traceback" not in worker.output
