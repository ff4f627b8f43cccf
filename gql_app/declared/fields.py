"""The fields of a type: what shows an attribute of the model, and what a foreign key refers to."""

from dataclasses import dataclass
from typing import Any, get_type_hints

import strawberry
from sqlalchemy import inspect as sa_inspect
from sqlalchemy.orm import InstrumentedAttribute, Mapper
from strawberry.types.field import StrawberryField
from strawberry.types.private import is_private
from strawberry.utils.str_converters import to_camel_case

from gql_app.api.context import Info
from gql_app.api.lookups import Lookup
from gql_app.api.nodes import Node, first_seen
from gql_app.audiences.kinds import kind_of
from gql_app.changes.tracking import Tracked
from gql_app.declared.reading import Ahead, Fields, found_ahead
from gql_app.declared.shape import DECLARED, Declared, declared
from gql_app.declared.values import column_of, known_enum, said_of, spoken, values_of


@dataclass(frozen=True)
class _Related:
    attribute: InstrumentedAttribute[Any]
    by: Lookup[Any, Any] | None
    description: str | None


def related(
    attribute: InstrumentedAttribute[Any], *, by: Lookup[Any, Any] | None = None, description: str | None = None
) -> Any:
    """The entity to which this foreign key refers; null for those who may not see it. The field's type says what it is:
    ``skipper: Skipper | None = related(models.Boat.skipper_id)``.

    A type that was not declared with `entity` is found ``by`` a look-up, by everybody:
    ``owner: User = related(models.Boat.owner_id, by=users_by_id)`` (of `gql_app.accounts.graphql`).
    """
    return _Related(attribute, by, description)


@dataclass(frozen=True)
class _Shows:
    attribute: InstrumentedAttribute[Any]
    description: str | None


def shows(attribute: InstrumentedAttribute[Any], *, description: str | None = None) -> Any:
    """A field that shows an attribute of the model under another name: ``title: str = shows(models.Book.name)``."""
    return _Shows(attribute, description)


def make_fields(kind: Any, model: type[Tracked]) -> Fields:
    """Give each field its description or resolver; returns how they are read."""
    refers: list[type[Tracked]] = []
    ahead: list[Ahead] = []
    shown: dict[str, str] = {}
    mapper: Mapper[Any] = sa_inspect(model)
    hints = get_type_hints(kind, include_extras=True)
    own = ("public_id", *(mapper.get_property_by_column(each).key for each in mapper.primary_key))
    names = {name: name for name in (*own, *kind_of(model).columns)}
    always = {*names}
    inherited = _fields_of_bases(kind)
    by_hand = _has_fields_by_hand(kind) or not inherited <= {"id"}
    for name, hint in hints.items():
        given = vars(kind).get(name)
        if name in ("_kind", "public_id") or name in inherited or getattr(given, "base_resolver", None) is not None:
            continue
        if isinstance(given, _Related):
            names[given.attribute.key] = shown[to_camel_case(name)] = given.attribute.key
            if given.by is not None:
                ahead.append(Ahead(to_camel_case(name), given.attribute.key, given.by))
                setattr(kind, name, _field_found_by(given, given.by, hint))
                continue
            target = _target_of(hint, f"{kind.__name__}.{name}")
            refers.append(target.model)
            setattr(kind, name, _field_of_related(given, hint, target, f"{kind.__name__}.{name}"))
            continue
        attribute = given.attribute if isinstance(given, _Shows) else getattr(model, name, None)
        if not isinstance(attribute, InstrumentedAttribute) or attribute.key not in mapper.columns:
            raise TypeError(
                f"{kind.__name__}.{name} shows nothing: it has no resolver, and {model.__name__} no column of that name"
            )
        if attribute.key != name and (name in names or name in mapper.columns):
            raise TypeError(
                f"{kind.__name__}.{name} shows {attribute}, and {model.__name__} has an attribute of that name: use "
                "another word"
            )
        names[name] = attribute.key
        if is_private(hint):
            always.add(name)
            if isinstance(given, _Shows):
                delattr(kind, name)
            continue
        shown[to_camel_case(name)] = name
        _refuse_another_type(f"{kind.__name__}.{name}", hint, attribute)
        if isinstance(given, _Shows) or (given is None and name in kind.__annotations__):
            described = given.description if isinstance(given, _Shows) else None
            setattr(kind, name, strawberry.field(description=described or said_of(attribute)))
    if by_hand:  # who knows what it reads
        always |= names.keys()
    return Fields(names, {field: each for field, each in shown.items() if each not in always}, refers, ahead)


def _has_fields_by_hand(kind: type[Any]) -> bool:
    """Whether fields of its own may read more of an object than the attribute that they show."""
    given = [each for base in kind.__mro__ if base not in Node.__mro__ for each in vars(base).values()]
    by_hand = (each for each in given if isinstance(each, StrawberryField))
    return any(
        each.base_resolver or each.extensions or each.permission_classes or each.graphql_name for each in by_hand
    )


def _fields_of_bases(kind: type[Any]) -> set[str]:
    """Those with a resolver of the Strawberry types and interfaces that it inherits from."""
    bases = (getattr(base, "__strawberry_definition__", None) for base in kind.__mro__[1:])
    fields = (field for base in bases if base is not None for field in base.fields)
    return {field.python_name for field in fields if field.base_resolver is not None}


def _refuse_another_type(where: str, hint: Any, attribute: InstrumentedAttribute[Any]) -> None:
    expected = values_of(attribute).annotation
    if isinstance(hint, type) and hasattr(hint, "__members__"):
        known_enum(hint)
    if hint != expected:
        raise TypeError(f"{where} is declared as {_said(hint)}, and {attribute} holds {_said(expected)}")


def _said(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint)


def _field_found_by(given: _Related, by: Lookup[Any, Any], hint: Any) -> Any:
    name = given.attribute.key

    def resolve(self: Any, info: Info) -> Any:
        value = getattr(self, name)
        if value is None:
            return None
        return found_ahead(self, by, value) or info.context.load(by, value)  # GraphQL awaits it

    resolve.__annotations__ = {"self": Any, "info": Info, "return": hint}
    return strawberry.field(resolver=resolve, description=given.description or said_of(given.attribute))


def _target_of(hint: Any, where: str) -> Declared:
    kinds = [each for each in getattr(hint, "__args__", ()) if each is not type(None)]
    if len(kinds) != 1 or type(None) not in hint.__args__:
        raise TypeError(f"{where} must be declared as `X | None`: some may not see what it refers to")
    if not isinstance(vars(kinds[0]).get(DECLARED), Declared):
        raise TypeError(
            f"{where}: {kinds[0].__name__} is no type of @entity(…): say how it is found, as with "
            "related(…, by=users_by_id)"
        )
    return declared(kinds[0])


def _field_of_related(given: _Related, hint: Any, target: Declared, where: str) -> Any:
    foreign = list(column_of(given.attribute).foreign_keys)
    mapper: Mapper[Any] = sa_inspect(target.model)
    if len(foreign) != 1 or foreign[0].column not in mapper.columns.values():
        raise TypeError(f"{where}: {given.attribute} is no foreign key to {target.model.__name__}")
    find = target.finder(mapper.get_property_by_column(foreign[0].column).key)
    name = given.attribute.key

    async def resolve(self: Any, info: Info) -> Any:
        value = getattr(self, name)
        return None if value is None else await first_seen(info.context, target.kind, find, value)

    resolve.__annotations__ = {"self": Any, "info": Info, "return": hint}
    described = given.description or f"The {spoken(target.kind)}, as it is now; null for those who may not see it."
    return strawberry.field(resolver=resolve, description=described)
