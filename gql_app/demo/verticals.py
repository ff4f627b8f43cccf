"""The verticals that the service consists of unless it is told otherwise."""

from collections.abc import Sequence

from gql_app.accounts.vertical import ACCOUNTS
from gql_app.api.vertical import Vertical
from gql_app.audit.graphql import AUDIT
from gql_app.deliveries.graphql import DELIVERIES
from gql_app.demo.fuel_requests.vertical import FUEL_REQUESTS
from gql_app.demo.people import PEOPLE_AND_REQUESTS
from gql_app.demo.projects.vertical import PROJECTS
from gql_app.visibility.graphql import VISIBILITY

DEMO: Sequence[Vertical] = (ACCOUNTS, FUEL_REQUESTS, PROJECTS, DELIVERIES, AUDIT, VISIBILITY, PEOPLE_AND_REQUESTS)
