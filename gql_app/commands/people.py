"""`user add`: how the first admin comes in."""

import argparse
import asyncio
import getpass
import sys
from typing import Any

from gql_app.accounts import service
from gql_app.accounts.service import NewUser
from gql_app.app import App
from gql_app.errors import Invalid
from gql_app.settings import Settings
from gql_app.viewer import Role


def add_to(commands: Any) -> None:
    user = commands.add_parser("user", help="people with accounts").add_subparsers(required=True, metavar="ACTION")
    parser = user.add_parser("add", help="add somebody; the password comes from a prompt or from standard input")
    parser.add_argument("--username", required=True)
    parser.add_argument("--email", required=True)
    parser.add_argument("--role", choices=[role.name.lower() for role in Role], default="user", type=str.lower)
    parser.add_argument("--phone")
    parser.add_argument("--premium", action="store_true")
    parser.set_defaults(run=run_add)


def run_add(args: argparse.Namespace) -> int:
    asyncio.run(_add(args, _password()))
    return 0


def _password() -> str:
    if not sys.stdin.isatty():
        try:
            return sys.stdin.buffer.readline().decode().rstrip("\r\n")
        except UnicodeDecodeError:
            raise Invalid("The password has characters that cannot be used: send it in UTF-8.") from None
    first = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != first:
        raise Invalid("The two passwords differ.")
    return first


async def _add(args: argparse.Namespace, password: str) -> None:
    username, email = service.clean_username(args.username), service.clean_email(args.email)
    phone = service.clean_phone_number(args.phone)
    app = App(Settings.from_environment())
    async with app.running(feed=False, deliver=False):
        hashed = await app.passwords.hash(password, personal=(username, email))
        role = Role[args.role.upper()]
        user, _ = await app.db.write(service.sign_up, NewUser(username, email, hashed, phone, args.premium, role), None)
        print(f"Added {user.username} ({role.name.lower()}).")
