"""What was written from outside becomes entries of the log.

Must hold: what others had committed before a transaction of ours comes before that transaction's own entries. So each
transaction that records something first takes in what waits; while nobody does, a process's `Intake` does it by itself.

No rules are run for these changes, and nobody is named as their actor.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any
from uuid import UUID, uuid4

from prometheus_client import Counter
from sqlalchemy import Table, select
from sqlalchemy.orm import Session

from gql_app.audiences.kinds import Model
from gql_app.audiences.registry import followed, makers
from gql_app.changes.audience import Sides
from gql_app.changes.capture import entries_of, record
from gql_app.changes.codec import NULL, Frozen
from gql_app.changes.net import Entity, Pair
from gql_app.changes.stored import UNREADABLE
from gql_app.changes.tracking import Attribute, attributes_of, codecs_of, mapper_of
from gql_app.outside import images
from gql_app.outside.images import Damaged, Image, Row
from gql_app.outside.tables import Watched, base_of

taken_in = Counter("gql_app_outside_images", "Rows written from outside that this process has put into the change log")

LIMIT = 5_000
"""Images that are taken in by one transaction of an `Intake`."""


def take_in(session: Session, watched: Sequence[Watched], limit: int | None = None) -> int:
    """Make entries of what waits, in the session's transaction; returns how many images there were."""
    connection = session.connection()
    found, ids = images.read(connection, watched, limit)
    for its in _by_transaction(_without_idle_replacements(session, found)):
        lives = _Lives(session)
        for image in its:
            lives.follow(image)
        if entities := list(lives.entities()):
            record(session, entries_of(entities, Sides(session, entities)), uuid4(), by_nobody=True)
    images.forget(connection, ids)
    taken_in.inc(len(ids))
    return len(ids)


def _by_transaction(found: Sequence[Image]) -> Iterator[Sequence[Image]]:
    """Each transaction's images, in the order of the transactions' ends; on SQLite all are one."""
    ends = {image.tx: image.id for image in found}
    ordered = sorted(found, key=lambda image: (ends[image.tx], image.id))
    for _, its in groupby(ordered, lambda image: image.tx):
        yield list(its)


def _without_idle_replacements(session: Session, found: Sequence[Image]) -> Sequence[Image]:
    """INSERT OR REPLACE has deleted what was in its way; INSERT OR IGNORE has not, nor has ON CONFLICT DO UPDATE."""
    claimed = [image for image in found if image.op == "REPLACE" and image.old is not None]
    if not claimed:
        return found
    there: set[tuple[str, Any]] = set()
    for watched in {image.watched.table: image.watched for image in claimed}.values():
        keys = [_key(image) for image in claimed if image.watched.table is watched.table]
        column = base_of(watched.root).c[_name(watched.root, "public_id")] if watched.is_base else watched.key[0]
        for start in range(0, len(keys), images.AT_ONCE):
            some = session.connection().execute(select(column).where(column.in_(keys[start : start + images.AT_ONCE])))
            there |= {(watched.table.fullname, value) for value in some.scalars()}
    real: list[Image] = []
    for place, image in enumerate(found):
        if image.op == "REPLACE":
            later = (each for each in found[place + 1 :] if each.watched is image.watched and each.op != "REPLACE")
            follows = next(later, None)
            inserted = follows is not None and follows.op == "INSERT"
            if not inserted or (image.watched.table.fullname, _key(image)) in there:
                continue
        real.append(image)
    return real


def _key(image: Image) -> Any:
    row = image.old or image.new or {}
    return row[_name(image.watched.root, "public_id")] if image.watched.is_base else row[image.watched.key[0].name]


def _name(root: Model, attribute: str) -> str:
    return str(mapper_of(root).columns[attribute].name)


@dataclass(slots=True)
class _Life:
    """What became of one entity: of each of its tables the first row and the last one, None where there was none."""

    root: Model
    public_id: UUID
    before: dict[str, Row | None] = field(default_factory=dict)
    after: dict[str, Row | None] = field(default_factory=dict)

    def follow(self, table: Table, old: Row | None, new: Row | None) -> None:
        self.before.setdefault(table.fullname, old)
        self.after[table.fullname] = new


