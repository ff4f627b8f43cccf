"""What a declaration comes to: how the rows of a model are read, and become objects of a GraphQL type."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Select
from sqlalchemy.orm import Session

from gql_app.api.context import Context
from gql_app.api.lookups import as_values, of_values
from gql_app.api.nodes import Finder
from gql_app.audiences.conditions import Holder, seen
from gql_app.changes.tracking import Tracked

DECLARED: Final = "__gql_app_entity__"
"""Where a type has its `Declared`."""


@dataclass(frozen=True, eq=False)
class Declared:
    """What a declaration comes to. `names` are those of an object's attributes, and of the model's that they show."""

    model: type[Tracked]
    graphql: type[Any]
    names: Mapping[str, str]
    queries: Sequence[type]
    subscriptions: Sequence[type]
    refers: Sequence[type[Tracked]] = ()
    """The models of which its fields show entities."""

    @property
    def kind(self) -> str:
        return self.model.__entity__

    def select(self, holder: Holder, *others: str) -> Select[Any]:
        """The rows that the holder may see, with the attributes that are read, and others."""
        names = {**self.names, **{name: name for name in others}}
        columns = [getattr(self.model, attribute).label(name) for name, attribute in names.items()]
        return seen(self.model, holder).with_only_columns(*columns, maintain_column_froms=True)

    def of(self, session: Session, viewer: Holder, entity: Any) -> Any:
        """The object of an entity that a unit of work has written, as it is stored; None if she may not see it."""
        found = self.by_public_id(session, viewer, [entity.public_id])
        return found.get(entity.public_id)

    def of_rows(self, rows: Sequence[Any]) -> list[Any]:
        """The objects of rows that `select` has read."""
        return [of_values(self.graphql, values) for values in as_values(rows)]

    def finder(self, attribute: str = "public_id") -> Finder:
        """Finds the objects by a unique attribute of theirs."""

        def find(session: Session, holder: Holder, keys: Sequence[Any]) -> Mapping[Any, Any]:
            query = self.select(holder, attribute).where(getattr(self.model, attribute).in_(keys))
            found = self.of_rows(session.connection().execute(query).all())
            return {getattr(each, attribute): each for each in found}

        return find

    async def seen_by(self, context: Context, public_id: UUID) -> Any:
        """The object with this id, if the viewer may see it; else None. Raises Unauthenticated."""
        found = await context.look_up(self.by_public_id, context.require_viewer(), [public_id])
        return found.get(public_id)

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
