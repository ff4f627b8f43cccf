"""`pip install` of the wheel and a package of one's own give a service with nothing of the demo's in it."""

import re
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from gql_app.testing.client import Client
from tests.library.conftest import Library

KEY = "the key of the identity provider, which signs with it"
OF_THE_ENGINE = {
    "change_audience",
    "change_capture",
    "change_events",
    "change_images",
    "idempotency_outcomes",
    "change_log_state",
    "change_outbox",
    "deliveries",
    "delivery_attempts",
    "gql_app_versions",
    "tracked_since",
}
REGISTER = (
    "mutation ($name: String!) { registerBoat(input: {name: $name}) { boat { id name status } errors { code } } }"
)
PUT_TO_SEA = "mutation ($id: ID!) { putToSea(input: {id: $id}) { boat { status berth } errors { code field } } }"
ASSIGN = """
    mutation ($id: ID!, $berth: String!) {
      assignBerth(input: {id: $id, berth: $berth}) { boat { berth skipper { name } } errors { code field } }
    }"""
STATUS = "subscription { boatStatusChanged { cursor previousStatus status boat { name skipper { name } } } }"


def token(
    of: int, *roles: str, key: str = KEY, lasts: timedelta = timedelta(hours=1), audience: str = "harbour"
) -> str:
    """What the identity provider gives somebody."""
    claims = {"sub": str(of), "roles": list(roles), "exp": datetime.now(UTC) + lasts, "aud": audience}
    return jwt.encode(claims, key, algorithm="HS256")


def add_skippers(library: Library) -> None:
    assert library.run("migrate").returncode == 0
    library.execute(
        "import asyncio, harbour\n"
        "from gql_app import App, Settings\n"
        "from harbour.models import Skipper\n"
        "async def add():\n"
        "    app = App(Settings.from_environment())\n"
        "    async with app.running(feed=False, deliver=False):\n"
        "        await app.db.write(lambda session: session.add_all([\n"
        "            Skipper(id=1, name='ada', phone_number='+15005550101'), Skipper(id=2, name='linus')]))\n"
        "asyncio.run(add())\n"
    )


def rows(library: Library, query: str) -> list[Any]:
    with sqlite3.connect(library.database_url.removeprefix("sqlite:///")) as connection:
        return connection.execute(query).fetchall()


async def test_a_boat_is_registered_assigned_and_put_to_sea(library: Library) -> None:
    """By people whom somebody else's identity provider knows; with live events and a message."""
    add_skippers(library)
    async with library.serving() as url:
        ada, linus = Client(url, token(1)), Client(url, token(2))
        master = Client(url, token(9, "HARBOUR_MASTER"))
        async with (
            ada.subscribed(STATUS) as hers,
            master.subscribed(STATUS) as masters,
            linus.subscribed(STATUS) as his,
        ):
            boat = (await ada.data(REGISTER, name="Beagle"))["boat"]
            assert boat["status"] == "IN_HARBOUR"
            assert (await ada.data(PUT_TO_SEA, id=boat["id"]))["boat"] == {"status": "AT_SEA", "berth": None}
            again = await ada.data(PUT_TO_SEA, id=boat["id"])
            assert again == {"boat": None, "errors": [{"code": "AT_SEA", "field": ["input", "id"]}]}
            for heard in (hers, masters):
                created, left = await heard.take(2)
                assert (created["previousStatus"], created["status"]) == (None, "IN_HARBOUR")
                assert (left["previousStatus"], left["status"]) == ("IN_HARBOUR", "AT_SEA")
                assert left["boat"]["name"] == "Beagle"
            await linus.data(REGISTER, name="Fram")
            assert (await his.next())["boat"] == {"name": "Fram", "skipper": {"name": "linus"}}
        assert await linus.data("query ($id: ID!) { boat(id: $id) { name } }", id=boat["id"]) is None
        assert await linus.data("query ($id: ID!) { node(id: $id) { id } }", id=boat["id"]) is None
        denied = await linus.data(PUT_TO_SEA, id=boat["id"])
        assert denied == {"boat": None, "errors": [{"code": "NOT_FOUND", "field": ["input", "id"]}]}
        assert await ada.error(ASSIGN, id=boat["id"], berth="A1") == "FORBIDDEN"
        assigned = (await master.data(ASSIGN, id=boat["id"], berth="A1"))["boat"]
        assert assigned == {"berth": "A1", "skipper": {"name": "ada"}}
        assert [each["body"] for each in (await ada.data("{ deliveries { nodes { body } } }"))["nodes"]] == [
            "Beagle lies at A1."
        ]
        boats = "query ($f: BoatFilter, $o: BoatOrder) { boats(filter: $f, orderBy: $o) { nodes { name } } }"
        by_berth = {"field": "BERTH", "direction": "ASC"}
        assert await master.data(boats, o=by_berth) == {"nodes": [{"name": "Beagle"}, {"name": "Fram"}]}
        assert await master.data(boats, f={"berth": None}) == {"nodes": [{"name": "Fram"}]}
        assert await master.data(boats, f={"status": "IN_HARBOUR", "berth": "A1"}) == {"nodes": [{"name": "Beagle"}]}
    assert "All is well." in library.run("check").stdout


