"""Accounts as a vertical."""

from gql_app.accounts import rules
from gql_app.accounts.graphql import AccountQueries, AccountSubscriptions, PremiumUser, StandardUser, users_by_public_id
from gql_app.accounts.mutations import AccountMutations
from gql_app.api.vertical import Vertical

ACCOUNTS = Vertical(
    "accounts",
    queries=(AccountQueries,),
    mutations=(AccountMutations,),
    subscriptions=(AccountSubscriptions,),
    types=(StandardUser, PremiumUser),
    nodes={"User": users_by_public_id},
    rules=(rules.welcome, rules.welcome_premium, rules.warn_old_address, rules.warn_of_new_password),
)