class _Lives:
    """The entities of one transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lives: dict[tuple[Model, UUID], _Life] = {}
        self._by_key: dict[tuple[Model, tuple[Any, ...]], UUID | None] = {}
        self._parts: list[Image] = []

    def follow(self, image: Image) -> None:
        """Rows of subclasses' tables come later: by then it is known to which entities they belong."""
        if not image.watched.is_base:
            self._parts.append(image)
            return
        old, new = image.old, image.new
        before, after = self._id(image, old), self._id(image, new)
        if old is not None and new is not None and before != after:
            self._note(image, before, old, None)
            self._note(image, after, None, new)
        else:
            self._note(image, before or after, old, new)

    def _id(self, image: Image, row: Row | None) -> UUID | None:
        found = None if row is None else row[_name(image.watched.root, "public_id")]
        if row is not None and isinstance(found, UUID):
            self._by_key[image.watched.root, self._key(image, row)] = found
            return found
        return None

    def _key(self, image: Image, row: Row) -> tuple[Any, ...]:
        return tuple(row[each.name] for each in image.watched.key)

    def _note(self, image: Image, public_id: UUID | None, old: Row | None, new: Row | None) -> None:
        if public_id is not None:
            life = self._lives.setdefault((image.watched.root, public_id), _Life(image.watched.root, public_id))
            life.follow(image.watched.table, old, new)

    def entities(self) -> Iterator[Entity]:
        for image in self._parts:
            row = image.old or image.new
            if row is not None:
                self._note(image, self._owner(image, self._key(image, row)), image.old, image.new)
        for life in self._lives.values():
            if (entity := self._entity(life)) is not None:
                yield entity

    def _owner(self, image: Image, key: tuple[Any, ...]) -> UUID | None:
        """The public id of the entity with this key."""
        root = image.watched.root
        if (root, key) not in self._by_key:
            base = base_of(root)
            where = [column == value for column, value in zip(base.primary_key.columns, key, strict=True)]
            query = select(base.c[_name(root, "public_id")]).where(*where)
            self._by_key[root, key] = self._session.connection().execute(query).scalar_one_or_none()
        return self._by_key[root, key]

    def _entity(self, life: _Life) -> Entity | None:
        base = base_of(life.root).fullname
        if base in life.after:
            before, after = life.before[base], life.after[base]
        else:
            before = after = self._present(life)
        last = after if after is not None else before
        if last is None:
            return None  # it came and went
        model = self._model(life.root, last)
        held = _held(model, last)
        held_before = None if before is None else _held(model, before)
        values = {} if after is None else dict(self._values(model, life))
        if before is not None and after is not None and not values and held == held_before:
            return None
        return Entity(model, life.public_id, held, held_before, None, before is None, after is None, values)

    def _present(self, life: _Life) -> Row | None:
        """Its row in the base table, of which nothing has changed."""
        base = base_of(life.root)
        mapper = mapper_of(life.root)
        columns = {str(mapper.columns[name].name) for name in ("public_id", *followed(life.root))}
        columns |= {each.name for each in base.columns if each is mapper.polymorphic_on}
        query = select(*(base.c[name] for name in sorted(columns)))
        row = self._session.connection().execute(query.where(base.c[_name(life.root, "public_id")] == life.public_id))
        found = row.one_or_none()
        return None if found is None else dict(found._mapping)

    def _model(self, root: Model, row: Row) -> Model:
        mapper = mapper_of(root)
        kind: Any = mapper.polymorphic_on
        found = None if kind is None else mapper.polymorphic_map.get(row.get(getattr(kind, "name", "")))
        return root if found is None else found.class_

    def _values(self, model: Model, life: _Life) -> Iterator[tuple[str, Pair]]:
        codecs = codecs_of(model, self._session.get_bind().dialect)
        for name, attribute in attributes_of(model).items():
            table = str(getattr(attribute.column.table, "fullname", ""))
            if table in life.after:
                old = _frozen(attribute, life.before[table], codecs[name])
                new = _frozen(attribute, life.after[table], codecs[name])
                if old.text != new.text:
                    yield name, (old, new)


def _held(model: Model, row: Row) -> Row:
    names = ((name, make, mapper_of(model).columns[name].name) for name, make in makers(model))
    return {name: None if isinstance(row[column], Damaged) else make(row[column]) for name, make, column in names}


def _frozen(attribute: Attribute, row: Row | None, codec: Any) -> Frozen:
    value = None if row is None else row[attribute.column.name]
    if value is None:
        return NULL
    if attribute.secret:
        return Frozen(value, str(value))  # a mark: no value of it is known
    if isinstance(value, Damaged):
        return Frozen(None, value.text)
    try:
        found: Frozen = codec.frozen(value)
    except UNREADABLE:  # a value that the log has no text for, such as a number that is none
        return Frozen(None, str(value))
    return found
