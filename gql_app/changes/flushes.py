"""What the unit of work changes: noted at the moment at which the ORM executes the statement of each object.

Mapper events tell of each object that a flush writes, also of orphans and cascades that the flush itself finds. Before
the statement it is settled what the log will need; after it the values that were sent are frozen.
"""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from functools import cache
from typing import Any, NoReturn
from uuid import uuid4

from sqlalchemy import ClauseElement, Connection, event, select
from sqlalchemy.orm import InstanceState, Mapper, Session, UOWTransaction, object_session
from sqlalchemy.orm.attributes import instance_state
from sqlalchemy.orm.base import NO_VALUE, PassiveFlag

from gql_app.audiences.registry import followed, makers
from gql_app.changes.capture import pending
from gql_app.changes.codec import NULL
from gql_app.changes.net import Entity, Pair
from gql_app.changes.tracking import Tracked, attributes_of, codecs_of
from gql_app.db import WriteSession

_TAKEN_OVER = "gql_app_taken_over"
_EXPIRED = "gql_app_expired"


def _session_of(target: Tracked) -> Session:
    session = object_session(target)
    if not isinstance(session, WriteSession):
        raise TypeError(
            f"{type(target).__name__} is tracked: change it in a unit of work of Database.write, "
            "or else the change would be missing in the change log"
        )
    pending(session).flush_begins()
    return session


def _before_insert(mapper: Mapper[Any], connection: Connection, target: Tracked) -> None:
    session = _session_of(target)
    state = instance_state(target)
    if state.dict.get("public_id") is None:
        target.public_id = uuid4()  # not by the default: that is not asked where a row is taken over
    _refuse_expressions(target, state)
    key = mapper.identity_key_from_instance(target)
    if None not in key[1] and key in session.identity_map:
        _take_over(session, mapper, target, session.identity_map[key])


def _take_over(session: Session, mapper: Mapper[Any], target: Tracked, former: Any) -> None:
    """A new object with the key of one that this flush deletes: the ORM updates the row instead.

    Must hold: nothing of the former one stays in the row. What the new object does not set gets its default.
    """
    if type(former) is not type(target):
        raise TypeError(
            f"a {type(target).__name__} with the key of a {type(former).__name__} that is deleted in the same flush: "
            "call session.flush() between the two"
        )
    loaded = instance_state(target).dict
    for name, column in mapper.columns.items():
        if name in mapper.column_attrs and name not in loaded and column is not mapper.version_id_col:
            default: Any = getattr(column, "default", None)
            if getattr(column, "primary_key", False) or not hasattr(column, "table"):
                continue
            if default is None or not hasattr(default, "arg"):
                setattr(target, name, None)
            else:
                setattr(target, name, _default_of(target, name, default))
    session.info.setdefault(_TAKEN_OVER, {})[instance_state(target)] = _entity(former, deleted=True)


def _default_of(target: Tracked, name: str, default: Any) -> Any:
    if not default.is_callable:
        return default.arg
    try:
        return default.arg(None)
    except AttributeError as error:  # it looks at the other values of the statement
        raise TypeError(
            f"the default of {type(target).__name__}.{name} cannot be told where a new object takes over the row of a "
            "deleted one: call session.flush() between the two"
        ) from error


def _after_insert(mapper: Mapper[Any], connection: Connection, target: Tracked) -> None:
    _note_created(_session_of(target), connection, target)


def _note_created(session: Session, connection: Connection, target: Tracked) -> None:
    loaded = instance_state(target).dict
    codecs = codecs_of(type(target), connection.dialect)
    values: dict[str, Pair] = {}
    if unknown := instance_state(target).expired_attributes & codecs.keys():
        _refuse_listener(target, unknown)
    for name, codec in codecs.items():
        if loaded.get(name) is not None:
            values[name] = (NULL, codec.freeze(loaded[name]))
    pending(session).add(_entity(target, created=True, values=values))


