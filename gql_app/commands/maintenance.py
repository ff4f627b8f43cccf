"""`migrate`, `schema`, `prune`, `check`."""

import argparse
import asyncio
import difflib
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy.exc import DBAPIError

from gql_app import idempotency, migrations
from gql_app.app import App
from gql_app.application import Application, named
from gql_app.changes import log
from gql_app.changes.baseline import note_what_is_tracked
from gql_app.changes.sequencer import PATIENCE, OutboxLocked, move
from gql_app.changes.tracking import Tracked, tracked_models
from gql_app.commands.arguments import number
from gql_app.db import Database, is_locked, is_outage, now
from gql_app.deliveries import queue, service
from gql_app.errors import ConfigurationError
from gql_app.migrations import Branch
from gql_app.outside.switch import drain, renew
from gql_app.reconcile import Finding, reconcile, summary
from gql_app.schema import printed
from gql_app.settings import Settings

LONGEST_DAYS = 36_500
UNMOVED = (
    "The outbox could not be moved into the log (its lock is held, or the database is read-only): "
    "its entries were looked at where they are, without positions."
)


def add_to(commands: Any) -> None:
    parser = commands.add_parser("migrate", help="bring the database's tables up to date")
    parser.add_argument(
        "--back",
        metavar="VERTICAL:REVISION",
        help="take the tables of one vertical back instead, with what is in them ('before:0009' for the version of the "
        "time before verticals had migrations; the revision 'base' leaves no table)",
    )
    parser.set_defaults(run=run_migrate)
    parser = commands.add_parser("schema", help="print the GraphQL schema")
    parser.add_argument("--check", metavar="FILE", nargs="?", const="schema.graphql", help="compare it with a file")
    parser.set_defaults(run=run_schema)
    parser = commands.add_parser("prune", help="forget old events of the change log and finished messages")
    parser.add_argument("--older-than-days", type=number(1, LONGEST_DAYS), required=True, metavar="DAYS")
    parser.set_defaults(run=run_prune)
    parser = commands.add_parser("check", help="hold the rows, the change log and the deliveries against each other")
    parser.add_argument("--most", type=number(1, 1_000_000), default=100, help="findings to print (default: 100)")
    parser.set_defaults(run=run_check)


def run_migrate(args: argparse.Namespace) -> int:
    asyncio.run(_migrate(args.back))
    print("The tables are up to date." if args.back is None else f"The tables are at {args.back}.")
    return 0


async def _migrate(back: str | None) -> None:
    settings = Settings.from_environment()
    application = named(settings.app)
    db = Database(settings.database_url.reveal(), fast=settings.fast)
    try:
        await db.reach()
        if back is not None:
            branch, revision = _branch(application, back)
            if branch in (migrations.ENGINE, migrations.BEFORE):
                await write_out(db, application)
            return await migrations.take_back(db, branch, revision)
        await migrations.upgrade(db, application.branches)
        await note_what_is_tracked(db, application.models)
        await renew(db, application.models)
    except DBAPIError as error:
        if not is_locked(error):
            raise
        raise ConfigurationError(
            "Another transaction holds a table that is to be changed, for longer than the database's lock_timeout. "
            "Nothing was changed: end that transaction, or try again later."
        ) from error
    finally:
        await db.close()


def _branch(application: Application, back: str) -> tuple[Branch, str]:
    name, _, revision = back.partition(":")
    known = {each.name: each for each in (migrations.BEFORE, *application.branches)}
    if name not in known or not revision:
        raise ConfigurationError(f"Write --back VERTICAL:REVISION, with one of these verticals: {', '.join(known)}.")
    return known[name], revision


async def write_out(db: Database, application: Application) -> None:
    """Give messages that are owed their texts: an older version may know no templates."""
    if await migrations.is_current(db, application.branches):
        await db.write(service.write_out, application.texts)


def run_schema(args: argparse.Namespace) -> int:
    text = printed(named(Settings.from_environment().app).schema)
    if args.check is None:
        print(text, end="")
        return 0
    path = Path(args.check)
    kept = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    changes = list(difflib.unified_diff(kept, text.splitlines(), str(path), "the code", lineterm=""))
    print("\n".join(changes) if changes else f"{path} is up to date.")
    return 1 if changes else 0


def run_prune(args: argparse.Namespace) -> int:
    print(asyncio.run(_prune(timedelta(days=args.older_than_days))))
    return 0


async def _prune(age: timedelta) -> str:
    app = App(Settings.from_environment(), patient=True)
    counts = []
    async with app.running(feed=False, deliver=False):
        before = await app.db.read(now) - age  # by the database's clock: ours may be wrong, and that cannot be undone
        for forget in (log.prune, queue.prune):
            total = 0
            while count := await app.db.write(forget, before):  # in bites, so that nobody waits long
                total += count
            counts.append(total)
        await app.db.write(idempotency.forget)
    return f"{counts[0]} events and {counts[1]} messages forgotten."


def run_check(args: argparse.Namespace) -> int:
    findings, is_moved = asyncio.run(_check())
    if not is_moved:
        print(UNMOVED)
    for finding in findings[: args.most]:
        print(finding)
    print(f"{len(findings)} findings: {summary(findings)}" if findings else "All is well.")
    return 1 if findings else 0


async def _check() -> tuple[list[Finding], bool]:
    """The findings, and whether the outbox could be moved.

    No other part of a process is opened: the database may be read-only.
    """
    settings = Settings.from_environment()
    application = named(settings.app)
    db = Database(settings.database_url.reveal(), patient=True, fast=settings.fast)
    try:
        await db.reach()
        await migrations.require_current(db, application.branches, application.tracked_tables)
        is_moved = await settle(db, application.models)
        return await db.read(reconcile, application.models, application.channels), is_moved
    finally:
        await db.close()


async def settle(db: Database, models: Iterable[type[Tracked]] | None = None, *, patience: float = PATIENCE) -> bool:
    """Write down what is tracked and what came from outside, and move the outbox; False where that cannot be done now.

    The check goes on then.
    """
    try:
        await note_what_is_tracked(db, models)
        await drain(db, list(tracked_models() if models is None else models))
        await move(db, patience=patience)
    except OutboxLocked:
        return False
    except DBAPIError as error:
        if is_outage(error):
            raise
        return False
    return True
