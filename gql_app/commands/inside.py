"""The commands of verticals: each runs inside an opened process that neither serves nor delivers."""

import argparse
import asyncio

from gql_app.app import App
from gql_app.errors import ConfigurationError
from gql_app.settings import Settings


def run(args: argparse.Namespace) -> int:
    return asyncio.run(_run(args))


async def _run(args: argparse.Namespace) -> int:
    work = getattr(args, "work", None)
    if work is None:
        raise ConfigurationError("This command does not say what is to be done: set_defaults(work=…) in its vertical.")
    app = App(Settings.from_environment())
    async with app.running(feed=False, deliver=False):
        return int(await work(app, args) or 0)
