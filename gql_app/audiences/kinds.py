"""What a model's declaration comes to: who sees the kind as a whole, and what decides about one entity.

Must hold: whatever decides who may see an entity is a column that the log follows. `changes.mapping` refuses the rest.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn
from uuid import UUID

from sqlalchemy import Column, PrimaryKeyConstraint, Table, UniqueConstraint
from sqlalchemy import inspect as sa_inspect
from sqlalchemy.orm import Mapper

from gql_app.audiences.declaration import ROLE, USER, Audience, Held, Parent, RoleHeld, Rows, key_text

Model = type[Any]

_kinds: "dict[Model, Kind]" = {}
_begun: set[Model] = set()
"""The models whose declarations are being followed, from a child to its parents."""


class Untrackable(TypeError):
    """A model is mapped in a way that the change log could not follow."""


def _refuse(what: str, instead: str) -> NoReturn:
    raise Untrackable(f"{what}: {instead}")


def is_hidden(value: Any) -> bool:
    """What the column of an ``unless`` says (see `conditions.is_unset`)."""
    return value is not None and value is not False


@dataclass(frozen=True, slots=True, eq=False)
class Related:
    """Rows of another model that decide who may see entities of this one.

    The attribute `of` of that model refers to the attribute `mine` of this one. Its attribute `column` holds the
    value of a key of `kind`.
    """

    model: Model
    of: str
    mine: str
    column: str
    kind: str


@dataclass(frozen=True, slots=True, eq=False)
class Above:
    """The entity above: `column` refers to `theirs` of the model. `always`: there is one, the column is not NULL."""

    model: Model
    column: str
    theirs: str
    always: bool


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """The audience of one kind of entity, by its base model.

    `named_roles` are those that its own declaration names. `readers` are the roles that see all of the kind;
    `role_keys` are those of roles where `unless` decides row by row: such a key stands beside each event. `key_kinds`
    are the kinds of keys that events of this kind may carry besides the owner's; `has_owner` says whether they may have
    one. `is_plain`: the columns of a row alone decide about it; `is_owners`: its owner and whole roles alone see it.
    """

    model: Model
    entity: str
    owner: str | None
    held: tuple[Held, ...]
    named_roles: frozenset[str]
    readers: frozenset[str]
    role_keys: frozenset[str]
    rows: tuple[Related, ...]
    above: tuple[Above, ...]
    unless: str | None
    admins: bool
    key_kinds: frozenset[str]
    has_owner: bool
    is_plain: bool
    is_owners: bool

    def keys_of(self, held: Mapping[str, Any]) -> tuple[int | None, set[str]] | None:
        """The owner and the other keys that a row's own columns name; None: it is hidden."""
        if self.unless is not None and is_hidden(held[self.unless]):
            return None
        others = set(self.role_keys)
        for part in self.held:
            if not part.is_owner and (value := held[part.column]) is not None:
                others.add(key_text(part.kind, value))
        return None if self.owner is None else held[self.owner], others

    @property
    def columns(self) -> tuple[str, ...]:
        """The attributes of its own that decide."""
        found = [each.column for each in self.held] + [each.column for each in self.above]
        found += [each.mine for each in self.rows]
        return tuple(dict.fromkeys([*found, *((self.unless,) if self.unless else ())]))


def root_of(model: Model) -> Model:
    mapper: Mapper[Any] = sa_inspect(model)
    root: Model = mapper.base_mapper.class_
    return root


def _name(model: Model) -> str:
    return str(model.__entity__)


def forget() -> None:
    """What was found out: another model was mapped."""
    _kinds.clear()


def kind_of(model: Model) -> Kind:
    """The audience of a model's entities; that of its base. Raises Untrackable."""
    found = _kinds.get(model)
    if found is None:
        root = root_of(model)
        if root in _begun:
            _refuse(
                f"{root.__name__}.__audience__ is that of a parent of its own kind", "name keys that are in columns"
            )
        _begun.add(root)
        try:
            found = _kinds[model] = _kinds[root] = _kinds.get(root) or _kind_of(root)
        finally:
            _begun.discard(root)
    return found


