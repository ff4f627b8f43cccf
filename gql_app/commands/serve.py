"""`serve` and `worker`: the processes that run."""

import argparse
import asyncio
import signal
from collections.abc import Sequence
from functools import partial
from typing import Any

from gql_app import server
from gql_app.app import App
from gql_app.asgi import create_app
from gql_app.commands.arguments import number
from gql_app.settings import Settings


def add_to(commands: Any) -> None:
    parser = commands.add_parser("serve", help="serve the API and deliver messages")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=number(0, 65_535), default=8000, help="default: 8000; 0 takes a free one")
    parser.add_argument("--workers", type=number(1, 64), default=1, help="processes (default: 1)")
    parser.add_argument("--demo", action="store_true", help="fill an empty database with people and requests")
    parser.add_argument("--no-deliveries", action="store_true", help="leave the messages to `gql-app worker`")
    parser.set_defaults(run=run_serve)
    parser = commands.add_parser("worker", help="deliver messages, and serve nothing")
    parser.set_defaults(run=run_worker)


def run_serve(args: argparse.Namespace) -> int:
    settings = Settings.from_environment(demo=args.demo, inline_worker=not args.no_deliveries)
    said = asyncio.run(_prepare(settings))
    if args.workers > 1:
        settings.hand_down()
        app: Any = "gql_app.asgi:create_app"
    else:
        app = create_app(settings)
    keep_alive = int(settings.keep_alive.total_seconds())
    config = server.configuration(app, host=args.host, port=args.port, workers=args.workers, keep_alive=keep_alive)
    server.serve(config, partial(_announce, args, said))
    return 0


def _announce(args: argparse.Namespace, said: Sequence[str], port: int) -> None:
    host = f"[{args.host}]" if ":" in args.host else args.host
    url = f"http://{'127.0.0.1' if args.host == '0.0.0.0' else host}:{port}"  # noqa: S104
    print(f"gql_app is at {url}/ and GraphiQL at {url}/graphql", flush=True)
    for each in said:
        print(each, flush=True)


async def _prepare(settings: Settings) -> list[str]:
    """Migrate an embedded database and fill the demo's, before any process serves it. Returns what the demo says."""
    app = App(settings)
    async with app.running(feed=False, deliver=False):
        demos = [each.demo for each in app.application.verticals if each.demo is not None]
        return [await fill(app) for fill in demos] if settings.demo else []


def run_worker(args: argparse.Namespace) -> int:
    asyncio.run(_work(Settings.from_environment()))
    return 0


async def _work(settings: Settings) -> None:
    stop = asyncio.Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(each, stop.set)
    async with App(settings).running(feed=False):
        print("gql_app delivers messages; stop it with Ctrl-C", flush=True)
        await stop.wait()
