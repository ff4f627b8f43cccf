"""An application is a list of verticals: two with different ones live in one process."""

import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
import strawberry
from sqlalchemy.orm import Session

from gql_app.accounts.passwords import Passwords
from gql_app.accounts.vertical import ACCOUNTS
from gql_app.api.ids import encode_id
from gql_app.app import App
from gql_app.application import named
from gql_app.asgi import create_asgi
from gql_app.audit.graphql import AUDIT
from gql_app.db import Database
from gql_app.deliveries.graphql import DELIVERIES
from gql_app.deliveries.models import Delivery
from gql_app.demo.fuel_requests.models import FuelRequest, FuelRequestStatus
from gql_app.demo.projects.vertical import PROJECTS
from gql_app.demo.verticals import DEMO
from gql_app.errors import ConfigurationError
from gql_app.schema import build, printed
from gql_app.server import configuration
from gql_app.settings import Settings
from gql_app.testing.client import Client
from gql_app.testing.server import Running, listening
from gql_app.vertical import Vertical
from tests.people import log_in
from tests.things import add_request, add_user, rows_of

FEWER = (ACCOUNTS, PROJECTS, DELIVERIES)


@strawberry.type
class Tide:
    """A query that reads nothing."""

    @strawberry.field
    def high_water(self) -> str:
        return "06:12"


HARBOUR = Vertical("harbour", queries=(Tide,))
ANOTHER = Vertical("another harbour", queries=(Tide,))


@strawberry.type
class Rival:
    @strawberry.field
    def high_water(self) -> str:
        return "18:40"


def test_a_schema_has_what_its_verticals_bring_and_nothing_else() -> None:
    text = printed(build(FEWER))
    assert "projectStatusChanged" in text
    assert "fuelRequest" not in text
    assert "type FuelRequest" not in text
    assert "fuelRequestStatusChanged" in printed(build(DEMO))
    alone = printed(build((HARBOUR,)))
    assert "highWater: String!" in alone
    assert "type Mutation" not in alone
    assert "type Subscription" not in alone


def test_two_verticals_with_a_field_of_the_same_name_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"Query\.highWater is brought by Tide and by Rival"):
        build((HARBOUR, Vertical("rival", queries=(Rival,))))
    build((HARBOUR, ANOTHER))  # the same part twice is one


async def test_two_applications_in_one_process(server: Running, settings: Settings, tmp_path: Path) -> None:
    """Each answers by its own schema, finds its own nodes and runs its own rules, on one database."""
    other = App(settings, FEWER)
    async with listening(configuration(create_asgi(other), host="127.0.0.1", port=0, log_level="warning")) as url:
        hashed = await other.resource(Passwords).hash("correct-horse-battery")
        ada = await add_user(server.app.db, password_hash=hashed)
        request = await add_request(server.app.db, ada)
        here, there = await log_in(server.url, "ada"), await log_in(url, "ada")
        node = "query ($id: ID!) { node(id: $id) { id } }"
        wanted = encode_id("FuelRequest", request.public_id)
        assert await here.data(node, id=wanted) == {"id": wanted}
        assert await there.data(node, id=wanted) is None
        refused = await Client(url).send("{ fuelRequests { nodes { id } } }")
        assert "Cannot query field" in refused["errors"][0]["message"]
        with pytest.raises(TypeError, match="FuelRequest is tracked, and no vertical of this application has it"):
            await owed_by(other.db, request, FuelRequestStatus.REJECTED)
        assert await owed_by(server.app.db, request, FuelRequestStatus.APPROVED) == 2


async def owed_by(db: Database, request: FuelRequest, status: FuelRequestStatus) -> int:
    """How many messages a decision makes this application owe."""

    def decide(session: Session) -> None:
        found = session.get_one(FuelRequest, request.id)
        found.status, found.litres = status, Decimal(3)

    before = len(await rows_of(db, Delivery))
    await db.write(decide)
    return len(await rows_of(db, Delivery)) - before


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ("no.such.module:ALL", "cannot be found"),
        ("gql_app.demo.verticals:NONE", "cannot be found"),
        ("gql_app.demo.verticals", "write MODULE:NAME"),
        ("gql_app.demo.people:fill", "no list of verticals"),
        ("gql_app.errors:__all__", "cannot be found"),
        ("tests.people:PASSWORD", "no list of verticals"),
    ],
)
def test_a_place_without_verticals_is_refused(place: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        named(place)


def test_the_commands_work_for_somebody_elses_verticals(tmp_path: Path) -> None:
    (tmp_path / "harbour.py").write_text(
        "from gql_app.accounts.vertical import ACCOUNTS\n"
        "from gql_app.audit.graphql import AUDIT\n"
        "ALL = [ACCOUNTS, AUDIT]\n"
    )
    command = [sys.executable, "-m", "gql_app", "--app", "harbour:ALL", "schema"]
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == printed(build((ACCOUNTS, AUDIT)))
