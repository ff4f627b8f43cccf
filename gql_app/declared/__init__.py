"""What comes from a model's declaration, so that nobody writes it: types, lists, streams, mutations.

entity      a GraphQL type of a model, with a part of each of these:
fields      what shows an attribute, and what a foreign key refers to
reading     what is read for the fields: no more than is asked for, and for a page all at once
shape       how the rows of the model are read
values      which GraphQL type a column's values have
lists       `boat(id:)` and `boats(first:, filter:, orderBy:)`
streams     `boatStatusChanged`: a subscription for an attribute
mutations   a unit of work as a mutation: its input, its payload, the entities that it is about

Each part can be left out and be written in plain Strawberry instead.
"""

from gql_app.declared.entity import entity
from gql_app.declared.fields import related, shows
from gql_app.declared.mutations import ANYBODY, mutation
from gql_app.declared.shape import Declared, declared

__all__ = ["ANYBODY", "Declared", "declared", "entity", "mutation", "related", "shows"]
