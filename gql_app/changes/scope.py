"""What somebody may hear of: the one place that says whether an event is hers to see.

An event is read by those who could see its entity when it happened, by the keys that they hold now.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, and_, false, or_, true

from gql_app.audiences import registry
from gql_app.audiences.conditions import among
from gql_app.audiences.declaration import USER, key_text
from gql_app.audiences.registry import ALL, Catalog
from gql_app.changes.models import NO_KEYS, ChangeEvent, ChangeKind, ChangeRecord
from gql_app.changes.topics import Topic


@dataclass(frozen=True, slots=True)
class Scope:
    """The keys that somebody holds.

    `owner_id` is her own as a user, `entity_types` are the kinds that her role sees as a whole, `keys` all the others.
    With `everything` she sees all kinds but those that a model keeps from admins.
    """

    owner_id: int | None = None
    entity_types: frozenset[str] = frozenset()
    everything: bool = False
    keys: frozenset[str] = NO_KEYS
    kinds: frozenset[str] | None = None
    """The kinds to whose events it was reduced (see `about`); None: it is whole."""
    catalog: Catalog = ALL
    """The models of the application."""

    def decides(self, entity: str) -> bool:
        """Whether all viewers who have this scope in common may see the same entities of the kind."""
        if self.kinds is None or entity in self.kinds or self.sees_whole(entity):
            return True
        known = self.catalog.kinds
        kind = known.get(entity)
        if kind is None or kind.readers or kind.role_keys or (kind.has_owner and self.owner_id is None):
            return False
        return kind.key_kinds <= {key for name in self.kinds if name in known for key in known[name].key_kinds}

    def sees_whole(self, entity: str) -> bool:
        return (self.everything and entity not in self.catalog.confidential) or entity in self.entity_types

    def has_role(self, key: str) -> bool:
        return key in self.keys

    def holds(self, kind: str, column: Any) -> ColumnElement[bool]:
        if kind == USER:
            return false() if self.owner_id is None else column == self.owner_id
        prefix = key_text(kind, "")
        return among((key.removeprefix(prefix) for key in self.keys if key.startswith(prefix)), column)

    def covers(self, entity: str, owner_id: int | None, keys: frozenset[str] = NO_KEYS) -> bool:
        """Whether she may see an entity of this kind, with this owner and these other keys."""
        if self.sees_whole(entity) or (owner_id is not None and owner_id == self.owner_id):
            return True
        mine = self.owner_id is not None and key_text(USER, self.owner_id) in keys
        return bool(keys) and (mine or not keys.isdisjoint(self.keys))

    def sees(self, event: ChangeEvent) -> bool:
        return self.covers(event.entity_type, event.owner_id, event.keys)

    def came(self, event: ChangeEvent) -> bool | None:
        """Whether the event's entity has come into sight (True) or left it (False); None: neither."""
        if not event.turns:
            return None
        after = event.kind is not ChangeKind.DELETED and self.sees(event)
        before = event.kind is not ChangeKind.CREATED and self.covers(event.entity_type, None, event.keys_before)
        return after if after != before else None

    def where(self) -> ColumnElement[bool]:
        """The entries that she may read, but for those that only a key of `keys` opens."""
        column = ChangeRecord.entity_type
        whole: ColumnElement[bool] = column.in_(sorted(self.entity_types))
        if self.everything:
            hidden = self.catalog.confidential
            whole = or_(whole, column.not_in(sorted(hidden))) if hidden else true()
        own = ChangeRecord.owner_id == self.owner_id if self.owner_id is not None else false()
        return or_(own, whole)

    def about(self, topics: Iterable[Topic]) -> "Scope":
        """As much of this scope as decides about events of these topics: the same for many who look."""
        wanted = frozenset(topic.entity_type for topic in topics)
        if any(topic.turns for topic in topics) or None in wanted:
            if self.everything and not self.catalog.confidential:
                return Scope(everything=True, catalog=self.catalog)
            return self
        named = frozenset(kind for kind in wanted if kind is not None)
        if all(self.sees_whole(kind) for kind in named):
            if self.everything and not named & self.entity_types:
                kinds = named if self.catalog.confidential else None
                return Scope(everything=True, kinds=kinds, catalog=self.catalog)
            return Scope(entity_types=named, kinds=named, catalog=self.catalog)
        owner_id = self.owner_id if any(self._may_be_hers(kind) for kind in named) else None
        entity_types = self.entity_types & named
        return Scope(owner_id, entity_types, self.everything, self._keys_for(named), named, self.catalog)

    def narrow(self, topic: Topic) -> tuple[Topic, ...]:
        """The same wish as topics that already hold as much of this scope as routing can check."""
        kind = topic.entity_type
        if kind is not None and self.sees_whole(kind):
            return (topic,)
        if kind is None and self.everything and not self.catalog.confidential:
            return (topic,)
        found = []
        if self.owner_id is not None and (kind is None or self._has_owner(kind)):
            found.append(topic._replace(owner_id=self.owner_id))
        if kind is None:
            if self.everything:
                found.append(topic)
            found += [topic._replace(entity_type=each) for each in sorted(self.entity_types)]
        keys = self._keys_for(self.catalog.kinds.keys() if kind is None else (kind,))
        found += [topic._replace(key=key) for key in sorted(keys)]
        if topic.turns:
            mine = NO_KEYS if self.owner_id is None else {key_text(USER, self.owner_id)}
            found += [topic._replace(lost=key) for key in sorted(keys | mine)]
        return tuple(found)

    def _keys_for(self, entity_types: Iterable[str]) -> frozenset[str]:
        """Those of her keys that events of these kinds may carry, her own as a user among them."""
        known = self.catalog.kinds
        wanted = {key for name in entity_types if name in known for key in known[name].key_kinds}
        if not wanted:
            return NO_KEYS
        held = self.keys if self.owner_id is None else self.keys | {key_text(USER, self.owner_id)}
        return frozenset(key for key in held if key.partition(":")[0] in wanted)

    def _has_owner(self, entity: str) -> bool:
        """Whether entities of the kind may have an owner; of a kind that is not known here they may."""
        return (kind := self.catalog.kinds.get(entity)) is None or kind.has_owner

    def _may_be_hers(self, entity: str) -> bool:
        """Whether a user may see an entity of the kind as herself."""
        return self._has_owner(entity) or USER in self.catalog.kinds[entity].key_kinds


