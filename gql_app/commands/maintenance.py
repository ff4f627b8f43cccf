"""`migrate`, `schema`, `prune`."""

import argparse
import asyncio
import difflib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from gql_app import migrations
from gql_app.app import App
from gql_app.changes import log
from gql_app.db import Database
from gql_app.schema import printed
from gql_app.settings import Settings


def add_to(commands: Any) -> None:
    parser = commands.add_parser("migrate", help="bring the database's tables up to date")
    parser.set_defaults(run=run_migrate)
    parser = commands.add_parser("schema", help="print the GraphQL schema")
    parser.add_argument("--check", metavar="FILE", nargs="?", const="schema.graphql", help="compare it with a file")
    parser.set_defaults(run=run_schema)
    parser = commands.add_parser("prune", help="forget old events of the change log")
    parser.add_argument("--older-than-days", type=int, required=True, metavar="DAYS")
    parser.set_defaults(run=run_prune)


def run_migrate(args: argparse.Namespace) -> int:
    asyncio.run(_migrate())
    print("The tables are up to date.")
    return 0


async def _migrate() -> None:
    db = Database(Settings.from_environment().database_url.reveal())
    try:
        await migrations.upgrade(db)
    finally:
        await db.close()


def run_schema(args: argparse.Namespace) -> int:
    if args.check is None:
        print(printed(), end="")
        return 0
    path = Path(args.check)
    kept = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    changes = list(difflib.unified_diff(kept, printed().splitlines(), str(path), "the code", lineterm=""))
    print("\n".join(changes) if changes else f"{path} is up to date.")
    return 1 if changes else 0


def run_prune(args: argparse.Namespace) -> int:
    if args.older_than_days < 1:
        raise SystemExit("Keep at least one day: clients resume from the log.")
    print(f"{asyncio.run(_prune(timedelta(days=args.older_than_days)))} events forgotten.")
    return 0


async def _prune(age: timedelta) -> int:
    app = App(Settings.from_environment())
    async with app.running(feed=False, deliver=False):
        return await app.db.write(log.prune, datetime.now(UTC) - age)
