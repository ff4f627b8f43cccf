"""Since when something is tracked: rows may be older, and nothing in the log tells of them."""

from collections.abc import Iterable
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from gql_app.changes import log
from gql_app.changes.models import TrackedSince
from gql_app.changes.tracking import Tracked, attributes_of, entity_type, tracked_models
from gql_app.db import Database

Name = tuple[str, str]
"""An entity type and an attribute, '' for the entity as a whole."""


def names_of(models: Iterable[type[Tracked]]) -> set[Name]:
    """What of these models is tracked."""
    return {(entity_type(model), name) for model in models for name in ("", *attributes_of(model))}


async def note_what_is_tracked(db: Database, models: Iterable[type[Tracked]] | None = None) -> None:
    """Write down for all that is tracked and was not yet that it is tracked from here on.

    ``models`` are those of the application; by default all of this process.
    Any number of processes may do so at the same time: the first one counts.
    """
    missing = names_of(tracked_models() if models is None else models) - await db.read(_known)
    if missing:
        await db.write(_add, sorted(missing))


def _known(session: Session) -> set[Name]:
    found = session.execute(select(TrackedSince.entity_type, TrackedSince.attribute))
    return {(kind, attribute) for kind, attribute in found}


def _add(session: Session, names: list[Name]) -> None:
    head, now = log.head(session), datetime.now(UTC)
    rows = [{"entity_type": kind, "attribute": name, "since_position": head, "since": now} for kind, name in names]
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    session.connection().execute(insert(TrackedSince).on_conflict_do_nothing(), rows)
