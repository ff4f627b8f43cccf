"""`new-model` writes a vertical that runs, and `makemigration` a script that runs as it is."""

import subprocess
import sys
from dataclasses import replace

import pytest

from tests.library.conftest import Library

WEIGHT = """    weight: Mapped[Decimal | None] = mapped_column(Numeric(10, 2))
    seen_at: Mapped[datetime | None] = mapped_column(UtcDateTime, index=True)
    sort: Mapped[str] = tracked(String(20), default="a truck's")
    was: Mapped[FuelTruckStatus] = mapped_column(
        Enum(FuelTruckStatus, native_enum=False, length=16), default=FuelTruckStatus.CLOSED
    )
    wheels: Mapped[int] = mapped_column(default=6)
    is_old: Mapped[bool] = mapped_column(default=False)
"""
ADD_ONE = """
import asyncio
from gql_app import App, Settings
from gql_app.accounts import User
from fuel_trucks.models import FuelTruck
def add(session):
    user = User(username="ada", email="ada@example.test", password_hash="$2b$04$" + "a" * 53)
    session.add(user)
    session.flush()
    session.add(FuelTruck(owner_id=user.id, name="First"))
async def main():
    app = App(Settings.from_environment())
    async with app.running(feed=False, deliver=False):
        await app.db.write(add)
asyncio.run(main())
"""
SHOW = """
import asyncio
from sqlalchemy import select
from gql_app import App, Settings
from fuel_trucks.models import FuelTruck
async def main():
    app = App(Settings.from_environment())
    async with app.running(feed=False, deliver=False):
        row = await app.db.read(lambda session: session.scalars(select(FuelTruck)).one())
        print(row.sort, row.was.name, row.wheels, row.is_old)
asyncio.run(main())
"""


def call(library: Library, *arguments: str) -> str:
    """What a command printed; it must have succeeded."""
    done = library.run("--app", "fuel_trucks:ALL", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_new_model_runs_with_its_migration_and_its_tests(library: Library) -> None:
    made = library.run("new-model", "FuelTruck")
    assert made.returncode == 0, made.stderr
    assert "0001_the_fuel_trucks.py" in made.stdout
    call(library, "migrate")
    assert "fuelTruckStatusChanged" in call(library, "schema")
    assert call(library, "check") == "All is well.\n"
    assert "nothing to be done" in call(library, "makemigration", "fuel_trucks")
    package = library.directory / "fuel_trucks"
    again = library.run("new-model", "FuelTruck")
    assert again.returncode == 2
    assert "is there already" in again.stderr
    own = [sys.executable, "-m", "mypy", "--strict", "--exclude", "migrations", "fuel_trucks"]
    typed = subprocess.run(own, cwd=library.directory, capture_output=True, text=True, check=False)
    assert typed.returncode == 0, typed.stdout
    tested = subprocess.run(
        [library.python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio", str(package)],
        cwd=library.directory, env=library.variables, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert tested.returncode == 0, tested.stdout


def test_what_is_added_to_a_model_is_added_to_its_table(library: Library) -> None:
    library.run("new-model", "FuelTruck")
    call(library, "migrate")
    replace(library, app="fuel_trucks:ALL").execute(ADD_ONE)
    models = library.directory / "fuel_trucks" / "models.py"
    text = models.read_text()
    text = text.replace("import enum\n", "import enum\nfrom datetime import datetime\nfrom decimal import Decimal\n")
    text = text.replace("import Enum, ", "import Enum, Numeric, ").replace("tracked\n\n", "UtcDateTime, tracked\n\n", 1)
    models.write_text(text + WEIGHT)
    for command in ("check", "worker"):
        ahead = library.run("--app", "fuel_trucks:ALL", command)
        assert ahead.returncode == 2
        assert (
            "has the column fuel_trucks.weight, and the database has not: run `gql-app makemigration`" in ahead.stderr
        )
    wrote = call(library, "makemigration", "fuel_trucks", "-m", "Weight, and when it was seen")
    assert wrote == "Wrote fuel_trucks/migrations/0002_weight_and_when_it_was_seen.py.\n"
    script = (library.directory / "fuel_trucks" / "migrations" / "0002_weight_and_when_it_was_seen.py").read_text()
    assert "gql_app" not in script
    call(library, "migrate")
    assert "nothing to be done" in call(library, "makemigration", "fuel_trucks")
    call(library, "migrate", "--back", "fuel_trucks:0001")
    call(library, "migrate")
    assert call(library, "check") == "All is well.\n"
    assert replace(library, app="fuel_trucks:ALL").execute(SHOW) == "a truck's CLOSED 6 False\n"
    models.write_text(models.read_text() + "    code: Mapped[str] = mapped_column(String(20))\n")
    open_ = library.run("--app", "fuel_trucks:ALL", "makemigration", "fuel_trucks", "-m", "a code")
    assert open_.returncode == 2
    assert "fuel_trucks.code may not be NULL, and has no default" in open_.stderr


@pytest.mark.only_on("sqlite", reason="it says the same of either")
def test_another_applications_database_is_left_alone(library: Library) -> None:
    """Who forgets --app would have the demo's tables."""
    assert library.run("migrate").returncode == 0
    other = library.run("--app", "gql_app.demo.verticals:DEMO", "migrate")
    assert other.returncode == 2
    assert "is of another application (with harbour)" in other.stderr


@pytest.mark.only_on("sqlite", reason="nothing is opened")
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("new-model", "boat"), "a word like Boat"),
        (("new-model", "Fish", "--plural", "fish"), "other than the model's own"),
        (("new-model", "User"), "the name of a type that the service has"),
        (("new-model", "Class"), "a word of Python's"),
        (("--app", "boats", "schema"), "write MODULE:NAME"),
        (("makemigration", "boats"), "No vertical 'boats' has migrations"),
    ],
)
def test_what_cannot_be_written_is_refused(library: Library, arguments: tuple[str, ...], sentence: str) -> None:
    done = library.run(*arguments)
    assert done.returncode == 2
    assert sentence in done.stderr
