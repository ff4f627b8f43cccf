"""Steps past everything that records, which must be refused."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert, select, text, update
from sqlalchemy.orm import Session

from tests.changes.property.acting import Act
from tests.changes.property.models import Crate, Ship, Tanker
from tests.changes.property.objects import Assign

UNSEEN = {"name": "unseen"}


@dataclass(frozen=True)
class Past:
    """A form of `FORMS`, tried by a unit of work that has changed something else before."""

    form: str

    def run(self, it: Act) -> None:
        Assign("Crate", 1, {"label": "before"}).run(it)
        it.session.flush()
        FORMS[self.form](it)


def _core(it: Act) -> Any:
    table: Any = Ship.__table__
    return update(table).where(it.mine(Ship)).values(title="unseen").returning(table.c.id)


def _in_a_plain_session(it: Act) -> None:
    rows = [{"id": it.base + 1, "version": it.find("Ship", 1).version, **UNSEEN}]
    Session(it.session.connection()).execute(update(Ship), rows)


FORMS: dict[str, Callable[[Act], Any]] = {
    "insert": lambda it: it.session.execute(insert(Crate).values(id=it.base + 9, ship_id=it.base + 1)),
    "core": lambda it: it.session.execute(_core(it)),
    "cte": lambda it: it.session.execute(select(_core(it).cte("changed"))),
    "many": lambda it: it.session.execute(update(Ship), [{"id": it.base + 1, **UNSEEN}]),
    "joined": lambda it: it.session.execute(update(Tanker).where(it.mine(Ship)).values(cargo="unseen")),
    "text": lambda it: it.session.execute(text(f"UPDATE prop_ships SET title = 'unseen' WHERE id = {it.base + 1}")),
    "driver": lambda it: it.session.connection().exec_driver_sql(f"DELETE FROM prop_seals WHERE crate_id = {it.base}"),
    "plain session": _in_a_plain_session,
    "commit of the connection": lambda it: it.session.connection().get_transaction().commit(),  # type: ignore[union-attr]
    "commit as text": lambda it: it.session.execute(text("COMMIT")),
}
