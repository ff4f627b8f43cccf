"""The objects of changed entities, for rules that ask for them."""

from collections.abc import Iterable, Sequence
from itertools import islice

from sqlalchemy import inspect, select
from sqlalchemy.orm import Session

from gql_app.changes.net import Entity
from gql_app.changes.tracking import Tracked, mapper_of

AT_ONCE = 500
"""Objects that are loaded by one statement."""

_kept: set[type[Tracked]] = set()


def keep_deleted(model: type[Tracked]) -> None:
    """Load the objects of this model before a bulk statement deletes their rows: a rule will ask for them."""
    _kept.add(model)


def is_kept(model: type[Tracked]) -> bool:
    return any(issubclass(model, each) or issubclass(each, model) for each in _kept)


class Subjects:
    """Finds the object of an entity in the session; those of bulk statements are loaded, many at a time.

    Must hold: the object is one of this session, and shows the row as it is now. One that was expunged or made
    transient since it was flushed is loaded anew.
    """

    def __init__(self, session: Session, entities: Iterable[Entity]) -> None:
        self._session = session
        self._missing = {id(each): each for each in entities if not self._here(each)}
        self._loaded: dict[int, Tracked] = {}

    def of(self, entity: Entity) -> Tracked:
        """Raises LookupError when its row is gone."""
        if id(entity) in self._missing:
            self._load(entity)
        found = self._loaded.get(id(entity)) or entity.subject
        if found is None:
            raise LookupError(f"{entity.model.__name__} {entity.public_id} is not there any more")
        return found

    def _here(self, entity: Entity) -> bool:
        if entity.subject is None:
            return False
        state = inspect(entity.subject)
        mine = state.session is self._session and state.key is not None
        return mine and state.dict.get("public_id") == entity.public_id

    def _load(self, wanted: Entity) -> None:
        root: type[Tracked] = mapper_of(wanted.model).base_mapper.class_
        alike = (each for each in self._missing.values() if issubclass(each.model, root) and each is not wanted)
        batch: Sequence[Entity] = [wanted, *islice(alike, AT_ONCE - 1)]
        query = select(root).where(root.public_id.in_([each.public_id for each in batch]))
        objects = {each.public_id: each for each in self._session.scalars(query)}
        for each in batch:
            del self._missing[id(each)]
            each.subject = None
            if each.public_id in objects:
                self._loaded[id(each)] = objects[each.public_id]