def _before_update(mapper: Mapper[Any], connection: Connection, target: Tracked) -> None:
    session, state = _session_of(target), instance_state(target)
    before = state.committed_state
    if before and "version" not in state.dict:
        _ = target.version  # it is loaded now and not in the middle of the flush: see `_refreshed`
    if state.expired_attributes:
        session.info.setdefault(_EXPIRED, {})[state] = frozenset(state.expired_attributes)
    if not before:
        return
    _refuse_expressions(target, state)
    if before.get("public_id", target.public_id) != target.public_id:
        raise TypeError(f"{type(target).__name__}.public_id never changes: the log knows the entity by it")
    if (kind := _discriminator(mapper)) in before and _is_another_class(mapper, before[kind], state.dict.get(kind)):
        raise TypeError(f"{type(target).__name__}.{kind} says of which class it is: delete it and add another one")
    _load_what_decides(target, state)
    names = [name for name in attributes_of(type(target)) if name in before]
    for name in names:
        if name not in state.dict:
            raise TypeError(f"{type(target).__name__}.{name} is tracked: assign None instead of del")
    codecs = codecs_of(type(target), connection.dialect)
    # Of a value that can be changed in place the ORM has kept the very object.
    unknown = [name for name in names if before[name] is NO_VALUE or codecs[name].mutable]
    unknown += [name for name in followed(type(target)) if before.get(name) is NO_VALUE and name not in unknown]
    if unknown:
        _look_up_replaced(mapper, connection, state, unknown)


def _load_what_decides(target: Tracked, state: InstanceState[Any]) -> None:
    """Now, and not after the statement: see `_refreshed`."""
    for name in followed(type(target)):
        if name not in state.dict:
            if name in state.committed_state:
                raise TypeError(f"{type(target).__name__}.{name} decides who may see it: assign None instead of del")
            getattr(target, name)


@cache
def _discriminator(mapper: Mapper[Any]) -> str | None:
    """The attribute that says of which class of an inheritance a row is."""
    column: Any = mapper.polymorphic_on
    return mapper.get_property_by_column(column).key if column is not None and column in mapper.c.values() else None


def _is_another_class(mapper: Mapper[Any], before: Any, after: Any) -> bool:
    return bool(after != (mapper.polymorphic_identity if before is NO_VALUE else before))


def _look_up_replaced(mapper: Mapper[Any], connection: Connection, state: InstanceState[Any], names: list[str]) -> None:
    """The old values of what was changed in place, or flagged as changed: only the row still has them.

    Put where the ORM keeps old values, so that an attribute that did not change is not written either.
    """
    key: Any = state.key
    table = mapper.selectable
    columns = [mapper.columns[name].label(name) for name in names]
    where = [column == value for column, value in zip(mapper.primary_key, key[1], strict=True)]
    row = connection.execute(select(*columns).select_from(table).where(*where)).one_or_none()
    if row is not None:  # else the version will not be found either, and the unit of work is run again
        state.committed_state.update(row._mapping)


def _after_update(mapper: Mapper[Any], connection: Connection, target: Tracked) -> None:
    session = _session_of(target)
    state = instance_state(target)
    if state.key is None:  # it has taken over a row
        former: Entity = session.info[_TAKEN_OVER].pop(state)
        pending(session).add(former)
        _note_created(session, connection, target)
        return
    # An SQL expression that an author's event has assigned: the ORM expires it as soon as it was sent.
    expired = session.info.get(_EXPIRED, {}).pop(state, frozenset())
    if expressions := (state.expired_attributes - expired) & attributes_of(type(target)).keys():
        _refuse_listener(target, expressions)
    if before := state.committed_state:
        if before.get("public_id", target.public_id) != target.public_id:
            _refuse_listener(target, {"public_id"})
        if (kind := _discriminator(mapper)) in before and _is_another_class(mapper, before[kind], state.dict.get(kind)):
            _refuse_listener(target, {str(kind)})
        watched = {*attributes_of(type(target)), *followed(type(target))}
        if odd := {name for name in watched if name in before and _is_odd(state, name)}:
            _refuse_listener(target, odd)
        _note_replaced(session, connection, state, attributes_of(type(target)))


def _is_odd(state: InstanceState[Any], name: str) -> bool:
    """Changed after `_before_update` has looked at it: its old or new value is not known."""
    return state.committed_state[name] is NO_VALUE or name not in state.dict


def _refuse_listener(target: Tracked, names: AbstractSet[str]) -> NoReturn:
    listed = ", ".join(sorted(names))
    raise TypeError(
        f"{type(target).__name__}: a mapper event has changed {listed} in a way that cannot be recorded: assign "
        "values, and change what is mutable before the flush"
    )


