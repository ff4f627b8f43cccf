"""Which names and numbers people may give themselves."""

from dataclasses import replace
from typing import Any

import pytest

from gql_app.accounts.names import clean_phone_number, clean_username, known_name
from gql_app.errors import ConfigurationError, Invalid
from gql_app.settings import Settings
from gql_app.testing.client import Client
from gql_app.testing.server import serving
from tests.people import PASSWORD, People

SIGN_UP = """mutation ($input: SignUpInput!) { signUp(input: $input) {
    user { username phoneNumber } errors { code field } } }"""
LOG_IN = """mutation ($name: String!, $password: String!) {
    logIn(input: {username: $name, password: $password}) { session { token } errors { code } } }"""


@pytest.mark.parametrize("name", ["ada", "Ada_Lovelace-1815", "x86", "roots", "rootless", "adminton", "i18n-team"])
def test_names_that_may_be_had(name: str) -> None:
    assert clean_username(name) == name
    assert clean_username(f" {name} ") == name


@pytest.mark.parametrize(
    "name",
    [
        *("www.evil.example", "evil.example", "r00t.", "a.b", "-ada", "ad", "x" * 33, "ada lovelace", "аda", ""),
        *(
            "admin",
            "ADMIN",
            "adm1n",
            "r00t",
            "R-o-o-t",
            "_root",
            "support",
            "5upport",
            "no-reply",
            "no_reply",
            "postmaster",
        ),
    ],
)
def test_links_and_names_that_speak_for_the_service_are_refused(name: str) -> None:
    with pytest.raises(Invalid) as refused:
        clean_username(name)
    assert refused.value.field == ["username"]


def test_older_names_still_sign_in() -> None:
    assert known_name("ada.lovelace ") == "ada.lovelace"
    assert known_name("a" * 100) is None


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("+49 1512 3456789", "+4915123456789"),
        ("+1 650 253 0000", "+16502530000"),  # fixed line or mobile: they cannot be told apart there
        ("+1 500 555 0101", "+15005550101"),
        ("", None),
        (None, None),
    ],
)
def test_numbers_that_get_sms(given: str | None, written: str | None) -> None:
    assert clean_phone_number(given) == written


@pytest.mark.parametrize(
    "number",
    [
        "+44 1111",  # possible within the country only
        "+979 123456789",  # international premium rate
        "+1 900 555 0123",  # premium rate
        "+49 900 1234567",
        "+44 843 123 4567",  # shared cost
        "+881 612345678",  # satellite
        "+870 773 111 632",
        "+800 1234 5678",  # toll free
        "+49 30 123456",  # fixed line
        "+4915123456789;ext=5",
        "+49 1512",
        "0151 23456789",
        "ada",
    ],
)
def test_numbers_that_get_none_are_refused(number: str) -> None:
    with pytest.raises(Invalid) as refused:
        clean_phone_number(number)
    assert refused.value.field == ["phoneNumber"]


def test_numbers_must_be_where_sms_are_sent() -> None:
    assert clean_phone_number("+4915123456789", countries=("AT", "DE")) == "+4915123456789"
    with pytest.raises(Invalid, match="do not send SMS to that country"):
        clean_phone_number("+4915123456789", countries=("AT",))


async def test_the_api_says_so(settings: Settings) -> None:
    async with serving(replace(settings, sms_countries=("DE",))) as server:
        client = Client(server.url)

        async def sign_up(**values: Any) -> Any:
            given = {"username": "newcomer", "email": "n@example.test", "password": PASSWORD, **values}
            return await client.data(SIGN_UP, input=given)

        refused = await sign_up(phoneNumber="+43 664 1234567")
        assert refused["errors"] == [{"code": "INVALID", "field": ["input", "phoneNumber"]}]
        refused = await sign_up(username="www.evil.example")
        assert refused["errors"] == [{"code": "INVALID", "field": ["input", "username"]}]
        taken = await sign_up(username="newcomer ", phoneNumber="+49 1512 3456789")
        assert taken["user"] == {"username": "newcomer", "phoneNumber": "+4915123456789"}
        assert (await sign_up(username="newcomer ", email="o@example.test"))["errors"][0]["code"] == "TAKEN"
        assert (await client.data(LOG_IN, name="newcomer ", password=PASSWORD))["errors"] == []


def test_where_sms_go_is_said_by_the_settings() -> None:
    twilio = {"GQL_APP_TWILIO_ACCOUNT_SID": "AC1", "GQL_APP_TWILIO_AUTH_TOKEN": "t"}
    german = Settings.from_environment({**twilio, "GQL_APP_TWILIO_FROM": "+4915123456789"})
    assert german.sms_countries == ("DE",)
    service = Settings.from_environment({**twilio, "GQL_APP_TWILIO_FROM": "MG1", "GQL_APP_SMS_COUNTRIES": "de, AT"})
    assert service.sms_countries == ("DE", "AT")
    with pytest.raises(ConfigurationError, match="SMS_COUNTRIES"):
        Settings.from_environment({"GQL_APP_SMS_COUNTRIES": "Germany"})


async def test_what_a_provider_answered_is_for_admins(people: People) -> None:
    asked = "{ deliveries(first: 1) { nodes { attempts { error outcome } } } }"
    for client in (people.ada, people.root):
        nodes = (await client.data(asked))["nodes"]
        assert nodes  # the welcome mail
        assert all(each["error"] is None for node in nodes for each in node["attempts"])
