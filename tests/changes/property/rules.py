"""Rules of the random programs: they look at what they are handed, and some fail."""

from typing import Any

from sqlalchemy import inspect, select

from gql_app.deliveries.rules import Change, on_change, on_create
from tests.changes.property.acting import Oops
from tests.changes.property.models import Crate, Ship

BOOM = "boom"
"""A name for which a rule fails."""


def _look(change: Change[Ship], name: str) -> None:
    """The subject must be an object of this session, and show the row; the change must end with the row's value."""
    state: Any = inspect(change.subject)
    assert state.session is change.session, "a rule was handed an object of another session"
    query = select(Ship.public_id, getattr(Ship, name)).where(Ship.public_id == change.subject.public_id)
    row = change.session.execute(query).one()
    assert change.new == row[1], "a rule was handed another value than the row's"
    if name != "plan":  # a JSON that was changed in place, of which nobody knows, is the unit of work's own
        assert getattr(change.subject, name) == row[1], "a rule was handed a stale object"


def _on_depth(change: Change[Ship]) -> tuple[()]:
    _look(change, "depth")
    return ()


def _on_plan(change: Change[Ship]) -> tuple[()]:
    _look(change, "plan")
    return ()


def _on_name(change: Change[Ship]) -> tuple[()]:
    _look(change, "name")
    if change.new == BOOM:
        raise Oops
    return ()


def _greet(change: Change[Crate]) -> tuple[()]:
    assert change.subject.public_id is not None
    return ()


RULES = (
    on_change(Ship.depth, propagate=True)(_on_depth),
    on_change(Ship.plan, propagate=True)(_on_plan),
    on_change(Ship.name, propagate=True)(_on_name),
    on_create(Crate, propagate=True)(_greet),
)
