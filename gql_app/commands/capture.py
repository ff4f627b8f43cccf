"""`capture install`, `capture remove`, `capture status`: whether writes from outside reach the change log."""

import argparse
import asyncio
from typing import Any

from sqlalchemy.exc import DBAPIError

from gql_app.app import App
from gql_app.errors import ConfigurationError
from gql_app.outside import switch
from gql_app.settings import Settings

LACKS_RIGHTS = "42501"
"""PostgreSQL's insufficient_privilege (its appendix A)."""


def add_to(commands: Any) -> None:
    actions = commands.add_parser(
        "capture", help="have writes from outside (psql, another service, ON DELETE CASCADE) reach the change log"
    ).add_subparsers(required=True, metavar="ACTION")
    for name, said in (
        ("install", "make triggers that note them; again after a migration of tracked tables"),
        ("remove", "drop the triggers"),
        ("status", "whether there are triggers"),
    ):
        actions.add_parser(name, help=said).set_defaults(run=run, action=name)


def run(args: argparse.Namespace) -> int:
    print(asyncio.run(_run(args.action)))
    return 0


async def _run(action: str) -> str:
    settings = Settings.from_environment()
    app = App(settings, patient=True)
    models = app.application.models
    async with app.running(feed=False, deliver=False):
        try:
            if action == "install":
                # Each process looks once in its interval; one that is busy gets as long again.
                await switch.install(app.db, models, pause=max(1.0, 3 * settings.poll_interval.total_seconds()))
                return "Writes from outside reach the change log from now on."
            if action == "remove":
                await switch.remove(app.db, models)
                return "Writes from outside do not reach the change log any more."
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != LACKS_RIGHTS:
                raise
            raise ConfigurationError(
                "The database user of GQL_APP_DATABASE_URL may not make triggers and functions: let the owner of the "
                "tables GRANT TRIGGER on them and CREATE ON SCHEMA, or run this as the owner."
            ) from error
        return f"Writes from outside {'reach' if await switch.is_installed(app.db) else 'do not reach'} the change log."
