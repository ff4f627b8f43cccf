"""What was written from outside becomes entries of the log.

Must hold: what others had committed before a transaction of ours comes before that transaction's own entries, and what
the database did because of ours belongs to ours. So each transaction that records something first takes in what waits;
while nobody does, a process's `Intake` does it by itself.

No rules are run for what others did, and nobody is named as their actor.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from uuid import uuid4

from prometheus_client import Counter
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from gql_app.changes.audience import Sides
from gql_app.changes.capture import Entry, entries_of, record
from gql_app.changes.net import Entity
from gql_app.outside import images
from gql_app.outside.images import Image
from gql_app.outside.lives import Lives
from gql_app.outside.tables import Watched

logger = logging.getLogger(__name__)

taken_in = Counter("gql_app_outside_images", "Rows written from outside that this process has put into the change log")

LIMIT = 5_000
"""Images that are taken in by one transaction of an `Intake`."""


@dataclass(frozen=True)
class TakeIn:
    """What a session's transaction asks before it writes its own entries (see `besides.TakesIn`)."""

    watched: Sequence[Watched]

    def others(self, session: Session) -> None:
        take_in(session, self.watched)

    def own(self, session: Session) -> Sequence[Entity]:
        found = images.of_this_transaction(session.connection(), self.watched)
        if not found:
            return ()
        images.forget(session.connection(), found)
        taken_in.inc(len(found))
        return _entities(session, _without_idle_replacements(found))


def take_in(session: Session, watched: Sequence[Watched], limit: int | None = None) -> int:
    """Make entries of what others have written, in the session's transaction; returns how many images there were."""
    connection = session.connection()
    found = images.of_others(connection, watched, limit)
    failed: list[Image] = []
    for its in _by_transaction(found):
        try:
            entries = _entries(session, _without_idle_replacements(its))
        except DBAPIError:
            raise
        except Exception:
            logger.exception("%s rows from outside cannot be told: `gql-app check` says of what", len(its))
            failed += its
        else:
            record(session, entries, uuid4(), by_nobody=True)
    set_aside = {image.id for image in failed}
    images.set_aside(connection, failed)
    images.forget(connection, [image for image in found if image.id not in set_aside])
    taken_in.inc(len(found))
    return len(found)


def _entries(session: Session, its: Sequence[Image]) -> Sequence[Entry]:
    """Must hold: no row is locked for them. Somebody who holds it may be waiting for our turn to end."""
    entities = _entities(session, its)
    return entries_of(entities, Sides(session, entities, locked=False)) if entities else ()


def _entities(session: Session, its: Iterable[Image]) -> list[Entity]:
    lives = Lives(session.get_bind().dialect)
    for image in its:
        lives.follow(image)
    return list(lives.entities())


def _by_transaction(found: Sequence[Image]) -> Iterator[Sequence[Image]]:
    """Each transaction's images, in the order of the transactions' ends.

    Must hold: what was committed there and back is told. SQLite names no transaction, so there a row that is written
    again begins another group.
    """
    ends = {image.tx: image.id for image in found}
    ordered = sorted(found, key=lambda image: (ends[image.tx], image.id))
    for tx, its in groupby(ordered, lambda image: image.tx):
        if tx is None:
            yield from _each_row_once(its)
        else:
            yield list(its)


def _each_row_once(found: Iterable[Image]) -> Iterator[Sequence[Image]]:
    group: list[Image] = []
    rows: set[tuple[str, tuple[object, ...]]] = set()
    for image in found:
        place = image.watched.table.fullname
        if image.op in ("UPDATE", "DELETE") and (place, image.key_before) in rows:
            yield group
            group, rows = [], set()
        group.append(image)
        rows |= {(place, image.key_before), (place, image.key)}
    if group:
        yield group


def _without_idle_replacements(found: Sequence[Image]) -> Sequence[Image]:
    """INSERT OR REPLACE has deleted what was in its way. INSERT OR IGNORE has not, nor has ON CONFLICT DO UPDATE: then
    the row that was to come does not come next."""
    follows: dict[str, Image] = {}
    real: list[Image] = []
    for image in reversed(found):
        table = image.watched.table.fullname
        if image.op != "REPLACE":
            follows[table] = image
            real.append(image)
        elif (after := follows.get(table)) is not None and after.op == "INSERT" and _is_same(image, after):
            real.append(Image(image.id, image.tx, image.watched, "DELETE", image.old, None))
    return real[::-1]


def _is_same(replaced: Image, inserted: Image) -> bool:
    """Whether the row that was to come is the one that came; a key may not have been known before."""
    mine, theirs = replaced.new or {}, inserted.new or {}
    known = [replaced.watched.public_id] if replaced.watched.is_base else [each.name for each in replaced.watched.key]
    return all(mine.get(name) == theirs.get(name) for name in known)
