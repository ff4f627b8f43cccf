"""A GraphQL type of a model.

    @entity(models.Boat, many="boats", filters=[models.Boat.status], streams=[models.Boat.status])
    class Boat(Node):
        '''A boat in the harbour.'''

        name: str
        status: BoatStatus
        skipper: Skipper | None = related(models.Boat.skipper_id)

A field without a resolver shows the model's attribute of that name; the types must agree. What is `strawberry.Private`
is read and not shown: for resolvers of one's own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, TypeVar, get_type_hints
from uuid import UUID

import strawberry
from sqlalchemy import Select
from sqlalchemy import inspect as sa_inspect
from sqlalchemy.orm import InstrumentedAttribute, Mapper, Session
from strawberry.types.private import is_private

from gql_app.api.context import Context, Info
from gql_app.api.lookups import Lookup, as_values, of_values
from gql_app.api.nodes import Finder, Node, first_seen
from gql_app.audiences.conditions import Holder, seen
from gql_app.audiences.kinds import kind_of
from gql_app.changes.tracking import Tracked
from gql_app.declared.values import column_of, known_enum, said_of, spoken, values_of

T = TypeVar("T")

_DECLARED: Final = "__gql_app_entity__"


@dataclass(frozen=True, eq=False)
class Declared:
    """What a declaration comes to. `names` are those of an object's attributes, and of the model's that they show."""

    model: type[Tracked]
    graphql: type[Any]
    names: Mapping[str, str]
    queries: Sequence[type]
    subscriptions: Sequence[type]
    refers: Sequence[type[Tracked]] = ()
    """The models of which its fields show entities."""

    @property
    def kind(self) -> str:
        return self.model.__entity__

    def select(self, holder: Holder, *others: str) -> Select[Any]:
        """The rows that the holder may see, with the attributes that are read, and others."""
        names = {**self.names, **{name: name for name in others}}
        columns = [getattr(self.model, attribute).label(name) for name, attribute in names.items()]
        return seen(self.model, holder).with_only_columns(*columns, maintain_column_froms=True)

    def of(self, session: Session, viewer: Holder, entity: Any) -> Any:
        """The object of an entity that a unit of work has written, as it is stored; None if she may not see it."""
        found = self.by_public_id(session, viewer, [entity.public_id])
        return found.get(entity.public_id)

    def of_rows(self, rows: Sequence[Any]) -> list[Any]:
        """The objects of rows that `select` has read."""
        return [of_values(self.graphql, values) for values in as_values(rows)]

    def finder(self, attribute: str = "public_id") -> Finder:
        """Finds the objects by a unique attribute of theirs."""

        def find(session: Session, holder: Holder, keys: Sequence[Any]) -> Mapping[Any, Any]:
            query = self.select(holder, attribute).where(getattr(self.model, attribute).in_(keys))
            found = self.of_rows(session.connection().execute(query).all())
            return {getattr(each, attribute): each for each in found}

        return find

    async def seen_by(self, context: Context, public_id: UUID) -> Any:
        """The object with this id, if the viewer may see it; else None. Raises Unauthenticated."""
        found = await context.look_up(self.by_public_id, context.require_viewer(), [public_id])
        return found.get(public_id)

    @cached_property
    def by_public_id(self) -> Finder:
        """One function for all: what is asked for at the same time is read together."""
        return self.finder()


def declared(kind: type[Any]) -> Declared:
    """What `entity` has made of a type.

    Raises:
        TypeError: it is not declared so.
    """
    found = vars(kind).get(_DECLARED)
    if not isinstance(found, Declared):
        raise TypeError(f"{kind.__name__} is no type of a model: declare it with @entity(…)")
    return found


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


def entity(
    model: type[Tracked],
    *,
    many: str | None = None,
    filters: Sequence[InstrumentedAttribute[Any]] = (),
    orders: Sequence[InstrumentedAttribute[Any]] = (),
    streams: Sequence[InstrumentedAttribute[Any]] = (),
    actor: tuple[type, Lookup[int, Any]] | None = None,
) -> Callable[[type[T]], type[T]]:
    """Make a class a GraphQL type of the model, with a query for one by its id.

    ``many`` is the name of a query for those that the viewer may see: by default in the first of the ``orders``
    (moments: the latest first), filtered by equality with ``filters``. ``streams`` are tracked attributes whose changes
    can be subscribed to; ``actor`` is the GraphQL type of who has changed it, and what finds it by the id. Descriptions
    come from the class's docstring and the columns' ``doc=``.

    The type of a subclass by inheritance may stand beside that of its base: `node` finds both as the base's.

    Raises:
        TypeError: a field shows nothing of the model, or has another type; or an attribute cannot be used so.
    """
    # Imported here: these modules are written with what this one makes.
    from gql_app.declared.lists import one_and_many  # noqa: PLC0415
    from gql_app.declared.streams import stream_of  # noqa: PLC0415

    def declare(kind: type[T]) -> type[T]:
        if not issubclass(kind, Node):
            raise TypeError(f"{kind.__name__} must be a Node: class {kind.__name__}(Node)")
        kind.__annotations__ = {**kind.__annotations__, "_kind": strawberry.Private[str]}
        kind._kind = model.__entity__
        names, refers = _make_fields(kind, model)
        described = (kind.__doc__ or "").strip() or None
        made: type[T] = strawberry.type(kind, description=described)
        subscriptions: list[type] = []
        queries: list[type] = []
        found = Declared(model, made, names, queries, subscriptions, refers)
        setattr(made, _DECLARED, found)
        queries += one_and_many(found, many, filters, orders)
        subscriptions += [stream_of(found, each, actor) for each in streams]
        return made

    return declare


def _make_fields(kind: Any, model: type[Tracked]) -> tuple[Mapping[str, str], list[type[Tracked]]]:
    """Give each field its description or resolver; returns the attributes to be read, and the models it refers to."""
    refers: list[type[Tracked]] = []
    mapper: Mapper[Any] = sa_inspect(model)
    hints = get_type_hints(kind, include_extras=True)
    own = ("public_id", *(mapper.get_property_by_column(each).key for each in mapper.primary_key))
    names = {name: name for name in (*own, *kind_of(model).columns)}
    inherited = _fields_of_bases(kind)
    for name, hint in hints.items():
        given = vars(kind).get(name)
        if name in ("_kind", "public_id") or name in inherited or getattr(given, "base_resolver", None) is not None:
            continue
        if isinstance(given, _Related):
            names[given.attribute.key] = given.attribute.key
            if given.by is not None:
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
        names[name] = attribute.key
        if is_private(hint):
            if isinstance(given, _Shows):
                delattr(kind, name)
            continue
        _refuse_another_type(f"{kind.__name__}.{name}", hint, attribute)
        if isinstance(given, _Shows) or (given is None and name in kind.__annotations__):
            described = given.description if isinstance(given, _Shows) else None
            setattr(kind, name, strawberry.field(description=described or said_of(attribute)))
    return names, refers


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

    async def resolve(self: Any, info: Info) -> Any:
        value = getattr(self, name)
        return None if value is None else await info.context.load(by, value)

    resolve.__annotations__ = {"self": Any, "info": Info, "return": hint}
    return strawberry.field(resolver=resolve, description=given.description or said_of(given.attribute))


def _target_of(hint: Any, where: str) -> Declared:
    kinds = [each for each in getattr(hint, "__args__", ()) if each is not type(None)]
    if len(kinds) != 1 or type(None) not in hint.__args__:
        raise TypeError(f"{where} must be declared as `X | None`: some may not see what it refers to")
    if not isinstance(vars(kinds[0]).get(_DECLARED), Declared):
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
