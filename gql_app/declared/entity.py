"""A GraphQL type of a model.

    @entity(models.Boat, many="boats", filters=[models.Boat.status], streams=[models.Boat.status])
    class Boat(Node):
        '''A boat in the harbour.'''

        name: str
        status: BoatStatus
        skipper: Skipper | None = related(models.Boat.skipper_id)

A field without a resolver shows the model's attribute of that name; the types must agree. What is `strawberry.Private`
is read and not shown: for resolvers of one's own.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import strawberry
from sqlalchemy.orm import InstrumentedAttribute

from gql_app.api.lookups import Lookup
from gql_app.api.nodes import Node
from gql_app.changes.tracking import Tracked
from gql_app.declared.fields import make_fields
from gql_app.declared.lists import one_and_many
from gql_app.declared.orders import Ordered
from gql_app.declared.shape import DECLARED, Declared
from gql_app.declared.streams import stream_of

T = TypeVar("T")


def entity(
    model: type[Tracked],
    *,
    many: str | None = None,
    filters: Sequence[InstrumentedAttribute[Any]] = (),
    orders: Sequence[Ordered] = (),
    streams: Sequence[InstrumentedAttribute[Any]] = (),
    actor: tuple[type, Lookup[int, Any]] | None = None,
) -> Callable[[type[T]], type[T]]:
    """Make a class a GraphQL type of the model, with a query for one by its id.

    ``many`` is the name of a query for those that the viewer may see: by default in the first of the ``orders``
    (moments: the latest first, others ascending; ``Boat.length.desc()``: descending), filtered by equality with
    ``filters``. ``streams`` are tracked attributes whose changes
    can be subscribed to; ``actor`` is the GraphQL type of who has changed it, and what finds it by the id. Descriptions
    come from the class's docstring and the columns' ``doc=``.

    The type of a subclass by inheritance may stand beside that of its base: `node` finds both as the base's.

    Raises:
        TypeError: a field shows nothing of the model, or has another type; or an attribute cannot be used so.
    """

    def declare(kind: type[T]) -> type[T]:
        if not issubclass(kind, Node):
            raise TypeError(f"{kind.__name__} must be a Node: class {kind.__name__}(Node)")
        kind.__annotations__ = {**kind.__annotations__, "_kind": strawberry.Private[str]}
        kind._kind = model.__entity__
        fields = make_fields(kind, model)
        described = (kind.__doc__ or "").strip() or None
        made: type[T] = strawberry.type(kind, description=described)
        subscriptions: list[type] = []
        queries: list[type] = []
        found = Declared(model, made, fields, queries, subscriptions)
        setattr(made, DECLARED, found)
        queries += one_and_many(found, many, filters, orders)
        subscriptions += [stream_of(found, each, actor) for each in streams]
        return made

    return declare
