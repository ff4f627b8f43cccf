"""The only room that reads the environment.

environment  names and plain values
values       URLs, secrets, providers
model        all settings, cast and checked once
production   what production refuses
"""

from gql_app.settings.environment import DEFAULT_APP, PREFIX, choose_app, chosen_app
from gql_app.settings.model import Settings
from gql_app.settings.values import DEFAULT_DATABASE_URL, Secret, Smtp, Twilio, database_url

__all__ = [
    "DEFAULT_APP",
    "DEFAULT_DATABASE_URL",
    "PREFIX",
    "Secret",
    "Settings",
    "Smtp",
    "Twilio",
    "choose_app",
    "chosen_app",
    "database_url",
]
