"""What follows from all models of an application: kinds that a role sees, keys that rows give, columns to follow.

Must hold: an application asks its own `Catalog`, and no other application's models answer. What is process-wide here is
what SQLAlchemy's mapping is process-wide for: which columns of a class are followed.
"""

import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from sqlalchemy import Column
from sqlalchemy import inspect as sa_inspect

from gql_app.audiences import kinds as _one_by_one
from gql_app.audiences.declaration import Grant
from gql_app.audiences.kinds import Kind, Model, Related, Untrackable, column_of, kind_of, root_of, value_type

_models: "weakref.WeakSet[Model]" = weakref.WeakSet()
_catalogs: "weakref.WeakSet[Catalog]" = weakref.WeakSet()
_followed: dict[Model, tuple[str, ...]] = {}
_makers: dict[Model, tuple[tuple[str, Callable[[Any], Any]], ...]] = {}
_generations = [0]


@dataclass(frozen=True, slots=True)
class Granting:
    """A model whose rows give users keys."""

    model: Model
    entity: str
    grant: Grant
    unless: str | None


def generation() -> int:
    """Another number when there are other models: what was found out with another one may be wrong."""
    return _generations[0]


def add(model: Model) -> None:
    """A model was mapped: what was found out before is forgotten."""
    _models.add(model)
    forget()


def discard(model: Model) -> None:
    """A model was refused after all."""
    _models.discard(model)
    forget()


def forget() -> None:
    """What was found out about the models: another one was mapped."""
    _one_by_one.forget()
    _followed.clear()
    _makers.clear()
    _generations.append(_generations.pop() + 1)
    for each in _catalogs:
        each.forget()


def mapped_kinds() -> list[Kind]:
    """All kinds of entities of this process, whichever application they are of. Raises Untrackable."""
    mapped = (each for each in _models if sa_inspect(each, raiseerr=False) is not None)  # a registry may be disposed of
    return _kinds_of(mapped)


def _kinds_of(models: Iterable[Model]) -> list[Kind]:
    return [kind_of(each) for each in sorted({root_of(each) for each in models}, key=lambda each: str(each.__entity__))]


class Catalog:
    """The models of one application, and what they come to."""

    def __init__(self, models: Iterable[Model] | None = None) -> None:
        """Without ``models``: all that this process has mapped.

        Raises:
            Untrackable: they do not fit together.
        """
        self._models = None if models is None else tuple(models)
        _catalogs.add(self)
        if self._models is not None:
            self._refuse_what_does_not_fit()

    def forget(self) -> None:
        """Find out anew: another model was mapped."""
        kept = {"_models": self._models}
        self.__dict__.clear()
        self.__dict__.update(kept)

    @cached_property
    def kinds(self) -> dict[str, Kind]:
        """All kinds of entities by their names."""
        found = mapped_kinds() if self._models is None else _kinds_of(self._models)
        known: dict[str, Kind] = {}
        for each in found:
            if (other := known.setdefault(each.entity, each)) is not each:
                raise Untrackable(
                    f"{each.model.__name__} and {other.model.__name__} both call themselves {each.entity}: give each "
                    "its own __entity__, or name the models of each application"
                )
        return known

    def __contains__(self, model: Model) -> bool:
        kind = self.kinds.get(model.__entity__)
        return kind is not None and kind.model is root_of(model)

    def deciding(self, model: Model) -> tuple[tuple[Kind, Related], ...]:
        """The kinds of whose entities the rows of this model decide who may see them."""
        found = self._deciding.get(model)
        if found is None:
            every = [(kind, related) for kind in self.kinds.values() for related in kind.rows]
            found = self._deciding[model] = tuple(each for each in every if each[1].model is root_of(model))
        return found

    def is_parent(self, model: Model) -> bool:
        """Whether entities of another kind are seen by those who may see one of this model."""
        return any(each.model is model for kind in self.kinds.values() for each in kind.above)

    @cached_property
    def _deciding(self) -> dict[Model, tuple[tuple[Kind, Related], ...]]:
        return {}

    @cached_property
    def _seen_whole(self) -> dict[frozenset[str], frozenset[str]]:
        return {}

    @cached_property
    def grants(self) -> tuple[Granting, ...]:
        """All models whose rows give users keys."""
        found = []
        for kind in self.kinds.values():
            found += [Granting(kind.model, kind.entity, each, kind.unless) for each in kind.model.__grants__]
        return tuple(found)

    @cached_property
    def granted_kinds(self) -> frozenset[str]:
        """The kinds of keys that rows give to users."""
        return frozenset(each.grant.kind for each in self.grants)

    @cached_property
    def role_attributes(self) -> tuple[tuple[str, str], ...]:
        """The entity types whose owner has the role that an attribute names, with that attribute."""
        return tuple((each.entity, each.model.__role__) for each in self.kinds.values() if each.model.__role__)

    @cached_property
    def confidential(self) -> frozenset[str]:
        """The kinds that admins do not see as such."""
        return frozenset(kind.entity for kind in self.kinds.values() if not kind.admins)

    @cached_property
    def roles(self) -> frozenset[str]:
        """The roles that audiences name."""
        return frozenset(each for kind in self.kinds.values() for each in kind.named_roles)

    def depend_on_rows(self, entity_types: Iterable[str | None]) -> bool:
        """Whether keys that rows give to users may open entities of these kinds (None: of any)."""
        given = self.granted_kinds
        if not given:
            return False
        wanted = tuple(entity_types)
        known = self.kinds
        named = known.values() if None in wanted else [known[name] for name in wanted if name in known]
        return any(not given.isdisjoint(kind.key_kinds) for kind in named)

    def seen_whole_by(self, roles: frozenset[str]) -> frozenset[str]:
        """The kinds of entities of which one of these roles sees all."""
        found = self._seen_whole.get(roles)
        if found is None:
            found = frozenset(kind.entity for kind in self.kinds.values() if not roles.isdisjoint(kind.readers))
            self._seen_whole[roles] = found
        return found

    def _refuse_what_does_not_fit(self) -> None:
        every = self.kinds.values()
        refuse_keys_of_two_types(every)
        for kind in every:
            others: list[Model] = [each.model for each in kind.rows] + [each.model for each in kind.above]
            for other in others:
                if other not in self:
                    raise Untrackable(
                        f"who may see a {kind.entity} depends on {other.__name__}, which no vertical of this "
                        f"application has among its models: add the vertical, or name {other.__name__} in its models"
                    )


