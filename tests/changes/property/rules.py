"""Rules of the random programs: they look at what they are handed, and some fail."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import inspect, select

from gql_app.deliveries.rules import Change, on_change, on_create, registrations
from tests.changes.property.acting import Oops
from tests.changes.property.models import Crate, Ship

BOOM = "boom"
"""A name for which a rule fails."""


def _look(change: Change[Ship]) -> tuple[()]:
    state: Any = inspect(change.subject)
    assert state.session is change.session, "a rule was handed an object of another session"
    row = change.session.execute(select(Ship.public_id, Ship.depth).where(Ship.id == change.subject.id)).one()
    assert tuple(row) == (change.subject.public_id, change.subject.depth), "a rule was handed a stale object"
    assert change.new == row.depth, "a rule was handed another value than the row's"
    return ()


def _look_at_plan(change: Change[Ship]) -> tuple[()]:
    plan = change.session.execute(select(Ship.plan).where(Ship.id == change.subject.id)).scalar_one()
    assert change.new == plan, "a rule was handed another JSON than the row's"
    return ()


def _fail(change: Change[Ship]) -> tuple[()]:
    if change.new == BOOM:
        raise Oops
    return ()


def _greet(change: Change[Crate]) -> tuple[()]:
    assert change.subject.public_id is not None
    return ()


@contextmanager
def rules() -> Iterator[None]:
    known = list(registrations)
    on_change(Ship.depth, propagate=True)(_look)
    on_change(Ship.plan, propagate=True)(_look_at_plan)
    on_change(Ship.name, propagate=True)(_fail)
    on_create(Crate, propagate=True)(_greet)
    try:
        yield
    finally:
        registrations[:] = known
