"""Accounts as a vertical."""

from pathlib import Path

from gql_app.accounts import commands, published, rules
from gql_app.accounts.graphql import AccountQueries, AccountSubscriptions, PremiumUser, StandardUser, users_by_public_id
from gql_app.accounts.models import AuthSession, User
from gql_app.accounts.mutations import AccountMutations
from gql_app.accounts.passwords import Passwords
from gql_app.accounts.roles import Role
from gql_app.accounts.sessions import authenticate, look_again
from gql_app.accounts.tickets import admit
from gql_app.api.authentication import Authentication
from gql_app.vertical import Vertical

ACCOUNTS = Vertical(
    "accounts",
    migrations=Path(__file__).parent / "migrations",
    models=(User, AuthSession),
    queries=(AccountQueries,),
    mutations=(AccountMutations,),
    subscriptions=(AccountSubscriptions,),
    types=(StandardUser, PremiumUser),
    nodes={"User": users_by_public_id},
    authentication=Authentication(authenticate, look_again, admit),
    roles=(Role,),
    resources=lambda settings: (Passwords(settings.bcrypt_cost),),
    commands=commands.add_to,
    safe=published.refuse_demo_people,
    templates=rules.TEMPLATES,
    rules=(rules.welcome, rules.welcome_premium, rules.warn_old_address, rules.warn_of_new_password),
)
