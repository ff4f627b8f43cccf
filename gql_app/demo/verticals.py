"""The verticals that the service consists of unless it is told otherwise."""

from collections.abc import Sequence

from gql_app import DELIVERIES, VISIBILITY, Vertical
from gql_app.accounts import ACCOUNTS
from gql_app.audit import AUDIT
from gql_app.demo.fuel_requests.vertical import FUEL_REQUESTS
from gql_app.demo.people import PEOPLE_AND_REQUESTS
from gql_app.demo.projects.vertical import PROJECTS

DEMO: Sequence[Vertical] = (ACCOUNTS, FUEL_REQUESTS, PROJECTS, DELIVERIES, AUDIT, VISIBILITY, PEOPLE_AND_REQUESTS)
