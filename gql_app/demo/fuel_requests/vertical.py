"""Fuel requests as a vertical."""

from pathlib import Path

from gql_app import Vertical
from gql_app.accounts import ACCOUNTS
from gql_app.demo.fuel_requests import graphql, rules, service

FUEL_REQUESTS = Vertical(
    "fuel_requests",
    needs=(ACCOUNTS,),
    entities=(graphql.FuelRequest,),
    migrations=Path(__file__).parent / "migrations",
    mutations=(service.submit_fuel_request, service.decide_fuel_request),
    rules=(rules.tell_requester,),
    templates=rules.TEMPLATES,
)
