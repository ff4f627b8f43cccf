"""The command line: `gql-app COMMAND`, or `python -m gql_app COMMAND`."""

import argparse
import logging
import sys
from collections.abc import Sequence

from sqlalchemy.exc import DBAPIError

from gql_app.application import named
from gql_app.commands import authoring, capture, deliveries, inside, maintenance, serve
from gql_app.db import is_outage
from gql_app.errors import ConfigurationError, GqlAppError
from gql_app.settings import choose_app, chosen_app

QUIET = ("alembic", "twilio")
"""Loggers of libraries that say too much at INFO: Twilio's client writes down whole requests, phone numbers too."""


def main(argv: Sequence[str] | None = None) -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        args = _parse(argv)
        return int(args.run(args))
    except GqlAppError as error:
        print(error.message, file=sys.stderr)
        return 2
    except DBAPIError as error:
        if not is_outage(error):
            raise
        print("The database went away before this was done: call it again when it is back.", file=sys.stderr)
        return 2


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The application is chosen first: its verticals bring commands, too."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--app", metavar="MODULE:NAME", help="the list of verticals to serve (or GQL_APP_APP)")
    chosen = first.parse_known_args(argv)[0].app
    if chosen is not None:
        choose_app(chosen)
    parser = argparse.ArgumentParser(
        prog="gql-app",
        description="A GraphQL backend in which a committed change reaches people.",
        parents=[first],
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for group in (serve, maintenance, deliveries, capture, authoring):
        group.add_to(commands)
    try:
        verticals = named(chosen_app()).verticals
    except ConfigurationError as error:
        parser.epilog = f"Commands of verticals are missing: {error.message}"
        parser.parse_args(argv)  # help, or a slip of the pen, needs no application
        raise
    for vertical in verticals:
        if vertical.commands is not None:
            try:
                vertical.commands(commands)
            except (argparse.ArgumentError, ValueError) as error:
                raise ConfigurationError(f"The commands of {vertical.name} cannot be added: {error}") from error
    args = parser.parse_args(argv)
    return args if hasattr(args, "run") else argparse.Namespace(**vars(args), run=inside.run)


if __name__ == "__main__":
    sys.exit(main())
