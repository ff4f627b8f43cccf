"""People with accounts and sessions: the vertical by which the demo knows who looks. Others may use it as it is."""

from gql_app.accounts.models import AuthSession, PremiumUser, User
from gql_app.accounts.passwords import Passwords
from gql_app.accounts.roles import Role
from gql_app.accounts.service import NewUser, sign_up
from gql_app.accounts.vertical import ACCOUNTS

__all__ = ["ACCOUNTS", "AuthSession", "NewUser", "Passwords", "PremiumUser", "Role", "User", "sign_up"]
