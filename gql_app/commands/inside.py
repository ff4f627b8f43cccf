"""The commands of verticals: each runs inside an opened process that neither serves nor delivers."""

import argparse
import asyncio

from gql_app.app import App
from gql_app.settings import Settings


def run(args: argparse.Namespace) -> int:
    return asyncio.run(_run(args))


async def _run(args: argparse.Namespace) -> int:
    app = App(Settings.from_environment())
    async with app.running(feed=False, deliver=False):
        return int(await args.work(app, args))
