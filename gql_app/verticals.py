"""The verticals that the service consists of unless it is told otherwise, and how others are found by name."""

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from gql_app.accounts.vertical import ACCOUNTS
from gql_app.api.vertical import Vertical
from gql_app.application import Application
from gql_app.audit.graphql import AUDIT
from gql_app.deliveries.graphql import DELIVERIES
from gql_app.demo import PEOPLE_AND_REQUESTS
from gql_app.errors import ConfigurationError
from gql_app.fuel_requests.vertical import FUEL_REQUESTS
from gql_app.projects.vertical import PROJECTS
from gql_app.settings import DEFAULT_APP
from gql_app.visibility.graphql import VISIBILITY

DEMO: Sequence[Vertical] = (ACCOUNTS, FUEL_REQUESTS, PROJECTS, DELIVERIES, AUDIT, VISIBILITY, PEOPLE_AND_REQUESTS)


def named(place: str) -> Application:
    """The application of the verticals that ``package.module:attribute`` names.

    Raises:
        ConfigurationError: there are none in this place, or they do not fit together.
    """
    module, _, attribute = place.partition(":")
    if place != DEFAULT_APP and not {"", str(Path.cwd())} & set(sys.path):
        sys.path.insert(0, str(Path.cwd()))  # as `python -m` does: somebody's package beside where she stands
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(f"GQL_APP_APP names {place!r}, and there is no such thing: {error}") from error
    verticals = tuple(found) if isinstance(found, Sequence) else ()
    if not verticals or not all(isinstance(each, Vertical) for each in verticals):
        raise ConfigurationError(f"GQL_APP_APP names {place!r}, which is no list of verticals")
    return Application(verticals)
