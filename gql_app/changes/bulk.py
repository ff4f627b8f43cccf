"""ORM bulk statements: `update(Model)` and `delete(Model)` by criteria are recorded, `insert(Model)` is refused.

The rows that a statement hits are read before and after it, all at once, and compared. Everything else that writes a
tracked table is refused by the guard at the cursor (see `db.guard`).
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, Delete, Insert, Select, Update, Uuid, any_, column, event, func, select
from sqlalchemy import literal as bound
from sqlalchemy.orm import Mapper, ORMExecuteState, Session
from sqlalchemy.orm.attributes import instance_state
from sqlalchemy.sql import visitors
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.sql.selectable import AliasedReturnsRows

from gql_app.audiences.registry import followed
from gql_app.changes.capture import pending
from gql_app.changes.codec import Frozen
from gql_app.changes.net import Entity, Pair
from gql_app.changes.subjects import is_kept
from gql_app.changes.tracking import Tracked, attributes_of, codecs_of, mapper_of, table_of
from gql_app.db import Timestamped, UntrackedWrite, WriteSession, announcing


@event.listens_for(WriteSession, "do_orm_execute", propagate=True)
def _watch(state: ORMExecuteState) -> Any:
    statement = state.statement
    if not isinstance(statement, UpdateBase) or not state.is_orm_statement or state.bind_mapper is None:
        return None
    model = state.bind_mapper.class_
    if not issubclass(model, Tracked):
        return None
    name = model.__name__
    if isinstance(statement, Insert):
        _refuse(f"insert({name})", f"use session.add_all([{name}(…), …])")
    if state.bind_mapper.local_table is not state.bind_mapper.base_mapper.local_table:
        _refuse(f"update() or delete() of {name} would change only one of the row's two tables and", "load the objects")
    if state.parameters and not isinstance(state.parameters, Mapping):
        _refuse(f"update({name}) with a list of rows", "load the objects, or use update() with criteria")
    if any(isinstance(each, UpdateBase) and each is not statement for each in visitors.iterate(statement)):
        _refuse(f"a change within update({name}) or delete({name})", "use two statements")
    if isinstance(statement.table, AliasedReturnsRows):
        _refuse(f"update() or delete() of an alias of {name}", f"use update({name}) or delete({name})")
    pending(state.session).in_bulk = True
    if isinstance(statement, Update):
        return _update(state, model, statement)
    if isinstance(statement, Delete):
        return _delete(state, model, statement)
    return None


@dataclass(frozen=True, slots=True)
class _Kind:
    """Where in a row the log finds what it needs, for one class of an inheritance."""

    model: type[Tracked]
    held: Sequence[tuple[str, int]]
    key: Sequence[int]
    values: Sequence[tuple[str, Callable[[Any], Frozen], int]]


def _differ(old: Any, new: Any) -> bool:
    """Equal lists and dictionaries may hold what the database tells apart: true and 1."""
    return old != new or isinstance(old, dict | list)


@dataclass(frozen=True, slots=True)
class _Row:
    kind: _Kind
    row: Sequence[Any]

    @property
    def model(self) -> type[Tracked]:
        return self.kind.model

    @property
    def held(self) -> dict[str, Any]:
        return {name: self.row[place] for name, place in self.kind.held}

    @property
    def key(self) -> tuple[Any, ...]:
        return tuple([self.row[place] for place in self.kind.key])

    def changed_since(self, old: "_Row") -> dict[str, Pair]:
        # Equal values are passed over before anything is made of them: most attributes do not change.
        return {
            name: (freeze(old.row[place]), freeze(self.row[place]))
            for name, freeze, place in self.kind.values
            if _differ(old.row[place], self.row[place])
        }


def _update(state: ORMExecuteState, model: type[Tracked], statement: Update) -> Any:
    if statement._maintain_values_ordering:
        _refuse(f"update({model.__name__}).ordered_values()", "use values()")
    if statement._prefixes:
        _refuse(f"update({model.__name__}) with a prefix", "leave it out")
    session = state.session
    rows = _Rows(session, model)
    for key in (*(statement._values or ()), *(state.parameters or ())):
        if rows.is_of_another_class(name := str(getattr(key, "name", key))):
            _refuse(f"update({model.__name__}) of {name}, which makes it or belongs to a subclass,", "load the objects")
    before = rows.hit(state, statement)
    extra: dict[Any, Any] = {model.version: model.version + 1}
    if issubclass(model, Timestamped):
        extra[model.updated_at] = datetime.now(UTC)
    statement = statement.values(extra)
    statement = rows.only(before, statement)
    announced = {**announcing(table_of(model).name), "synchronize_session": False}
    with _recorded_or_spoiled(session, f"update({model.__name__})"):
        result = state.invoke_statement(statement, execution_options=announced)
        after = rows.read(before)
        noted = pending(session)
        for public_id, old in before.items():
            new = after.get(public_id)
            if new is None:
                raise RuntimeError(f"update({model.__name__}) must not change public_id")
            changed, held, held_before = new.changed_since(old), new.held, old.held
            if changed or held != held_before:
                noted.add(Entity(new.model, public_id, held, held_before, values=changed))
        rows.refresh(before)
    return result


def _delete(state: ORMExecuteState, model: type[Tracked], statement: Delete) -> Any:
    session = state.session
    rows = _Rows(session, model)
    before = rows.hit(state, statement)
    statement = rows.only(before, statement)
    objects = rows.objects(before) if is_kept(model) else {}
    with _recorded_or_spoiled(session, f"delete({model.__name__})"):
        result = state.invoke_statement(statement, execution_options=announcing(table_of(model).name))
        left = rows.read(before)
        noted = pending(session)
        for public_id, old in before.items():
            if public_id not in left:
                noted.add(Entity(old.model, public_id, old.held, old.held, objects.get(public_id), deleted=True))
    return result


@contextmanager
def _recorded_or_spoiled(session: Session, what: str) -> Iterator[None]:
    """Must hold: who catches an error from here on cannot commit what may have changed and is not noted."""
    try:
        yield
    except BaseException:
        pending(session).spoil(what)
        raise


class _Rows:
    """Reads the rows of a table that a statement is about, without an object for each."""

    def __init__(self, session: Session, model: type[Tracked]) -> None:
        self._session = session
        self._model = model
        self._dialect = session.get_bind().dialect
        self._mapper: Mapper[Any] = mapper_of(model).base_mapper
        table = self._table = table_of(self._mapper.class_)
        # All attributes of all subclasses in this table: any of them may be among those that are set.
        self._tracked = {
            each.class_: {name: a.column for name, a in attributes_of(each.class_).items() if a.column.table is table}
            for each in self._mapper.self_and_descendants
        }
        columns: set[Any] = {column for found in self._tracked.values() for column in found.values()}
        columns.update(self._mapper.primary_key)
        columns.update(self._mapper.columns[name] for name in followed(model))
        kind: Any = self._mapper.polymorphic_on
        self._joins_nothing = False
        self._kind = kind if kind is not None and kind.table is table else None
        if self._kind is not None:
            columns.add(self._kind)
        self._columns = sorted(columns, key=lambda each: each.name)
        # In one order: the log's, and that in which two statements lock the same rows.
        self._select: Select[Any] = select(model.public_id, *self._columns).order_by(*self._mapper.primary_key)

    def only(self, rows: Mapping[UUID, _Row], statement: Any) -> Any:
        """The statement for these rows alone: its criteria might match others the second time they are asked for.

        Criteria that join other tables are asked for again, as the values may come from there.
        """
        if self._joins_nothing:
            statement = statement._clone()
            statement._where_criteria = ()
        return statement.where(self.among(rows))

    def is_of_another_class(self, column: str) -> bool:
        """Whether this column says of which class a row is, or is a tracked attribute of subclasses only."""
        if self._kind is not None and column == self._kind.name:
            return True
        tracked = {each.name for found in self._tracked.values() for each in found.values()}
        return column in tracked - {each.name for each in self._tracked[self._model].values()}

    def hit(self, state: ORMExecuteState, statement: Update | Delete) -> dict[UUID, _Row]:
        """The rows that the statement will hit, by their public ids; locked until the end of the transaction."""
        if self._session.autoflush and state.execution_options.get("autoflush", True):
            self._session.flush()
        elif any(isinstance(each, self._mapper.class_) for each in (*self._session.new, *self._session.dirty)):
            _refuse(
                f"a bulk statement on {self._model.__name__} while changes of such objects are not flushed",
                "call session.flush() before it",
            )
        query = self._select.with_for_update(of=self._mapper.local_table)
        if statement.whereclause is not None:
            query = query.where(statement.whereclause)
        if statement._independent_ctes:
            query = query.add_cte(*statement._independent_ctes)
        if statement._with_options:
            query = query.options(*statement._with_options)
        self._joins_nothing = len(query.get_final_froms()) == 1 and not statement._independent_ctes
        parameters: Any = state.parameters
        return self._found(query, parameters or {})

    def among(self, ids: Mapping[UUID, Any], public_id: Any = None) -> ColumnElement[bool]:
        """That a row is one of these, however many: they travel in one parameter."""
        public_id = self._model.public_id if public_id is None else public_id
        if self._dialect.name == "postgresql":
            return public_id == any_(bound(list(ids), ARRAY(Uuid())))  # type: ignore[no-any-return]
        listed = func.json_each(json.dumps([each.hex for each in ids])).table_valued(column("value", Uuid()))
        return public_id.in_(select(listed.c.value))  # type: ignore[no-any-return]

    def read(self, ids: Mapping[UUID, Any]) -> dict[UUID, _Row]:
        """The rows as they are now, whether they still meet any criteria or not."""
        query = select(self._table.c.public_id, *self._columns).order_by(*self._mapper.primary_key)
        return self._found(query.where(self.among(ids, self._table.c.public_id)), {}) if ids else {}

    def objects(self, rows: Mapping[UUID, _Row]) -> dict[UUID, Tracked]:
        """The objects of these rows, with all that they hold."""
        query = select(self._mapper.class_).where(self.among(rows))
        found = self._session.scalars(query.execution_options(populate_existing=True))
        return {each.public_id: each for each in found}

    def refresh(self, rows: Mapping[UUID, _Row]) -> None:
        """The objects of these rows that the session holds show what is in them now."""
        known = self._session.identity_map
        if not known:
            return
        held = {i: row for i, row in rows.items() if self._mapper.identity_key_from_primary_key(row.key) in known}
        if held:
            query = select(self._mapper.class_).where(self.among(held))
            found = self._session.scalars(query.execution_options(populate_existing=True)).all()
            # As the ORM does after its own: what a savepoint takes back is loaded anew.
            self._session._register_altered([instance_state(each) for each in found])

    def _found(self, query: Select[Any], parameters: dict[str, Any]) -> dict[UUID, _Row]:
        place: dict[Any, int] = {each: number for number, each in enumerate(self._columns, 1)}
        named = None if self._kind is None else place[self._kind]
        kinds: dict[Any, _Kind] = {}
        found = {}
        for row in self._session.execute(query, parameters).all():  # one by one they take longer
            name = None if named is None else row[named]
            kind = kinds.get(name) or kinds.setdefault(name, self._kind_of(name, place))
            found[row[0]] = _Row(kind, row)
        return found

    def _kind_of(self, name: Any, place: Mapping[Any, int]) -> _Kind:
        model = self._mapper.class_ if self._kind is None else self._mapper.polymorphic_map[name].class_
        codecs = codecs_of(model, self._dialect)
        return _Kind(
            model,
            [(name, place[self._mapper.columns[name]]) for name in followed(model)],
            [place[each] for each in self._mapper.primary_key],
            [(name, codecs[name].frozen, place[each]) for name, each in self._tracked[model].items()],
        )


def _refuse(what: str, instead: str) -> NoReturn:
    raise UntrackedWrite(f"{what} would be missing in the change log: {instead}")
