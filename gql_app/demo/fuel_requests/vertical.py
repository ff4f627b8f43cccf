"""Fuel requests as a vertical."""

from pathlib import Path

from gql_app import Vertical
from gql_app.accounts import ACCOUNTS
from gql_app.demo.fuel_requests import rules
from gql_app.demo.fuel_requests.graphql import (
    FuelRequestMutations,
    FuelRequestQueries,
    FuelRequestSubscriptions,
    seen_by_public_id,
)
from gql_app.demo.fuel_requests.models import FuelRequest

FUEL_REQUESTS = Vertical(
    "fuel_requests",
    migrations=Path(__file__).parent / "migrations",
    models=(FuelRequest,),
    needs=(ACCOUNTS,),
    queries=(FuelRequestQueries,),
    mutations=(FuelRequestMutations,),
    subscriptions=(FuelRequestSubscriptions,),
    nodes={"FuelRequest": seen_by_public_id},
    rules=(rules.tell_requester,),
    templates=rules.TEMPLATES,
)
