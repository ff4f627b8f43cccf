"""Rules that a test declares, besides those of the service or instead of them."""

from collections.abc import Callable
from typing import Any

from gql_app.db import Database
from gql_app.deliveries.models import Delivery
from gql_app.deliveries.owing import in_force
from gql_app.deliveries.templates import Rendered
from gql_app.deliveries.texts import TEXTS
from tests.fast import FAST
from tests.migrating import SERVICE

Ruled = Callable[[Any], Any]
"""Puts a declared rule in force."""


def service_database(url: str, *, patient: bool = False) -> Database:
    """A database in which the rules of the service are in force."""
    db = Database(url, patient=patient, fast=FAST)
    db.session_info |= {TEXTS: SERVICE.texts, **in_force(SERVICE.rules)}
    return db


def besides(db: Database) -> Ruled:
    """A decorator: the rule is in force, and so are those of the service."""
    return _adding(db, list(SERVICE.rules))


def alone(db: Database) -> Ruled:
    """A decorator: only rules with it are in force."""
    db.session_info |= in_force(())
    return _adding(db, [])


def _adding(db: Database, known: list[Any]) -> Ruled:
    def put_in_force(rule: Any) -> Any:
        known.append(rule)
        db.session_info |= in_force(known)
        return rule

    return put_in_force


def said(row: Delivery) -> Rendered:
    """What a message of the service says."""
    return SERVICE.texts.render(row)