ALL: Final = Catalog()
"""All models of this process: for whoever has no application."""

CATALOG: Final = "gql_app_catalog"
"""Where a session's ``info`` holds the catalog of its application."""


def refuse_keys_of_two_types(every: Iterable[Kind]) -> None:
    """Must hold: the values of two keys of a kind can be compared, whichever columns they come from."""
    known: dict[str, tuple[type, str]] = {}
    for kind in every:
        named = [(each.kind, kind.model, each.column) for each in kind.held]
        named += [(each.kind, each.model, each.column) for each in kind.rows]
        named += [(each.kind, kind.model, each.column) for each in kind.model.__grants__]
        for key, model, name in named:
            found, where = value_type(column_of(model, name, of_a_key=key)), f"{model.__name__}.{name}"
            first, place = known.setdefault(key, (found, where))
            if first is not found:
                raise Untrackable(
                    f"{where} and {place} make keys of the kind {key} of different types: use one type, or another kind"
                )


def followed(model: Model) -> tuple[str, ...]:
    """The attributes of a kind that decide about its own entities, or about others; all in the table of its base."""
    found = _followed.get(model)
    if found is None:
        found = _followed[model] = _find_followed(root_of(model))
    return found


def makers(model: Model) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
    """The same with what makes of an assigned value the one that the database will give back."""
    found = _makers.get(model)
    if found is None:
        root = root_of(model)
        found = _makers[model] = tuple((name, _maker(column_of(root, name))) for name in followed(model))
    return found


def _maker(column: Column[Any]) -> Callable[[Any], Any]:
    kind = value_type(column)
    return lambda value: value if value is None or type(value) is kind or kind not in (int, bool) else kind(value)


def _find_followed(root: Model) -> tuple[str, ...]:
    found = dict.fromkeys(kind_of(root).columns)
    for kind in mapped_kinds():
        for related in kind.rows:
            if related.model is root:
                found |= dict.fromkeys((related.of, related.column))
                if (hidden := kind_of(root).unless) is not None:
                    found[hidden] = None
        found |= dict.fromkeys(each.theirs for each in kind.above if each.model is root)
    return tuple(found)
