"""Mutations that are written by hand, and take an idempotency key."""

from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from gql_app.api.context import Info
from gql_app.api.payloads import KeptFault
from gql_app.changes.tracking import Tracked
from gql_app.errors import NotFound
from gql_app.idempotency import TAKES_A_KEY, Outcome, only_once

F = TypeVar("F", bound=Callable[..., Any])
E = TypeVar("E", bound=Tracked)


def takes_a_key(resolver: F) -> F:
    """Say that this resolver writes by `write_once` only, or that to repeat it changes nothing.

    Must hold: its input has no password. The key is bound to a hash of the whole request, which is stored.
    """
    setattr(resolver, TAKES_A_KEY, True)
    return resolver


async def write_once(info: Info, model: type[E], work: Callable[[Session], E]) -> E:
    """The entity that ``work`` returns. With an idempotency key it is done once; later it is the same one as it is now.

    Raises:
        NotFound: it was done, and the entity is gone.
        UserFault: what ``work`` raises, now or then.
        Conflict: the key belongs to another request.
    """
    once = info.context.once
    if once is None:
        return await info.context.write(work)
    owner, field = info.context.require_viewer().id, str(info.path.key)

    def do(session: Session) -> UUID:
        entity = work(session)
        session.flush()
        return entity.public_id

    def run(session: Session) -> tuple[Outcome, E | None]:
        outcome, _ = only_once(session, owner, once, field, do)
        return outcome, session.scalar(select(model).where(model.public_id == outcome.entity_id))

    outcome, found = await info.context.write(run)
    if outcome.errors:  # not raised before: that would roll the outcome back
        raise KeptFault(outcome.errors[0])
    if found is None:
        raise NotFound
    return found
