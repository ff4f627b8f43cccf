"""What passes by a session: writes of others, and what the database does because of its statements (see `outside`)."""

from collections.abc import Sequence
from typing import Protocol

from sqlalchemy.orm import Session

from gql_app.changes.net import Entity
from gql_app.changes.tracking import entity_type

TAKE_IN = "gql_app_take_in"
"""Where a session's ``info`` has a `TakesIn`, if there is one."""


class TakesIn(Protocol):
    """What knows of writes that pass by the session (see `outside`)."""

    def others(self, session: Session) -> None:
        """Write down what others have committed."""

    def own(self, session: Session) -> Sequence[Entity]:
        """What the database has done because of this transaction's statements."""
        ...


def what_the_database_did(session: Session, entities: Sequence[Entity]) -> Sequence[Entity]:
    """Because of the transaction's statements: a part of what these entities went through, or of others that are
    returned, for which no rules are run."""
    takes_in: TakesIn | None = session.info.get(TAKE_IN)
    if takes_in is None:
        return ()
    known = {(entity_type(each.model), each.public_id): each for each in entities}
    others: list[Entity] = []
    for each in takes_in.own(session):
        mine = known.get((entity_type(each.model), each.public_id))
        if mine is None:
            others.append(each)
        elif not mine.deleted:
            mine.absorb(each)
    return others
