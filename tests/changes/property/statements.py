"""Steps that are statements on many rows, and statements past the ORM."""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import case, delete, insert, literal, select, text, update

from tests.changes.property.acting import Act
from tests.changes.property.models import KINDS, Crate, Port, Seal, Ship

PARENT: dict[str, tuple[Any, Any]] = {
    "Ship": (Ship.id, Port.ship_id),
    "Tug": (Ship.id, Port.ship_id),
    "Tanker": (Ship.id, Port.ship_id),
    "Crate": (Crate.ship_id, Port.ship_id),
    "Seal": (Seal.crate_id, Crate.id),
}
"""By what a statement on rows of this kind joins another table."""


@dataclass(frozen=True)
class Criteria:
    """Which rows: `rows` are numbers of rows or of their parents, `form` says how the criteria reach them."""

    form: str = "plain"
    rows: tuple[int, ...] = ()

    def apply(self, it: Act, kind: str, statement: Any) -> Any:
        own, foreign = PARENT[kind]
        keys = [it.base + n for n in self.rows]
        statement = statement.where(it.mine(KINDS[kind]))
        match self.form:
            case "join":
                return statement.where(own == foreign, *([foreign.in_(keys)] if keys else []))
            case "cte":
                found = select(foreign.label("key")).where(foreign.in_(keys)).cte("found")
                return statement.where(own.in_(select(found.c.key)))
            case "subquery":
                return statement.where(own.in_(select(foreign).where(foreign.in_(keys))))
            case "exists":
                return statement.where(select(literal(1)).where(foreign == own, foreign.in_(keys)).exists())
        return statement.where(own.in_(keys)) if keys else statement


@dataclass(frozen=True)
class Update:
    """update(Model); `computed` are attributes that get an expression of the row instead of a value."""

    kind: str
    values: dict[str, Any]
    criteria: Criteria = field(default_factory=Criteria)
    computed: tuple[str, ...] = ()
    returning: bool = False
    options: dict[str, Any] = field(default_factory=dict)

    def run(self, it: Act) -> None:
        model = KINDS[self.kind]
        values = {name: it.value(name, value) for name, value in self.values.items()}
        values |= {name: _computed(model, name) for name in self.computed if hasattr(model, name)}
        statement = self.criteria.apply(it, self.kind, update(model)).values(values)
        if self.returning:
            statement = statement.returning(model.public_id, model)
        it.session.execute(statement, execution_options=self.options).close()


def _computed(model: Any, name: str) -> Any:
    column = getattr(model, name)
    if name == "depth":
        return column - 2  # below 0 for some rows, which fails half-way
    if name == "rank":
        return case((column.is_(None), model.id), else_=column + 1)
    return column + "!"


@dataclass(frozen=True)
class Remove:
    """delete(Model)."""

    kind: str
    criteria: Criteria = field(default_factory=Criteria)
    returning: bool = False
    options: dict[str, Any] = field(default_factory=dict)

    def run(self, it: Act) -> None:
        model = KINDS[self.kind]
        statement = self.criteria.apply(it, self.kind, delete(model))
        if self.returning:
            statement = statement.returning(model.public_id)
        it.session.execute(statement, execution_options=self.options).close()


@dataclass(frozen=True)
class Past:
    """A write that nothing records, which must be refused."""

    form: str

    def run(self, it: Act) -> None:
        table: Any = Ship.__table__
        change = update(table).where(it.mine(Ship)).values(title="unseen")
        if self.form == "insert":
            it.session.execute(insert(Crate).values(id=it.base + 9, ship_id=it.base + 1))
        elif self.form == "core":
            it.session.execute(change)
        elif self.form == "cte":
            it.session.execute(select(change.returning(table.c.id).cte("changed")))
        elif self.form == "text":
            it.session.execute(text(f"UPDATE prop_ships SET title = 'unseen' WHERE id = {it.base + 1}"))
        elif self.form == "joined":
            it.session.execute(update(KINDS["Tanker"]).where(it.mine(Ship)).values(cargo="unseen"))
        else:
            it.session.connection().exec_driver_sql(f"DELETE FROM prop_seals WHERE crate_id = {it.base + 1}")
