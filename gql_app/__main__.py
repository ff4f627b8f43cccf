"""The command line: `gql-app COMMAND`, or `python -m gql_app COMMAND`."""

import argparse
import logging
import sys
from collections.abc import Sequence

from sqlalchemy.exc import DBAPIError

from gql_app.commands import deliveries, maintenance, people, serve
from gql_app.db import is_outage
from gql_app.errors import GqlAppError
from gql_app.settings import choose_app

QUIET = ("alembic", "twilio")
"""Loggers of libraries that say too much at INFO: Twilio's client writes down whole requests, phone numbers too."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="gql-app", description="A GraphQL backend in which a committed change reaches people."
    )
    parser.add_argument("--app", metavar="MODULE:NAME", help="the list of verticals to serve (or GQL_APP_APP)")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for group in (serve, maintenance, people, deliveries):
        group.add_to(commands)
    args = parser.parse_args(argv)
    if args.app is not None:
        choose_app(args.app)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        return int(args.run(args))
    except GqlAppError as error:
        print(error.message, file=sys.stderr)
        return 2
    except DBAPIError as error:
        if not is_outage(error):
            raise
        print("The database went away before this was done: call it again when it is back.", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
