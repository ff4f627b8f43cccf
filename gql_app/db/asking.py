"""The two ways to read: `Database.read` takes its time, `Database.look_up` is over at once."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, overload

from sqlalchemy import Executable, Row
from sqlalchemy.orm import Session

P = ParamSpec("P")
T = TypeVar("T")

NOTHING: Mapping[str, Any] = MappingProxyType({})


class Ask(Protocol):
    """What both take: a unit of work that reads, or a statement with its parameters."""

    @overload
    async def __call__(self, work: Callable[Concatenate[Session, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
    @overload
    async def __call__(self, work: Executable, parameters: Mapping[str, Any] = ..., /) -> Sequence[Row[Any]]: ...


def rows_of(session: Session, statement: Executable, parameters: Mapping[str, Any] = NOTHING) -> Sequence[Row[Any]]:
    """The rows of one statement, as a unit of work."""
    return session.connection().execute(statement, parameters).all()
