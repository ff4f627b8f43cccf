"""People for tests, and what they often do."""

from dataclasses import dataclass
from typing import Any

from gql_app.accounts import service
from gql_app.accounts.passwords import Passwords
from gql_app.accounts.roles import Role
from gql_app.accounts.service import NewUser
from gql_app.testing.client import Client
from gql_app.testing.server import Running

PASSWORD = "correct-horse-battery"

LOG_IN = """
    mutation ($username: String!, $password: String!) {
      logIn(input: {username: $username, password: $password}) {
        session { token expiresAt } viewer { id username role email } errors { code message field }
      }
    }"""
SUBMIT = """
    mutation ($litres: Decimal! = "10", $note: String) {
      submitFuelRequest(input: {litres: $litres, note: $note}) {
        fuelRequest { id status litres note requester { username } } errors { code message field }
      }
    }"""
DECIDE = """
    mutation ($id: ID!, $status: FuelRequestStatus! = APPROVED, $note: String) {
      decideFuelRequest(input: {id: $id, status: $status, note: $note}) {
        fuelRequest { id status decidedBy { username } } errors { code message field }
      }
    }"""


async def log_in(url: str, username: str, password: str = PASSWORD) -> Client:
    payload = await Client(url).data(LOG_IN, username=username, password=password)
    assert payload["errors"] == [], payload
    return Client(url, payload["session"]["token"])


async def submit(client: Client, **values: Any) -> str:
    """The id of a new fuel request."""
    payload = await client.data(SUBMIT, **values)
    assert payload["errors"] == [], payload
    return str(payload["fuelRequest"]["id"])


async def decide(client: Client, request_id: str, **values: Any) -> None:
    payload = await client.data(DECIDE, id=request_id, **values)
    assert payload["errors"] == [], payload


@dataclass(frozen=True)
class People:
    ada: Client
    linus: Client
    grace: Client
    root: Client

    @classmethod
    async def sign_in(cls, server: Running) -> "People":
        db, passwords = server.app.db, server.app.resource(Passwords)
        hashed = await passwords.hash(PASSWORD)
        for number, (name, role, premium) in enumerate(
            (
                ("ada", Role.USER, True),
                ("linus", Role.USER, False),
                ("grace", Role.APPROVER, False),
                ("root", Role.ADMIN, False),
            )
        ):
            new = NewUser(name, f"{name}@example.test", hashed, f"+1500555010{number}", premium, role)
            await db.write(service.sign_up, new, None)
        return cls(*[await log_in(server.url, name) for name in ("ada", "linus", "grace", "root")])
