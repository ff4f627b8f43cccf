"""The schema: every vertical's part of it, joined. A new vertical adds one line to each of the three."""

from typing import Annotated, Any, cast

import strawberry
from graphql import GraphQLObjectType
from strawberry.schema.config import StrawberryConfig
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.tools import merge_types

from gql_app.accounts import rules as account_rules
from gql_app.accounts.graphql import AccountQueries, AccountSubscriptions, PremiumUser, StandardUser
from gql_app.accounts.mutations import AccountMutations
from gql_app.api.connections import LARGEST_PAGE
from gql_app.api.context import Info
from gql_app.api.direct import resolve_directly
from gql_app.api.ids import decode_id
from gql_app.api.nodes import Node, find_nodes
from gql_app.audit.graphql import AuditQueries, AuditSubscriptions
from gql_app.deliveries.graphql import DeliveryMutations, DeliveryQueries, DeliverySubscriptions
from gql_app.errors import Invalid
from gql_app.fuel_requests import rules as fuel_request_rules
from gql_app.fuel_requests.graphql import FuelRequestMutations, FuelRequestQueries, FuelRequestSubscriptions
from gql_app.projects import rules as project_rules
from gql_app.projects.graphql import ProjectMutations, ProjectQueries, ProjectSubscriptions
from gql_app.visibility.graphql import VisibilitySubscriptions

RULES = (account_rules, fuel_request_rules, project_rules)
"""The verticals' rules; to import them is to register them."""

Ids = Annotated[list[strawberry.ID], strawberry.argument(description=f"At most {LARGEST_PAGE}.")]


@strawberry.type
class NodeQueries:
    @strawberry.field(description="Anything by its id; null for what does not exist or is not yours to see.")
    async def node(self, info: Info, id: strawberry.ID) -> Node | None:
        if decode_id(id) is None:
            raise Invalid("That is not an id.", field="id")
        return next(iter(await find_nodes(info.context, [id])))

    @strawberry.field(description="The same for several, in their order.")
    async def nodes(self, info: Info, ids: Ids) -> list[Node | None]:
        if len(ids) > LARGEST_PAGE:
            raise Invalid(f"Ask for at most {LARGEST_PAGE} nodes.", field="ids")
        return await find_nodes(info.context, ids)


Query = merge_types(
    "Query", (AccountQueries, NodeQueries, FuelRequestQueries, ProjectQueries, AuditQueries, DeliveryQueries)
)
Mutation = merge_types("Mutation", (AccountMutations, FuelRequestMutations, ProjectMutations, DeliveryMutations))
Subscription = merge_types(
    "Subscription",
    (
        FuelRequestSubscriptions,
        AccountSubscriptions,
        ProjectSubscriptions,
        DeliverySubscriptions,
        AuditSubscriptions,
        VisibilitySubscriptions,
    ),
)

schema = strawberry.Schema(
    Query,
    Mutation,
    Subscription,
    types=[StandardUser, PremiumUser],
    config=StrawberryConfig(auto_camel_case=True),
)


def _is_one_of(kind: Any, info: object) -> bool:
    """Strawberry's own fails for lists and types that are not null, with an error each."""
    definition = getattr(kind, "extensions", {}).get(GraphQLCoreConverter.DEFINITION_BACKREF)
    return bool(getattr(definition, "is_one_of", False))


def mend_introspection() -> None:
    """`__Type` is one for all schemas of a process: whoever makes another one has to do this again."""
    cast(GraphQLObjectType, schema._schema.type_map["__Type"]).fields["isOneOf"].resolve = _is_one_of


resolve_directly(schema._schema.type_map)
mend_introspection()


def printed() -> str:
    """The schema in GraphQL's own language, as it stands in ``schema.graphql``."""
    return schema.as_str().rstrip() + "\n"