@dataclass(frozen=True, slots=True)
class Interest:
    """What a subscriber hears of: the events of these topics that are within the scope.

    Must hold: the topics are narrowed by the scope; a topic by key or owner needs no other check.
    """

    topics: tuple[Topic, ...]
    scope: Scope

    @staticmethod
    def of(topics: Iterable[Topic], scope: Scope) -> "Interest":
        """One object for all who are interested in the same: each subscription keeps it."""
        return _interest(tuple(topics), scope, registry.generation())

    def hears(self, event: ChangeEvent) -> bool:
        """Of an event that a topic matches."""
        return self.scope.sees(event) or (event.turns and any(topic.lost in event.lost for topic in self.topics))

    def where(self) -> ColumnElement[bool]:
        """The entries that need no look at keys."""
        unkeyed = [topic.where() for topic in self.topics if topic.key is None and topic.lost is None]
        return and_(or_(false(), *unkeyed), self.scope.where())

    @property
    def by_key(self) -> dict[tuple[bool, Topic], list[str]]:
        """The topics that ask for keys: the keys by whether they were lost, and by what else the topic asks for."""
        found: dict[tuple[bool, Topic], list[str]] = defaultdict(list)
        for topic in self.topics:
            if (key := topic.key or topic.lost) is not None:
                found[topic.key is None, topic._replace(key=None, lost=None)].append(key)
        return found


@lru_cache(1024)
def _interest(topics: tuple[Topic, ...], scope: Scope, generation: int) -> Interest:
    narrowed = tuple(narrow for topic in topics for narrow in scope.narrow(topic))
    return Interest(narrowed, scope.about(topics))
