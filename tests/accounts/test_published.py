"""Production does not begin with the demo's people, whatever has filled the database."""

from dataclasses import replace
from datetime import timedelta

import pytest

from gql_app.accounts import published, service
from gql_app.accounts.passwords import Passwords
from gql_app.accounts.service import NewUser
from gql_app.app import App
from gql_app.db import Database
from gql_app.demo import people
from gql_app.errors import ConfigurationError
from gql_app.settings import Secret, Settings, Smtp, Twilio


def production(settings: Settings) -> Settings:
    return replace(
        settings,
        environment="production",
        public_url="https://fuel.example.test",
        twilio=Twilio("AC1", Secret("token"), "+15005550006"),
        smtp=Smtp("mail.example.test", 587, None, Secret(""), "starttls"),
        mail_from="Fuel <fuel@example.test>",
        bcrypt_cost=10,
        allow_sqlite=True,
        sms_countries=("DE",),
    )


@pytest.mark.parametrize(
    ("email", "password", "is_refused"),
    [
        ("ada@example.test", people.PASSWORD, True),
        ("ada@example.test", "a quiet green harbour", False),
        ("ada@example.org", people.PASSWORD, False),
    ],
)
async def test_people_with_the_published_password_are_refused(
    db: Database, settings: Settings, email: str, password: str, is_refused: bool
) -> None:
    passwords = Passwords(4)
    hashed = await passwords.hash(password)
    passwords.close()
    await db.write(service.sign_up, NewUser("ada", email, hashed), timedelta(days=1))
    app = App(production(settings))
    if is_refused:
        with pytest.raises(ConfigurationError, match=r"the demo.s people .*ada"):
            async with app.running(deliver=False):
                pass
    else:
        async with app.running(deliver=False):
            pass


def test_the_password_is_that_of_the_demo() -> None:
    assert published.PASSWORD == people.PASSWORD
