"""Statements that go past the unit of work: recorded where that is possible, refused where it is not.

`update(Model)` and `delete(Model)` by criteria are recorded: the rows that they hit are read before and after. All
other ways to change a tracked table from a write session raise `UntrackedWrite`.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn

from sqlalchemy import Delete, Insert, TextClause, Update, bindparam, event, select
from sqlalchemy import inspect as sa_inspect
from sqlalchemy.orm import ORMExecuteState, Session
from sqlalchemy.orm.context import FromStatement
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.sql.selectable import TextualSelect

from gql_app.changes.capture import key_of, pending
from gql_app.changes.tracking import Tracked, tracked_attributes, tracked_models
from gql_app.db import Timestamped, WriteSession

_DML_TEXT = re.compile(
    r"\b(?:insert\s+(?:or\s+\w+\s+)?into|replace\s+into|update|delete\s+from|merge\s+into|truncate)\b[\s\"'\w.]*", re.I
)


class UntrackedWrite(TypeError):
    """A statement would change a tracked model without a trace in the change log."""


@event.listens_for(WriteSession, "do_orm_execute", propagate=True)
def _watch(state: ORMExecuteState) -> Any:
    statement = state.statement
    if isinstance(statement, FromStatement | TextualSelect):
        statement = statement.element
        if isinstance(statement, UpdateBase):
            _refuse_table(statement)
    if isinstance(statement, TextClause):
        return _refuse_text(statement)
    if not isinstance(statement, UpdateBase):
        return None
    model = state.bind_mapper.class_ if state.is_orm_statement and state.bind_mapper else None
    if model is None:
        return _refuse_table(statement)
    if not issubclass(model, Tracked):
        return None
    if isinstance(statement, Insert):
        _refuse(f"insert({model.__name__})", f"use session.add_all([{model.__name__}(…), …])")
    mapper = sa_inspect(model)
    if mapper.local_table is not mapper.base_mapper.local_table:  # it would change only one of the row's two tables
        _refuse(f"update() or delete() of {model.__name__}", "load the objects")
    if state.parameters and not isinstance(state.parameters, dict):
        _refuse(f"update({model.__name__}) with a list of rows", "load the objects, or use update() with criteria")
    if isinstance(statement, Update):
        return _captured_update(state, model, statement)
    if isinstance(statement, Delete):
        return _captured_delete(state, model, statement)
    return None


def _captured_update(state: ORMExecuteState, model: type[Tracked], statement: Update) -> Any:
    session = state.session
    hit = _hit(session, model, statement)
    before = [(obj, {name: getattr(obj, name) for name in tracked_attributes(type(obj))}) for obj in hit]
    extra: dict[Any, Any] = {model.version: model.version + 1}
    if issubclass(model, Timestamped):
        extra[model.updated_at] = datetime.now(UTC)
    result = state.invoke_statement(_only(model, hit, statement).values(extra))
    for obj, old in before:
        session.refresh(obj)
        changed = {name: (value, getattr(obj, name)) for name, value in old.items()}
        pending(session).updated(key_of(obj), obj, {k: (a, b) for k, (a, b) in changed.items() if a != b})
    return result


def _captured_delete(state: ORMExecuteState, model: type[Tracked], statement: Delete) -> Any:
    hit = _hit(state.session, model, statement)
    result = state.invoke_statement(_only(model, hit, statement))
    for obj in hit:
        pending(state.session).deleted(key_of(obj), obj)
    return result


def _hit(session: Session, model: type[Tracked], statement: Update | Delete) -> Sequence[Tracked]:
    """The objects that the statement is about, locked until the end of the transaction and as they are now."""
    base = sa_inspect(model).base_mapper.local_table  # the tables of subclasses are joined from outside
    query = select(model).with_for_update(of=base).execution_options(populate_existing=True)
    if statement.whereclause is not None:
        query = query.where(statement.whereclause)
    return session.scalars(query).all()


def _only(model: type[Tracked], hit: Sequence[Tracked], statement: Any) -> Any:
    """The statement for these alone: on PostgreSQL it would also hit what others have committed since then."""
    ids: Any = bindparam(
        None, [obj.public_id for obj in hit], expanding=True, literal_execute=True
    )  # any number of them
    return statement.where(model.public_id.in_(ids))


def _refuse_table(statement: UpdateBase) -> None:
    table = statement.entity_description["table"]
    for model in tracked_models():
        if table in sa_inspect(model).tables:
            _refuse(f"a Core statement on the table {table}", f"use the unit of work, or update({model.__name__})")


def _refuse_text(statement: TextClause) -> None:
    for match in _DML_TEXT.finditer(statement.text):
        words = set(re.findall(r"\w+", match.group().lower()))
        for model in tracked_models():
            if words & {str(table.name) for table in sa_inspect(model).tables}:
                _refuse("an SQL text that changes its table", f"use the unit of work, or update({model.__name__})")


def _refuse(what: str, instead: str) -> NoReturn:
    raise UntrackedWrite(f"{what} would be missing in the change log: {instead}")
