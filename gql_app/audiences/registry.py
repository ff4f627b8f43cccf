"""What the models together come to: kinds that a role sees, keys that rows give, columns that are followed."""

import enum
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Column
from sqlalchemy import inspect as sa_inspect

from gql_app.audiences import kinds as _one_by_one
from gql_app.audiences.declaration import Grant
from gql_app.audiences.kinds import Kind, Model, Related, Untrackable, column_of, kind_of, root_of, value_type

_models: "weakref.WeakSet[Model]" = weakref.WeakSet()
_followed: dict[Model, tuple[str, ...]] = {}
_makers: dict[Model, tuple[tuple[str, Callable[[Any], Any]], ...]] = {}
_deciding: dict[Model, tuple[tuple[Kind, Related], ...]] = {}


@dataclass(frozen=True, slots=True)
class Granting:
    """A model whose rows give users keys."""

    model: Model
    entity: str
    grant: Grant
    unless: str | None


_generations = [0]


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
    _deciding.clear()
    _makers.clear()
    _generations.append(_generations.pop() + 1)
    for each in (kinds, grants, seen_whole_by, confidential):
        each.cache_clear()


@cache
def kinds() -> dict[str, Kind]:
    """All kinds of entities by their names. Raises Untrackable."""
    mapped = (each for each in _models if sa_inspect(each, raiseerr=False) is not None)  # a registry may be disposed of
    roots = sorted({root_of(each) for each in mapped}, key=lambda each: str(each.__entity__))
    found = {kind.entity: kind for kind in map(kind_of, roots)}
    _refuse_keys_of_two_types(found.values())
    return found


def _refuse_keys_of_two_types(every: Iterable[Kind]) -> None:
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


def deciding(model: Model) -> tuple[tuple[Kind, Related], ...]:
    """The kinds of whose entities the rows of this model decide who may see them."""
    found = _deciding.get(model)
    if found is None:
        every = [(kind, related) for kind in kinds().values() for related in kind.rows]
        found = _deciding[model] = tuple(each for each in every if each[1].model is root_of(model))
    return found


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
    for kind in kinds().values():
        for related in kind.rows:
            if related.model is root:
                found |= dict.fromkeys((related.of, related.column))
                if (hidden := kind_of(root).unless) is not None:
                    found[hidden] = None
        found |= dict.fromkeys(each.theirs for each in kind.above if each.model is root)
    return tuple(found)


@cache
def grants() -> tuple[Granting, ...]:
    """All models whose rows give users keys."""
    found = []
    for kind in kinds().values():
        found += [Granting(kind.model, kind.entity, each, kind.unless) for each in kind.model.__grants__]
    return tuple(found)


def granted_kinds() -> frozenset[str]:
    """The kinds of keys that rows give to users."""
    return frozenset(each.grant.kind for each in grants())


def depend_on_rows(entity_types: Iterable[str | None]) -> bool:
    """Whether keys that rows give to users may open entities of these kinds (None: of any)."""
    given = granted_kinds()
    if not given:
        return False
    known = kinds()
    wanted = tuple(entity_types)
    named = known.values() if None in wanted else [known[name] for name in wanted if name in known]
    return any(not given.isdisjoint(kind.key_kinds) for kind in named)


@cache
def seen_whole_by(role: enum.Enum) -> frozenset[str]:
    """The kinds of entities of which this role sees all."""
    return frozenset(kind.entity for kind in kinds().values() if role in kind.readers)


@cache
def confidential() -> frozenset[str]:
    """The kinds that admins do not see as such."""
    return frozenset(kind.entity for kind in kinds().values() if not kind.admins)
