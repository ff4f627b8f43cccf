"""Steps that are statements on many rows, and statements past the ORM."""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import case, delete, literal, select, update

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
    """update(Model); `computed` are attributes that get an expression of the row instead of a value.

    ``titled``: a ship is named after its port, which a join or a CTE finds.
    """

    kind: str
    values: dict[str, Any]
    criteria: Criteria = field(default_factory=Criteria)
    computed: tuple[str, ...] = ()
    returning: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    titled: bool = False

    def run(self, it: Act) -> None:
        model = KINDS[self.kind]
        values = {name: it.value(name, value) for name, value in self.values.items()}
        values |= {name: _computed(model, name) for name in self.computed if hasattr(model, name)}
        statement = self.criteria.apply(it, self.kind, update(model)).values(values)
        if self.titled:
            statement = self._named_after_ports(it, statement)
        if self.returning:
            statement = statement.returning(model.public_id, model)
        it.session.execute(statement, execution_options=self.options).close()
        if self.titled:
            self._check_names(it)

    def _named_after_ports(self, it: Act, statement: Any) -> Any:
        if self.criteria.form == "join":
            return statement.values(name=Port.title)
        titles = select(Port.ship_id, Port.title).where(it.mine(Port)).cte("titles")
        title = select(titles.c.title).where(titles.c.ship_id == Ship.id).scalar_subquery()
        return statement.add_cte(titles).values(name=title)

    def _check_names(self, it: Act) -> None:
        """The criteria must hold for the statement as it was really executed, too."""
        query = select(KINDS[self.kind].name, Port.title).where(Ship.id == Port.ship_id)
        names = it.session.execute(self.criteria.apply(it, self.kind, query)).all()
        assert all(name == title for name, title in names), f"a ship was named after another port: {names}"


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
