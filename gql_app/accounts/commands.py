"""`user add`: how the first admin comes in."""

import argparse
import getpass
import sys
from typing import Any

from gql_app.accounts import names, service
from gql_app.accounts.passwords import Passwords
from gql_app.accounts.roles import Role
from gql_app.accounts.service import NewUser
from gql_app.errors import Invalid
from gql_app.vertical import Process


def add_to(commands: Any) -> None:
    user = commands.add_parser("user", help="people with accounts").add_subparsers(required=True, metavar="ACTION")
    parser = user.add_parser("add", help="add somebody; the password comes from a prompt or from standard input")
    parser.add_argument("--username", required=True)
    parser.add_argument("--email", required=True)
    parser.add_argument("--role", choices=[role.name.lower() for role in Role], default="user", type=str.lower)
    parser.add_argument("--phone")
    parser.add_argument("--premium", action="store_true")
    parser.set_defaults(work=add)


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


async def add(process: Process, args: argparse.Namespace) -> int:
    password = _password()
    username, email = names.clean_username(args.username), names.clean_email(args.email)
    phone = names.clean_phone_number(args.phone)
    hashed = await process.resource(Passwords).hash(password, personal=(username, email))
    role = Role[args.role.upper()]
    user, _ = await process.db.write(service.sign_up, NewUser(username, email, hashed, phone, args.premium, role), None)
    print(f"Added {user.username} ({role.name.lower()}).")
    return 0
