"""The steps of a transaction, in a session of the product."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, delete, or_, select, update
from sqlalchemy.orm import Session

from gql_app.accounts.models import User
from gql_app.accounts.roles import Role
from tests.audiences.models import BY_NAME
from tests.audiences.world import (
    BulkChange,
    BulkDelete,
    Change,
    Copied,
    Create,
    Delete,
    Promote,
    Row,
    Savepoint,
    Step,
    Where,
    primary_key,
    public_id,
)


def act(session: Session, steps: Iterable[Step]) -> None:
    for step in steps:
        _act(session, step)


def _act(session: Session, step: Step) -> None:
    match step:
        case Create(kind, number, values):
            session.add(BY_NAME[kind](id=primary_key(kind, number), public_id=public_id(number), **values))
            session.flush()
        case Change(kind, number, values, flush):
            found = _found(session, kind, number)
            for name, value in values.items():
                setattr(found, name, value)
            if flush:
                session.flush()
        case Delete(kind, number):
            session.delete(_found(session, kind, number))
            session.flush()
        case BulkChange(kind, where, values):
            session.execute(update(BY_NAME[kind]).where(_condition(kind, where)).values(_values(kind, values)))
        case BulkDelete(kind, where):
            session.execute(delete(BY_NAME[kind]).where(_condition(kind, where)))
        case Promote(user, role):
            session.get_one(User, user).role = Role[role]
            session.flush()
        case Savepoint(inner, kept):
            with session.begin_nested() as savepoint:
                act(session, inner)
                session.flush()
                if not kept:
                    savepoint.rollback()


def _found(session: Session, kind: str, number: int) -> Any:
    """Flushes what was not flushed yet."""
    return session.scalars(select(BY_NAME[kind]).where(BY_NAME[kind].public_id == public_id(number))).one()


def _condition(kind: str, where: Where) -> ColumnElement[bool]:
    column = getattr(BY_NAME[kind], where.column)
    return or_(*(column.is_(None) if value is None else column == value for value in where.values))


def _values(kind: str, values: Row) -> Row:
    model = BY_NAME[kind]
    return {name: getattr(model, each.column) if isinstance(each, Copied) else each for name, each in values.items()}
