"""`deliveries list` and `deliveries retry`."""

import argparse
import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from gql_app.api.ids import encode_id, id_of
from gql_app.app import App
from gql_app.commands.arguments import number
from gql_app.deliveries import service
from gql_app.deliveries.models import Channel, Delivery, DeliveryState
from gql_app.errors import Invalid
from gql_app.settings import Settings


def add_to(commands: Any) -> None:
    actions = commands.add_parser("deliveries", help="messages owed").add_subparsers(required=True, metavar="ACTION")
    parser = actions.add_parser("list", help="the latest messages")
    parser.add_argument("--state", choices=[s.name.lower() for s in DeliveryState], type=str.lower)
    parser.add_argument(
        "--channel", metavar="NAME", type=str.lower, help="sms, email, or one that a vertical has brought"
    )
    parser.add_argument("--limit", type=number(1, 100_000), default=50)
    parser.set_defaults(run=run_list)
    parser = actions.add_parser("retry", help="send messages again that were given up or did not arrive")
    parser.add_argument("ids", nargs="*", metavar="ID")
    parser.add_argument("--dead", action="store_true", help="all that were given up")
    parser.set_defaults(run=run_retry)


def run_list(args: argparse.Namespace) -> int:
    return asyncio.run(_list(args))


async def _list(args: argparse.Namespace) -> int:
    app = App(Settings.from_environment())
    async with app.running(feed=False, deliver=False):
        channels = {each.name.lower(): each for each in app.application.channels}
        if args.channel is not None and args.channel not in channels:
            raise Invalid(f"--channel is one of these: {', '.join(channels)}.")
        rows = await app.db.read(_latest, args.state, channels.get(args.channel), args.limit)
    for row in rows:
        said = app.application.texts.shown(row)
        text = (said.subject or said.body).replace("\n", " ")[:60]
        print(
            f"{encode_id('Delivery', row.public_id)}  {row.created_at:%Y-%m-%d %H:%M:%S}  {row.channel.name:5} "
            f"{row.shown_state.name:11} {row.recipient:30} {text}"
        )
    return 0


def _latest(session: Session, state: str | None, channel: Channel | None, limit: int) -> Sequence[Delivery]:
    query = select(Delivery).order_by(Delivery.id.desc()).limit(limit)
    if state:
        query = query.where(service.shown_as(DeliveryState[state.upper()]))
    if channel is not None:
        query = query.where(Delivery.channel == channel)
    return session.scalars(query).all()


def run_retry(args: argparse.Namespace) -> int:
    if not args.ids and not args.dead:
        raise Invalid("Say which: ids from `deliveries list`, or --dead.")
    return asyncio.run(_retry(args))


async def _retry(args: argparse.Namespace) -> int:
    public_ids = [id_of("Delivery", each) for each in args.ids]
    app = App(Settings.from_environment())
    async with app.running(feed=False, deliver=False):
        count = await app.db.write(_queue_again, public_ids, args.dead)
    print(f"{count} queued again.")
    return 0


def _queue_again(session: Session, public_ids: Sequence[UUID], dead: bool) -> int:
    """All or none: an id that cannot be retried leaves the others as they were."""
    chosen = set(public_ids)
    if dead:
        chosen.update(session.scalars(select(Delivery.public_id).where(Delivery.state == DeliveryState.DEAD)))
    for public_id in sorted(chosen):
        service.retry(session, None, public_id)
    return len(chosen)
