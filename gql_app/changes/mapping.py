"""What is refused when a tracked model is mapped, and what to do instead.

Must hold: whatever could change a tracked attribute behind the unit of work, or could not be written into the log, is
refused here by name. So a model that can be mapped is recorded completely.
"""

import weakref
from typing import Any, NoReturn

from sqlalchemy import Column, Computed, ForeignKey, Identity, Uuid, event
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.exc import NoReferenceError
from sqlalchemy.orm import Mapper

from gql_app.audiences import kinds, registry
from gql_app.audiences.declaration import USER, Held, Parent
from gql_app.audiences.kinds import Untrackable
from gql_app.changes.codec import Codec
from gql_app.changes.models import AUDIENCE
from gql_app.changes.tracking import Attribute, Tracked, attributes_of, forget, mapper_of, table_of
from gql_app.db import guard
from gql_app.db.statements import NO_TABLE

LONGEST_NAME = 64
"""Characters of an entity type and of an attribute, as wide as the log's columns."""

_entities: "weakref.WeakValueDictionary[tuple[int, str], type[Tracked]]" = weakref.WeakValueDictionary()
"""The kinds of each declarative base; those of an application are compared when it starts (`Catalog`)."""


def _refuse(what: str, instead: str) -> NoReturn:
    raise Untrackable(f"{what}: {instead}")


def _constructed(mapper: Mapper[Any], model: type[Tracked]) -> None:
    """As soon as the class is mapped: all that can be told without the other classes."""
    _check_entity(mapper, model)
    if not issubclass(mapper.base_mapper.class_, Tracked):
        _refuse(
            f"{model.__name__} is tracked and its mapped base {mapper.base_mapper.class_.__name__} is not",
            "make the base Tracked: its rows are entities of the same kind",
        )
    if mapper.concrete:
        _refuse(
            f"{model.__name__} is mapped by concrete inheritance, so its rows are not those of its base",
            "use joined or single-table inheritance, or a model of its own",
        )
    if mapper.version_id_col is None:
        _refuse(
            f"{model.__name__} has no version, by which two changes of one row notice each other",
            "do not override __mapper_args__['version_id_col']",
        )
    if not mapper.base_mapper.confirm_deleted_rows:
        _refuse(
            f"{model.__name__} does not notice when another transaction has deleted its row",
            "leave __mapper_args__['confirm_deleted_rows'] as it is",
        )
    _check_columns(mapper, model)
    _check_audience(model)
    public_id: Any = mapper.columns["public_id"]
    is_ours = isinstance(public_id.type, Uuid) and public_id.type.as_uuid and public_id.onupdate is None
    if not is_ours or not (public_id.unique or kinds.is_unique(public_id)):
        _refuse(f"{model.__name__}.public_id is overridden", "leave it as Tracked declares it")
    _check_table(model)
    guard.protect(mapper)
    registry.add(model)


def _check_audience(model: type[Tracked]) -> None:
    """What its own columns say; what other models say is looked at when all are mapped."""
    for own in ("__audience__", "__grants__"):
        if own in vars(model) and kinds.root_of(model) is not model:
            _refuse(f"{model.__name__} has an {own} of its own", "let the base say it for all entities of the kind")
    for part in model.__audience__.parts:
        if isinstance(part, Held):
            _check_followed(model, part.column)
    if model.__audience__.unless is not None:
        _check_followed(model, model.__audience__.unless)
    for grant in model.__grants__:
        where = f"{model.__name__}.__grants__"
        if grant.column not in attributes_of(model):
            _refuse(f"{where} names {grant.column!r}, which is not tracked", "declare it with tracked(…)")
        named = (part for part in model.__audience__.parts if isinstance(part, Held) and part.kind == USER)
        if grant.to not in {part.column for part in named}:
            _refuse(f"{where} gives keys to {grant.to!r}", "name it in __audience__, too, with owner(…) or person(…)")


def _check_followed(model: type[Tracked], name: str) -> None:
    kind_of_key = {part.column: part.kind for part in model.__audience__.parts if isinstance(part, Held)}
    column = kinds.column_of(model, name, of_a_key=kind_of_key.get(name))
    if not column.primary_key:
        _check_column(model, Attribute(name, column, secret=False))
    for key in column.foreign_keys:
        for action in (key.ondelete, key.onupdate):
            if action and action.upper().startswith(("SET", "CASCADE")):
                _refuse(
                    f"{model.__name__}.{name} decides who may see an entity, and is changed by the database (ON DELETE "
                    f"or ON UPDATE {action})",
                    "leave it out, and change it in the unit of work",
                )


def _check_entity(mapper: Mapper[Any], model: type[Tracked]) -> None:
    name = getattr(model, "__entity__", None)
    if not isinstance(name, str) or not name.isidentifier():
        _refuse(f"{model.__name__} has no __entity__", f"add __entity__ = {model.__name__!r}, a name for its kind")
    if len(name) > LONGEST_NAME:
        _refuse(f"{model.__name__}.__entity__ is too long", f"use at most {LONGEST_NAME} characters")
    root = mapper.base_mapper.class_
    known = _entities.setdefault((id(mapper.registry), name), root)
    if known is not root and known.__entity__ == name:
        _refuse(f"{root.__name__} and {known.__name__} both call themselves {name}", "give each its own __entity__")


def _check_columns(mapper: Mapper[Any], model: type[Tracked]) -> None:
    for attribute in attributes_of(model).values():
        _check_column(model, attribute)
    for column in table_of(model).c:
        _check_foreign_keys(mapper, model, column)