@pytest.mark.only_on("sqlite", reason="it says the same of either")
async def test_whose_token_is_not_valid_is_nobody(library: Library) -> None:
    add_skippers(library)
    async with library.serving() as url:
        boats = "{ boats { nodes { name } } }"
        for wrong in (
            token(1, key="another key that is long enough for it"),
            token(1, lasts=-timedelta(seconds=1)),
            token(1, audience="another service"),
            "nonsense",
        ):
            assert await Client(url, wrong).error(boats) == "UNAUTHENTICATED"
        assert await Client(url).error(boats) == "UNAUTHENTICATED"
        async with Client(url, token(1, lasts=timedelta(seconds=2))).subscribed(STATUS) as short:
            assert await short.error() == "UNAUTHENTICATED"  # what was opened ends when the token does


@pytest.mark.only_on("sqlite", reason="it says the same of either")
def test_nothing_of_the_demo_is_in_it(library: Library) -> None:
    assert library.run("migrate").returncode == 0
    tables = {name for (name,) in rows(library, "SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert tables - {"sqlite_sequence"} == OF_THE_ENGINE | {"boats", "skippers"}
    assert rows(library, "SELECT vertical FROM gql_app_versions ORDER BY 1") == [("engine",), ("harbour",)]
    schema = library.run("schema").stdout
    assert "type Boat implements Node" in schema
    assert '"""The boat has left the harbour."""\n  AT_SEA' in schema
    for strange in ("FuelRequest", "Project", "signUp", "logIn", "type User ", "Comment", "setRole"):
        assert strange not in schema, strange
    loaded = library.execute(
        "import harbour, sys; print([name for name in sys.modules if name.startswith('gql_app.')])"
    )
    assert "gql_app.demo" not in loaded
    assert "gql_app.accounts" not in loaded
    assert "user" not in library.run("--help").stdout.split()


@pytest.mark.only_on("sqlite", reason="it says the same of either")
def test_the_models_are_those_of_the_migrations(library: Library) -> None:
    assert library.run("migrate").returncode == 0
    code = (
        "import sqlalchemy as sa, harbour, os\n"
        "from alembic.autogenerate import compare_metadata\n"
        "from alembic.migration import MigrationContext\n"
        "from gql_app import Base\n"
        "engine = sa.create_engine(os.environ['GQL_APP_DATABASE_URL'])\n"
        "ours = lambda thing, name, kind, *rest: name != 'gql_app_versions'\n"
        "with engine.connect() as connection:\n"
        "    context = MigrationContext.configure(connection, opts={'include_object': ours})\n"
        "    print(compare_metadata(context, Base.metadata))\n"
    )
    assert library.execute(code) == "[]\n"


@pytest.mark.only_on("sqlite", reason="it says the same of either")
def test_the_wheel_is_typed(library: Library) -> None:
    where = library.execute("import gql_app; print(gql_app.__path__[0])").strip()
    assert Path(where, "py.typed").is_file()
    assert library.environment in Path(where).parents


@pytest.mark.only_on("sqlite", reason="it says the same of either")
async def test_its_pages_are_served(library: Library) -> None:
    async with library.serving() as url, httpx.AsyncClient() as http:
        page = await http.get(f"{url}/graphql", headers={"Accept": "text/html"})
        assert page.status_code == 200
        assert (await http.get(f"{url}/readyz")).json()["status"] == "ready"


@pytest.mark.only_on("sqlite", reason="it says the same of either")
def test_each_part_of_the_schema_that_is_hers_says_what_it_is(library: Library) -> None:
    code = (
        "import harbour\n"
        "from gql_app import Application\n"
        "from gql_app.testing import undescribed\n"
        "print(*undescribed(Application(harbour.ALL).schema))"
    )
    types = r"Boat|Skipper|RegisterBoat|PutToSea|AssignBerth|PageInfo|OrderDirection"
    hers = rf"{types}|(Query|Mutation)\.\w*([bB]oat|[sS]kipper|Sea|Berth)"
    assert [each for each in library.execute(code).split() if re.match(hers, each)] == []
