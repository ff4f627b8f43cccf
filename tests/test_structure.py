"""The shape of the house: what may import what, and what must be kept in step."""

import ast
import asyncio
import re
import subprocess
import sys
import warnings
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text

from gql_app import migrations
from gql_app.db import Base
from gql_app.deliveries import queue
from gql_app.deliveries.models import Channel
from gql_app.demo.verticals import DEMO
from gql_app.migrations import steps
from gql_app.schema import build, printed
from tests import postgres
from tests.conftest import require
from tests.migrating import SERVICE, back, migrate
from tests.ruling import service_database
from tests.things import add_user

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "gql_app"

LAYERS = (
    {"errors"},
    {"settings", "texts", "db"},
    {"audiences", "limiter"},
    {"changes"},
    {"viewer", "idempotency"},
    {"api"},
    {"execution"},
    {"declared"},
    {"deliveries", "vertical"},
    {"accounts"},
    {"audit", "visibility", "mailbox"},
    {"reconcile", "schema", "migrations", "outside", "transport", "pages", "ops", "server"},
    {"application"},
    {"demo"},
    {"app"},
    {"asgi"},
    {"commands", "testing"},
    {"__main__"},
)
"""Arrows point one way: a room imports from its own layer's own files and from the layers above it in this list."""


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            modules = [node.module] + [f"{node.module}.{alias.name}" for alias in node.names]
            names |= {m.split(".")[1] for m in modules if m.startswith("gql_app.")}
        elif isinstance(node, ast.Import):
            names |= {a.name.split(".")[1] for a in node.names if a.name.startswith("gql_app.")}
    return names


MODULES = sorted(p for p in PACKAGE.rglob("*.py") if not re.match(r"\d{4}_", p.name))


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_arrows_point_one_way(path: Path) -> None:
    rooms = {name: level for level, names in enumerate(LAYERS) for name in names}
    here = room_of(path)
    if here == "__init__":
        return
    known = {name for name in imports(path) if name in rooms}
    assert here in rooms, f"give the room {here} its layer"
    assert all(name == here or rooms[name] <= rooms[here] for name in known), known


PUBLIC = (
    "gql_app",
    "gql_app.accounts",
    "gql_app.accounts.graphql",
    "gql_app.audit",
    "gql_app.errors",
    "gql_app.testing",
)


def _taken(path: Path) -> set[tuple[str, str]]:
    """The names that a module takes from others of ours."""
    nodes = (node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.ImportFrom))
    return {
        (str(node.module), alias.name)
        for node in nodes
        for alias in node.names
        if f"{node.module}.".startswith("gql_app.")
    }


@pytest.mark.parametrize("path", [p for p in MODULES if "demo" in p.parts], ids=lambda p: str(p.relative_to(PACKAGE)))
def test_the_demo_is_written_with_the_public_api_alone(path: Path) -> None:
    for module, name in _taken(path):
        if not module.startswith("gql_app.demo") and f"{module}.{name}" not in PUBLIC:
            assert module in PUBLIC, f"{module} is not public"
            shown = import_module(module)
            assert name in getattr(shown, "__all__", vars(shown)), f"{module}.{name} is not public"


def test_the_engine_does_not_load_the_demo_nor_accounts() -> None:
    names = "[name for name in sys.modules if name.startswith(('gql_app.demo', 'gql_app.accounts'))]"
    code = f"import sys, gql_app; print({names})"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_rooms_stay_small_and_say_what_they_are(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    assert ast.get_docstring(ast.parse(text)), "every module says in its docstring what it is"


def test_only_the_settings_read_the_environment() -> None:
    readers = {p.name for p in MODULES if re.search(r"os\.environ|getenv", p.read_text(encoding="utf-8"))}
    assert readers == {"environment.py", "model.py"}


def test_the_printed_schema_is_the_one_in_the_repository() -> None:
    assert (ROOT / "schema.graphql").read_text(encoding="utf-8") == printed(build(DEMO)), "run `make schema`"


async def test_the_models_equal_the_migrations_up_and_down(tmp_path: Path) -> None:
    db = service_database(f"sqlite+aiosqlite:///{tmp_path}/migrated.db")
    await migrate(db)

    def differences(connection: Connection) -> list[object]:
        ours = lambda thing, name, kind, *_: name != steps.VERSIONS.name  # noqa: E731
        context = MigrationContext.configure(connection, opts={"compare_type": True, "include_object": ours})
        return list(compare_metadata(context, Base.metadata))

    with warnings.catch_warnings():
        # SQLite tells nothing about these; that they are there is tested where they matter (accounts).
        warnings.filterwarnings("ignore", message=".*expression-based index.*")
        async with db.engine.connect() as connection:
            assert await connection.run_sync(differences) == []
    assert await migrations.is_current(db, SERVICE.branches)
    await back(db, migrations.BEFORE, "base")
    assert not await migrations.is_current(db, SERVICE.branches)
    await migrate(db)
    assert await migrations.is_current(db, SERVICE.branches)
    await db.close()


async def _back_and_forth(url: str) -> None:
    db = service_database(url)
    await migrate(db)
    await add_user(db)
    await db.write(queue.claim, Channel.EMAIL, datetime.now(UTC), 5)

    async def counted(*tables: str) -> list[int]:
        async with db.engine.connect() as connection:
            return [(await connection.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one() for table in tables]

    attempts, log, outbox = await counted("delivery_attempts", "change_events", "change_outbox")
    assert attempts == 1
    assert log + outbox > 0
    await back(db, migrations.BEFORE, "0002")
    assert await counted("delivery_attempts", "change_events") == [attempts, log + outbox]
    await migrate(db)
    await db.close()


def test_to_go_back_loses_neither_attempts_nor_what_is_in_the_outbox(tmp_path: Path) -> None:
    asyncio.run(_back_and_forth(f"sqlite+aiosqlite:///{tmp_path}/there.db"))
    require("PostgreSQL", postgres.is_there(), "no PostgreSQL")
    with postgres.database() as url:
        asyncio.run(_back_and_forth(url))


def test_no_tracked_file_names_a_package_registry_or_a_path_of_one_machine() -> None:
    hosts = "|".join(("pypi" + r"\.org", "pythonhosted" + r"\.org", "registry" + r"\.npmjs"))
    found = subprocess.run(["git", "grep", "-lIE", hosts], cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.stdout == ""
