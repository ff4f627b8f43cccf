"""Both sides of a change: who could see an entity before the transaction, and who can after it.

Must hold: all that decides and is not changed by this transaction cannot be changed by another one until the commit. So
an entry that comes later in the log has the audience that the entries before it have made. On SQLite there is one
writer; on PostgreSQL the rows that are read here are locked, those above in share mode, those of which other rows
decide for update.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from gql_app.audiences.declaration import ROLE, USER, key_text
from gql_app.audiences.kinds import Kind, Model, Related, is_hidden, kind_of, root_of
from gql_app.audiences.registry import ALL, CATALOG, Catalog, followed
from gql_app.changes.models import NO_KEYS
from gql_app.changes.net import Entity
from gql_app.changes.tracking import mapper_of

AT_ONCE = 500
"""Rows that are asked for in one statement."""

Held = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys that may see an entity: its owner's, and `others`."""

    owner_id: int | None
    others: frozenset[str]

    @property
    def all(self) -> frozenset[str]:
        return self.others if self.owner_id is None else self.others | {key_text(USER, self.owner_id)}

    def and_of(self, keys: frozenset[str]) -> "Keys":
        """With these, too."""
        return Keys(self.owner_id, (self.others | keys) - {key_text(USER, self.owner_id)})


NOBODY = Keys(None, NO_KEYS)


@dataclass(frozen=True, slots=True)
class _Row:
    public_id: UUID
    held: Held


class _Then:
    """What a transaction has changed, as it was on one side of it; the other rows are as the database has them."""

    def __init__(self, database: "_Database", entities: Iterable[Entity], *, after: bool) -> None:
        self._database = database
        self._changed: set[tuple[Model, UUID]] = set()
        self._by_value: dict[tuple[Model, str, Any], list[_Row]] = defaultdict(list)
        for entity in entities:
            root = root_of(entity.model)
            self._changed.add((root, entity.public_id))
            held = (None if entity.deleted else entity.held) if after else entity.held_before
            if held is not None:
                for name, value in held.items():
                    self._by_value[root, name, value].append(_Row(entity.public_id, held))

    def rows(self, model: Model, name: str, value: Any) -> Iterator[_Row]:
        """The rows of the model whose attribute had the value."""
        yield from self._by_value.get((model, name, value), ())
        for row in self._database.rows(model, name, value):
            if (model, row.public_id) not in self._changed:
                yield row

    def keys(self, kind: Kind, held: Held) -> Keys:
        """Who could see an entity that held this."""
        named = kind.keys_of(held)
        if named is None:
            return NOBODY
        owner, others = named
        for related in kind.rows:
            others.update(self._named(related, held[related.mine]))
        for above in kind.above:
            for row in () if held[above.column] is None else self.rows(above.model, above.theirs, held[above.column]):
                parent = kind_of(above.model)
                keys = self.keys(parent, row.held)
                if not above.always:
                    keys = keys.and_of(frozenset(key_text(ROLE, each) for each in parent.readers))
                if kind.owner is None and owner is None:
                    owner = keys.owner_id
                    others |= keys.others
                else:
                    others |= keys.all
        return Keys(owner, frozenset(others)).and_of(NO_KEYS)

    def _named(self, related: Related, mine: Any) -> Iterator[str]:
        hidden = kind_of(related.model).unless
        for row in self.rows(related.model, related.of, mine):
            value = row.held[related.column]
            if value is not None and not (hidden and is_hidden(row.held[hidden])):
                yield key_text(related.kind, value)