def _note_replaced(session: Session, connection: Connection, state: InstanceState[Any], names: Any) -> None:
    before, loaded = state.committed_state, state.dict
    target: Any = state.obj()
    codecs, columns = codecs_of(type(target), connection.dialect), attributes_of(type(target))
    values: dict[str, Pair] = {}
    for name in names:
        if name in before:
            old = before[name]
            if old is not NO_VALUE and columns[name].column.type.compare_values(old, loaded.get(name)):
                continue  # equal for the ORM, which has not written it
            frozen = NULL if old is NO_VALUE else codecs[name].freeze(old)
            values[name] = (frozen, codecs[name].freeze(loaded.get(name)))
    if values or not before.keys().isdisjoint(followed(type(target))):  # others may see it at the commit
        pending(session).add(_entity(target, values=values))


def _before_delete(mapper: Mapper[Any], connection: Connection, target: Tracked) -> None:
    # Before: afterwards nothing that is missing could be loaded any more. If the statement fails, the flush does.
    pending(_session_of(target)).add(_entity(target, deleted=True))


def _entity(target: Tracked, *, created: bool = False, deleted: bool = False, values: Any = None) -> Entity:
    before = instance_state(target).committed_state
    public_id = target.public_id
    held = {name: make(getattr(target, name)) for name, make in makers(type(target))}
    held_before = {name: make(_replaced(before, name, held[name])) for name, make in makers(type(target))}
    if deleted:  # what the row held, whatever was assigned since
        public_id = before.get("public_id", public_id)
        held = held_before
    return Entity(
        type(target), public_id, held, None if created else held_before, target, created, deleted, values or {}
    )


def _replaced(before: Mapping[str, Any], name: str, value: Any) -> Any:
    old = before.get(name, value)
    return value if old is NO_VALUE else old


def _refuse_expressions(target: Tracked, state: InstanceState[Any]) -> None:
    """What an SQL expression will have replaced is not known here, and after the statement it is too late."""
    loaded, tracked = state.dict, attributes_of(type(target))
    for name in (*tracked, *followed(type(target))):
        value = loaded.get(name)
        if isinstance(value, ClauseElement) or hasattr(value, "__clause_element__"):
            what = "is tracked" if name in tracked else "decides who may see it"
            raise TypeError(f"{type(target).__name__}.{name} {what}: assign a value, not an SQL expression")


def _refreshed(target: Tracked, context: object, names: Iterable[str] | None) -> None:
    """Must hold: no attribute is older than the version of its object. The flush compares the version alone, and takes
    the values that were loaded for those that it replaces."""
    if names is None or "version" not in (found := set(names)):
        return
    state = instance_state(target)
    older = ({*attributes_of(type(target)), *followed(type(target))} & state.dict.keys()) - found
    changed = older & state.committed_state.keys()
    for name in changed:
        state.committed_state[name] = NO_VALUE  # the flush looks it up
    if unchanged := older - changed:
        state._expire_attributes(state.dict, unchanged)
        # A load of what had expired forgets at its end what has expired meanwhile.
        state.callables = {**state.callables, **dict.fromkeys(unchanged, _load_again)}


def _load_again(state: InstanceState[Any], passive: PassiveFlag) -> Any:
    waiting = {name for name, load in state.callables.items() if load is _load_again}
    state.callables = {name: load for name, load in state.callables.items() if load is not _load_again}
    state.expired_attributes.update(waiting - state.dict.keys())
    return state._load_expired(state, passive)


for _name, _listener in (
    ("refresh", _refreshed),
    ("before_insert", _before_insert),
    ("after_insert", _after_insert),
    ("before_update", _before_update),
    ("after_update", _after_update),
    ("before_delete", _before_delete),
):
    event.listen(Tracked, _name, _listener, propagate=True)


@event.listens_for(WriteSession, "after_flush", propagate=True)
def _note_post_updates(session: Session, flush_context: UOWTransaction) -> None:
    """relationship(post_update=True) writes its column in a statement of its own, of which no mapper event tells."""
    for mapper, (states, columns) in flush_context.post_update_states.items():
        names = {mapper.get_property_by_column(column).key for column in columns}
        for state in states:
            target, gone = state.obj(), flush_context.states[state][0] if state in flush_context.states else False
            if isinstance(target, Tracked) and not gone:
                wanted = names & attributes_of(type(target)).keys()
                _note_replaced(session, session.connection(), state, wanted)
