"""What a declaration comes to: how the rows of a model are read, and become objects of a GraphQL type."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Dialect, Select, select
from sqlalchemy import inspect as sa_inspect
from sqlalchemy.orm import InstanceState, Mapper, Session

from gql_app.api.context import Context
from gql_app.api.lookups import Lookup, as_values, of_values
from gql_app.api.nodes import Finder, first_seen
from gql_app.audiences.conditions import Holder, seen
from gql_app.audiences.kinds import kind_of
from gql_app.changes.capture import wrote_in_bulk
from gql_app.changes.stored import UNREADABLE, round_trip
from gql_app.changes.tracking import Tracked
from gql_app.declared.reading import Fields, read_ahead
from gql_app.viewer import Viewer

DECLARED: Final = "__gql_app_entity__"
"""Where a type has its `Declared`."""


@dataclass(frozen=True, eq=False)
class Declared:
    """The model, its GraphQL type, how the fields are read, and what a schema gets of it."""

    model: type[Tracked]
    graphql: type[Any]
    fields: Fields
    queries: Sequence[type]
    subscriptions: Sequence[type]
    _given_back: dict[str, Mapping[str, Callable[[Any], Any]]] = field(default_factory=dict, repr=False)

    @property
    def kind(self) -> str:
        return self.model.__entity__

    @cached_property
    def rows(self) -> Lookup[UUID, Any]:
        """Its objects by their public ids, whoever may see them."""
        of: Callable[[dict[str, Any]], Any] = self._of_values
        query = select(self.model).with_only_columns(*self._columns.values(), maintain_column_froms=True)
        always = frozenset(self.fields.names).difference(self.fields.shown.values())
        return Lookup(self.model.public_id, of, query, always, self.model, self.fields.shown)  # type: ignore[arg-type]

    @cached_property
    def _columns(self) -> Mapping[str, Any]:
        return {name: getattr(self.model, attribute).label(name) for name, attribute in self.fields.names.items()}

    def _of_values(self, values: dict[str, Any]) -> Any:
        return of_values(self.graphql, values)

    def select(self, holder: Holder, *others: str, asked: frozenset[str] | None = None) -> Select[Any]:
        """The rows that the holder may see, with the attributes that are read, and others.

        ``asked`` are the names of all fields that will be asked for (see `mentioned`); None: of any.
        """
        rows = self.rows if asked is None else self.rows.showing(asked)
        columns = {str(each.key): each for each in rows.rows.selected_columns}
        more = [getattr(self.model, name).label(name) for name in others if name not in columns]
        return seen(self.model, holder).with_only_columns(*columns.values(), *more, maintain_column_froms=True)

    def of(self, session: Session, viewer: Viewer, entity: Any) -> Any:
        """The object of an entity that a unit of work has written, as it is stored; None if she may not see it.

        What triggers of the database make of a row at its writing is not read again.
        """
        if viewer.can_tell(self.model) and (values := self._written(session, entity)) is not None:
            return self._of_values(values) if viewer.covers(self.model, values) else None
        found = self.by_public_id(session, viewer, [entity.public_id])
        return found.get(entity.public_id)

    def _written(self, session: Session, entity: Any) -> dict[str, Any] | None:
        """What the database would give back of the entity; None: it must be asked."""
        state: InstanceState[Any] = sa_inspect(entity)
        if not state.persistent or wrote_in_bulk(session):
            return None
        dialect = session.connection().dialect
        back = self._given_back.get(dialect.name)
        if back is None:
            back = self._given_back[dialect.name] = self._processors(dialect)
        try:
            values = ((name, getattr(entity, each)) for name, each in self.fields.names.items())
            return {name: None if value is None else back[name](value) for name, value in values}
        except UNREADABLE:
            return None

    def _processors(self, dialect: Dialect) -> Mapping[str, Callable[[Any], Any]]:
        mapper: Mapper[Any] = sa_inspect(self.model)
        return {name: round_trip(mapper.columns[each].type, dialect) for name, each in self.fields.names.items()}

    def of_rows(self, rows: Sequence[Any]) -> list[Any]:
        """The objects of rows that `select` has read."""
        return [self._of_values(values) for values in as_values(rows)]

    async def with_ahead(self, context: Context, rows: Sequence[Any], asked: frozenset[str]) -> list[Any]:
        """The same with what their fields refer to, all of it looked up at once."""
        made = self.of_rows(rows)
        await read_ahead(context, made, [each for each in self.fields.ahead if each.field in asked], asked)
        return made

    def finder(self, attribute: str = "public_id") -> Finder:
        """Finds the objects by a unique attribute of theirs."""

        def find(session: Session, holder: Holder, keys: Sequence[Any]) -> Mapping[Any, Any]:
            query = self.select(holder, attribute).where(getattr(self.model, attribute).in_(keys))
            found = self.of_rows(session.connection().execute(query).all())
            return {getattr(each, attribute): each for each in found}

        return find

    async def seen_by(self, context: Context, public_id: UUID) -> Any:
        """The object with this id, if the viewer may see it; else None. Raises Unauthenticated."""
        viewer = context.require_viewer()
        if kind_of(self.model).is_plain:
            return await context.seen(self.rows, await context.find(self.rows, public_id))
        found = await context.look_up(self.by_public_id, viewer, [public_id])
        return found.get(public_id)

    async def as_it_is_now(self, context: Context, public_id: UUID) -> Any:
        """The same for an event: as those who hear of it may see it now."""
        if kind_of(self.model).is_plain:
            return await context.seen(self.rows, await context.load(self.rows, public_id))
        return await first_seen(context, self.kind, self.by_public_id, public_id)

    @cached_property
    def by_public_id(self) -> Finder:
        """One function for all: what is asked for at the same time is read together."""
        return self.finder()


def declared(kind: type[Any]) -> Declared:
    """What `entity` has made of a type.

    Raises:
        TypeError: it is not declared so.
    """
    found = vars(kind).get(DECLARED)
    if not isinstance(found, Declared):
        raise TypeError(f"{kind.__name__} is no type of a model: declare it with @entity(…)")
    return found