def _kind_of(model: Model) -> Kind:
    declared: Audience = model.__audience__
    held = tuple(each for each in declared.parts if isinstance(each, Held))
    for each in held:
        column_of(model, each.column, of_a_key=each.kind)
    related = tuple(_related(model, each) for each in declared.parts if isinstance(each, Rows))
    above = tuple(_above(model, each) for each in declared.parts if isinstance(each, Parent))
    parents = [kind_of(each.model) for each in above]
    named = frozenset(each.role for each in declared.parts if isinstance(each, RoleHeld))
    roles = named.union(*(kind_of(each.model).readers for each in above if each.always))
    if declared.unless is not None:
        column_of(model, declared.unless)
        role_keys, roles = frozenset(key_text(ROLE, each) for each in roles), frozenset()
    else:
        role_keys = frozenset()
    owner = next((each.column for each in held if each.is_owner), None)
    kinds_of_keys = {each.kind for each in held if not each.is_owner} | {each.kind for each in related}
    if role_keys or any(not each.always and kind_of(each.model).readers for each in above):
        kinds_of_keys.add(ROLE)
    kinds_of_keys = kinds_of_keys.union(*(each.key_kinds for each in parents))
    if parents and (owner or len(parents) > 1):  # the owner of another one is one of the others
        kinds_of_keys.add(USER)
    return Kind(
        model,
        _name(model),
        owner,
        held,
        named,
        roles,
        role_keys,
        related,
        above,
        declared.unless,
        declared.admins and all(each.admins for each in parents),
        frozenset(kinds_of_keys),
        owner is not None or any(each.has_owner for each in parents),
        is_plain := not (related or above),
        is_plain and declared.unless is None and all(each.is_owner for each in held),
    )


def _related(model: Model, part: Rows) -> Related:
    other = root_of(part.model())
    if not hasattr(other, "__entity__"):
        _refuse(f"{model.__name__}.__audience__ asks for rows of {other.__name__}", "make that model Tracked")
    column_of(other, part.column, of_a_key=part.kind)
    target, mine = _target(other, part.of)
    if root_of(target) is not root_of(model):
        _refuse(f"{model.__name__}.__audience__ asks for rows of {other.__name__} by {part.of}", "name its foreign key")
    return Related(other, part.of, mine, part.column, part.kind)


def _above(model: Model, part: Parent) -> Above:
    target, theirs = _target(model, part.column)
    return Above(target, part.column, theirs, always=not column_of(model, part.column).nullable)


def _target(model: Model, name: str) -> tuple[Model, str]:
    """The tracked model, and its attribute, to which this foreign key refers."""
    mapper: Mapper[Any] = sa_inspect(model)
    keys = list(column_of(model, name).foreign_keys)
    what = f"{model.__name__}.{name} decides who may see an entity"
    instead = "make it one foreign key, of this column alone, to a unique column in the base table of a tracked model"
    if len(keys) != 1 or keys[0].constraint is None or len(keys[0].constraint.elements) != 1:
        _refuse(what, instead)
    column = keys[0].column
    for other in mapper.registry.mappers:
        is_base = other.local_table is column.table and other.inherits is None and hasattr(other.class_, "__audience__")
        if is_base and column in other.columns.values() and is_unique(column):
            return other.class_, other.get_property_by_column(column).key
    return _refuse(what, instead)


def is_unique(column: Any) -> bool:
    """Whether its table says so of this column alone."""
    table = column.table
    unique = (each for each in table.constraints if isinstance(each, UniqueConstraint | PrimaryKeyConstraint))
    indexes = (each for each in table.indexes if each.unique)
    return column.unique is True or any(list(each.columns) == [column] for each in (*unique, *indexes))


def table_of(model: Model) -> Table:
    table: Any = sa_inspect(model).local_table
    return table  # type: ignore[no-any-return]


def column_of(model: Model, name: str, *, of_a_key: str | None = None) -> Column[Any]:
    """The column of an attribute that decides; ``of_a_key``: the kind of the keys that are made of it.

    Raises:
        Untrackable: it cannot be followed.
    """
    mapper: Mapper[Any] = sa_inspect(model)
    column = mapper.columns.get(name)
    where = f"{model.__name__}.__audience__"
    if not isinstance(column, Column):
        _refuse(f"{where} names {name!r}", "name a column attribute of the model")
    if column.table is not mapper.base_mapper.local_table:
        _refuse(f"{where} names {name!r}, which is not in the table of its base", "name columns that all of them have")
    allowed = (int,) if of_a_key == USER else (int, UUID)
    if of_a_key is not None and value_type(column) not in allowed:
        made_of = "users are known by integers" if of_a_key == USER else "keys are made of integers and UUIDs"
        _refuse(f"{where} names {name!r}, of the type {column.type!r}", made_of)
    return column


def value_type(column: Column[Any]) -> type:
    try:
        return column.type.python_type
    except NotImplementedError:
        return object