class _Database:
    """The rows that decide, as the database has them now; read once."""

    def __init__(self, session: Session, catalog: Catalog, *, locked: bool) -> None:
        self._session = session
        self._locked = locked
        self._catalog = catalog
        self._found: dict[tuple[Model, str, Any], list[_Row]] = {}

    def rows(self, model: Model, name: str, value: Any) -> Sequence[_Row]:
        self.read(model, name, {value})
        return self._found[model, name, value]

    def read(self, model: Model, name: str, values: set[Any], *, changing: bool = False) -> list[_Row]:
        """The rows of the model whose attribute has one of these values. ``changing``: who may see them."""
        missing = [value for value in values if (model, name, value) not in self._found]
        columns = mapper_of(model).columns
        names = followed(model)
        query = select(columns["public_id"], columns[name], *(columns[each] for each in names))
        query = query.order_by(*mapper_of(model).primary_key)
        if not self._locked:
            pass
        elif changing:
            query = query.with_for_update(key_share=True)
        elif self._catalog.is_parent(model):
            query = query.with_for_update(read=True)
        for start in range(0, len(missing), AT_ONCE):
            some = missing[start : start + AT_ONCE]
            self._found |= {(model, name, value): [] for value in some}
            for row in self._session.connection().execute(query.where(columns[name].in_(some))).all():
                held = dict(zip(names, row[2:], strict=True))
                self._found[model, name, row[1]].append(_Row(row[0], held))
        return [row for value in values for row in self._found[model, name, value]]


class Sides:
    """Who could see the entities of a transaction before it, and who can after it. Made right before the commit.

    Unless it is to be ``locked``, others may change meanwhile what decides: for what was committed long ago.
    """

    def __init__(self, session: Session, entities: Sequence[Entity], *, locked: bool = True) -> None:
        self._entities = entities
        self._catalog: Catalog = session.info.get(CATALOG, ALL)
        self._database = _Database(session, self._catalog, locked=locked)
        self.others: Sequence[Entity] = ()
        """Entities that the transaction has not written, and that others may see now."""
        plain = True
        for model in {entity.model for entity in entities}:
            if model not in self._catalog:
                raise TypeError(
                    f"{model.__name__} is tracked, and no vertical of this application has it among its models: nobody "
                    "would ever hear of its changes"
                )
            plain = plain and kind_of(model).is_plain and not self._catalog.deciding(model)
        if not plain:
            self.others = [*self._seen_by_others()]
            self._read_ahead()

    @cached_property
    def _before(self) -> _Then:
        return _Then(self._database, self._entities, after=False)

    @cached_property
    def _after(self) -> _Then:
        return _Then(self._database, self._entities, after=True)

    def both(self, entity: Entity) -> tuple[Keys, Keys]:
        """Who could see it before (nobody, where it is new), and who may read what is logged of it.

        These are those who can see it now; of its end those who could before.
        """
        kind = kind_of(entity.model)
        if kind.is_owners:
            before = NOBODY if entity.held_before is None else _owners(kind, entity.held_before)
            same = entity.deleted or entity.held == entity.held_before
            return before, before if same else _owners(kind, entity.held)
        before = NOBODY if entity.held_before is None else self._before.keys(kind, entity.held_before)
        return before, before if entity.deleted else self._after.keys(kind, entity.held)

    def _seen_by_others(self) -> Iterator[Entity]:
        known = {(root_of(entity.model), entity.public_id) for entity in self._entities}
        changed = [each for each in self._entities if each.deleted or each.held != each.held_before]
        for model in {root_of(each.model) for each in changed}:
            for kind, related in self._catalog.deciding(model):
                alike = [each for each in changed if root_of(each.model) is model]
                sides = (held for each in alike for held in (each.held, each.held_before) if held is not None)
                values = {held[related.of] for held in sides} - {None}
                for row in self._database.read(kind.model, related.mine, values, changing=True):
                    if (kind.model, row.public_id) not in known:
                        known.add((kind.model, row.public_id))
                        yield Entity(kind.model, row.public_id, row.held, row.held)

    def _read_ahead(self) -> None:
        """What will be asked for, many rows at a time."""
        wanted: dict[Model, list[Held]] = defaultdict(list)
        for each in (*self._entities, *self.others):
            wanted[root_of(each.model)] += [held for held in (each.held, each.held_before) if held is not None]
        while wanted:
            model, helds = wanted.popitem()
            kind = kind_of(model)
            for related in kind.rows:
                self._database.read(related.model, related.of, {held[related.mine] for held in helds})
            for above in kind.above:
                found = self._database.read(above.model, above.theirs, {held[above.column] for held in helds} - {None})
                if found and not kind_of(above.model).is_plain:
                    wanted[above.model] += [row.held for row in found]


def _owners(kind: Kind, held: Held) -> Keys:
    return Keys(None if kind.owner is None else held[kind.owner], NO_KEYS)