def _check_column(model: type[Tracked], attribute: Attribute) -> None:
    column, where = attribute.column, f"{model.__name__}.{attribute.name}"
    if attribute.name == AUDIENCE:
        _refuse(f"{where} has the name by which the log tells of audiences", "give the attribute another name")
    if len(attribute.name) > LONGEST_NAME:
        _refuse(f"the name of {where} is too long for the log", f"use at most {LONGEST_NAME} characters")
    if column.onupdate is not None:
        _refuse(f"{where} is tracked and has onupdate=, which changes it unseen", "assign it in the unit of work")
    if isinstance(column.computed, Computed) or isinstance(column.identity, Identity):
        _refuse(f"{where} is tracked and computed by the database", "compute it in Python, or do not track it")
    if column.server_onupdate is not None:
        _refuse(f"{where} is tracked and changed by the database (server_onupdate=)", "assign it in the unit of work")
    default: Any = column.default
    if default is not None and (default.is_clause_element or default.is_sequence):
        _refuse(f"{where} is tracked and its default is an SQL expression", "use a value or a function as default=")
    if column.server_default is not None and default is None and not column.primary_key:
        _refuse(f"{where} is tracked and its default is the database's (server_default=)", "add a default= of Python's")


def _check_table(model: type[Tracked]) -> None:
    table = table_of(model)
    if table.name.upper() in NO_TABLE:
        _refuse(f"the table {table.name} has a word of SQL for its name", "give it another name")
    for part in (*table.c, *table.constraints):
        if any(str(name).startswith("sqlite_on_conflict") for name in part.dialect_kwargs):
            _refuse(f"{table.name} replaces or ignores rows in a conflict (sqlite_on_conflict)", "leave it out")


def _refers_to(key: ForeignKey, table: Any) -> bool:
    try:
        return key.column.table is table
    except NoReferenceError:  # not defined yet
        return False


def _check_foreign_keys(mapper: Mapper[Any], model: type[Tracked], column: Column[Any]) -> None:
    where = f"{table_of(model).name}.{column.name}"
    base: Any = None if mapper.inherits is None else mapper.inherits.local_table
    for key in column.foreign_keys:
        if column.primary_key and base is not None and _refers_to(key, base):
            continue  # the other half of the same entity
        if key.ondelete and key.ondelete.upper() == "CASCADE":
            _refuse(
                f"{where} has ON DELETE CASCADE: the database would delete rows of {model.__name__} unseen",
                'leave it out, and delete them in the unit of work (relationship(cascade="all, delete-orphan"))',
            )
        changes = [
            each for each in (key.ondelete, key.onupdate) if each and each.upper().startswith(("SET", "CASCADE"))
        ]
        followed = mapper._columntoproperty[column].key if column in mapper._columntoproperty else None
        if changes and followed is not None and (followed in attributes_of(model) or followed in _decides(model)):
            _refuse(
                f"{where} is changed by the database (ON DELETE or ON UPDATE {changes[0]}) and followed by the log",
                "leave it out, and change it in the unit of work",
            )


def _decides(model: type[Tracked]) -> set[str]:
    """The columns of its own that its audience names."""
    parts = (part.column for part in model.__audience__.parts if isinstance(part, Held | Parent))
    return {*parts, *((model.__audience__.unless,) if model.__audience__.unless else ())}


def _configured(mapper: Mapper[Any], model: type[Tracked]) -> None:
    """When all classes are mapped: what the others decide, and columns that were added since."""
    try:
        _check_configured(mapper, model)
    except BaseException:
        registry.discard(model)
        raise


def _check_configured(mapper: Mapper[Any], model: type[Tracked]) -> None:
    _check_columns(mapper, model)
    for name in kinds.kind_of(model).columns:
        _check_followed(kinds.root_of(model), name)
    for attribute in attributes_of(model).values():
        where = f"{model.__name__}.{attribute.name}"
        try:
            Codec(attribute.column.type, DefaultDialect())
        except TypeError as error:
            raise Untrackable(f"{where} cannot be tracked: {error}") from None
        if not mapper.column_attrs[attribute.name].active_history:
            _refuse(
                f"{where} is tracked without active_history",
                "declare it with tracked(…), or its composite(…, active_history=True)",
            )
    for relationship in mapper.relationships:
        secondary: Any = relationship.secondary
        if secondary is not None and not relationship.viewonly:
            _refuse(
                f"{model.__name__}.{relationship.key} writes the table {secondary.name} by itself, "
                "which the log does not follow",
                "map that table as a tracked model of its own, and make this relationship viewonly=True",
            )


def _follow_audiences() -> None:
    """Who could see it must be known also where an attribute had expired."""
    registry.forget()
    kinds_here = registry.mapped_kinds()
    for base in {mapper_of(each.model).registry for each in kinds_here}:
        registry.refuse_keys_of_two_types(each for each in kinds_here if mapper_of(each.model).registry is base)
    for kind in kinds_here:
        for model in (each.class_ for each in mapper_of(kind.model).self_and_descendants):
            for name in registry.followed(model):
                _check_followed(kind.model, name)
                if (impl := getattr(model, name).impl) is not None:  # else it is configured later
                    impl.active_history = True


def _instrumented(model: type[Tracked], name: str, attribute: object) -> None:
    forget(model)


event.listen(Tracked, "attribute_instrument", _instrumented, propagate=True)
event.listen(Tracked, "after_mapper_constructed", _constructed, propagate=True)
event.listen(Tracked, "mapper_configured", _configured, propagate=True)
event.listen(Mapper, "after_configured", _follow_audiences)
