"""Settings: cast and checked once, quiet about secrets."""

from datetime import timedelta
from pathlib import Path

import pytest

from gql_app.errors import ConfigurationError
from gql_app.settings import Secret, Settings, Smtp, Twilio

PREFIX = "GQL_APP_"
SAFE = {
    "ENVIRONMENT": "production",
    "PUBLIC_URL": "https://fuel.example.test",
    "TWILIO_ACCOUNT_SID": "AC1",
    "TWILIO_AUTH_TOKEN": "twilio-token",
    "TWILIO_FROM": "+15005550006",
    "SMS_COUNTRIES": "DE",
    "SMTP_URL": "smtp://u:smtp-password@mail.example.test:587",
    "MAIL_FROM": "Fuel <fuel@example.test>",
    "DATABASE_URL": "postgresql://u:p@db.example.test/fuel",
}


def read(**values: str) -> Settings:
    return Settings.from_environment({PREFIX + name: value for name, value in values.items()})


def refusal(**values: str) -> str:
    with pytest.raises(ConfigurationError) as refused:
        read(**values)
    return refused.value.message


def test_nothing_has_to_be_set() -> None:
    assert read() == Settings()


def test_texts_become_what_they_mean() -> None:
    settings = read(
        PUBLIC_URL="https://fuel.example.test/",
        CORS_ORIGINS=" https://a.test , https://b.test,",
        BCRYPT_COST=" 10 ",
        SESSION_HOURS="48",
        POLL_INTERVAL_MS="250",
        FAST="0",
    )
    assert settings.public_url == "https://fuel.example.test"
    assert settings.cors_origins == ("https://a.test", "https://b.test")
    assert settings.bcrypt_cost == 10
    assert settings.session_lifetime == timedelta(days=2)
    assert settings.poll_interval == timedelta(milliseconds=250)
    assert not settings.fast


def test_an_empty_value_is_none() -> None:
    assert read(BCRYPT_COST="", DATABASE_URL=" ", SMTP_URL="", TWILIO_FROM="") == Settings()


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("sqlite:///x.db", "sqlite+aiosqlite:///x.db"),
        ("sqlite:////var/x.db", "sqlite+aiosqlite:////var/x.db"),
        ("sqlite+aiosqlite:///x.db", "sqlite+aiosqlite:///x.db"),
        ("postgres://u:p@h/d", "postgresql+asyncpg://u:p@h/d"),
        ("postgresql://u:p@h/d", "postgresql+asyncpg://u:p@h/d"),
        ("postgresql+asyncpg://u:p@h/d", "postgresql+asyncpg://u:p@h/d"),
    ],
)
def test_the_databases_driver_need_not_be_named(given: str, used: str) -> None:
    assert read(DATABASE_URL=given).database_url.reveal() == used


@pytest.mark.parametrize("url", ["mysql://h/d", "x.db", "sqlite://", "sqlite:///", "sqlite:///:memory:"])
def test_a_database_that_would_not_do_is_refused(url: str) -> None:
    assert "GQL_APP_DATABASE_URL" in refusal(DATABASE_URL=url)


@pytest.mark.parametrize(
    ("url", "smtp"),
    [
        ("smtp://mail.test", Smtp("mail.test", 587, None, Secret(""), "starttls")),
        ("smtp://mail.test:25", Smtp("mail.test", 25, None, Secret(""), "none")),
        ("smtp://mail.test:2525?tls=starttls", Smtp("mail.test", 2525, None, Secret(""), "starttls")),
        ("smtps://mail.test", Smtp("mail.test", 465, None, Secret(""), "implicit")),
        ("smtp://u%40x:p%2Fw@mail.test", Smtp("mail.test", 587, "u@x", Secret("p/w"), "starttls")),
    ],
)
def test_the_mail_servers_address_says_how_to_encrypt(url: str, smtp: Smtp) -> None:
    assert read(SMTP_URL=url).smtp == smtp


@pytest.mark.parametrize(
    "url", ["mail.test", "http://mail.test", "smtp://", "smtp://h:port", "smtp://h:99999", "smtp://[h:25", "smtp://h:0"]
)
def test_an_address_that_is_none_of_a_mail_server_is_refused(url: str) -> None:
    assert "GQL_APP_SMTP_URL" in refusal(SMTP_URL=url)


def test_twilio_is_set_up_whole_or_not_at_all() -> None:
    whole = {"TWILIO_ACCOUNT_SID": "AC1", "TWILIO_AUTH_TOKEN": "t", "TWILIO_FROM": "+1"}
    assert read(**whole).twilio == Twilio("AC1", Secret("t"), "+1")
    assert read(**whole, TWILIO_BASE_URL="http://h").twilio == Twilio("AC1", Secret("t"), "+1", "http://h")
    for missing in whole:
        assert PREFIX + missing in refusal(**{name: value for name, value in whole.items() if name != missing})


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("BCRYPT_COST", ("3", "17", "-5", "4.5", "x", "²", "1" * 5000)),
        ("SESSION_HOURS", ("0", "100000")),
        ("POLL_INTERVAL_MS", ("19", "60001")),
        ("ENVIRONMENT", ("Production", "test")),
        ("FAST", ("2", "yes", "on")),
        ("PUBLIC_URL", ("fuel.example.test", "ftp://fuel.example.test", "https://")),
        ("BROADCAST_URL", ("carrier-pigeon://x", "x")),
        ("MAIL_FROM", ("nobody", "a@b.test\nBcc: c@d.test")),
        ("CORS_ORIGINS", ("example.test", "https://a.test/path")),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_by_name(name: str, values: tuple[str, ...]) -> None:
    for value in values:
        assert PREFIX + name in refusal(**{name: value}), value


def test_a_setting_that_does_not_exist_is_refused_by_name() -> None:
    assert "GQL_APP_BCRYPT_KOST" in refusal(BCRYPT_KOST="12")


def test_production_takes_safe_settings() -> None:
    settings = read(**SAFE)
    assert settings.production
    assert not settings.mailbox


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PUBLIC_URL", "http://fuel.example.test"),
        ("SMTP_URL", "smtp://mail.example.test:25"),
        ("MAIL_FROM", "x <x@localhost>"),
        ("MAIL_FROM", "x@localhost"),
        ("BCRYPT_COST", "9"),
    ],
)
def test_production_refuses_each_unsafe_setting(name: str, value: str) -> None:
    message = refusal(**{**SAFE, name: value})
    assert message.count(PREFIX) == 1
    assert PREFIX + name in message


def test_production_names_all_unsafe_settings_at_once() -> None:
    message = refusal(ENVIRONMENT="production", BCRYPT_COST="4")
    for name in ("PUBLIC_URL", "TWILIO_ACCOUNT_SID", "SMTP_URL", "MAIL_FROM", "BCRYPT_COST"):
        assert PREFIX + name in message


def test_production_refuses_the_demo() -> None:
    with pytest.raises(ConfigurationError, match="--demo"):
        Settings.from_environment({PREFIX + name: value for name, value in SAFE.items()}, demo=True)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, and an environment that is empty but for what the test sets."""
    import os

    for name in list(os.environ):
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_file_in_the_working_directory_is_read_in_development(here: Path) -> None:
    (here / ".env").write_text("GQL_APP_BCRYPT_COST=7\nGQL_APP_MAIL_FROM='Fuel <fuel@example.test>'\n# no\nOTHER=1\n")
    settings = Settings.from_environment()
    assert (settings.bcrypt_cost, settings.mail_from) == (7, "Fuel <fuel@example.test>")


def test_the_environment_is_above_the_file(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / ".env").write_text("GQL_APP_BCRYPT_COST=7\nGQL_APP_SESSION_HOURS=5\n")
    monkeypatch.setenv("GQL_APP_BCRYPT_COST", "8")
    settings = Settings.from_environment()
    assert (settings.bcrypt_cost, settings.session_lifetime) == (8, timedelta(hours=5))


def test_the_file_is_not_read_in_production(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / ".env").write_text("GQL_APP_BCRYPT_COST=4\n")
    for name, value in SAFE.items():
        monkeypatch.setenv(PREFIX + name, value)
    assert Settings.from_environment().bcrypt_cost == 12


def test_what_is_not_of_this_process_is_read_alone(here: Path) -> None:
    (here / ".env").write_text("GQL_APP_BCRYPT_COST=7\n")
    assert read().bcrypt_cost == 12


def test_secrets_print_as_stars() -> None:
    given = {"DATABASE_URL": "postgresql://u:database-password@h/d", "BROADCAST_URL": "redis://:redis-password@h"}
    settings = read(**{**SAFE, **given})
    assert settings.twilio is not None
    assert settings.smtp is not None
    for shown in (repr(settings), str(settings), f"{settings}", f"{settings!s:>10}", "%s" % settings):  # noqa: UP031
        for secret in ("database-password", "redis-password", "twilio-token", "smtp-password"):
            assert secret not in shown
        assert "***" in shown
    for secret in (settings.database_url, settings.twilio.auth_token, settings.smtp.password):
        assert {repr(secret), str(secret), f"{secret}", f"{secret:>40}", "%s" % secret} == {"'***'"}  # noqa: UP031
        assert "***" not in secret.reveal()


def test_settings_do_not_change() -> None:
    with pytest.raises(AttributeError):
        Settings().demo = True  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PUBLIC_URL", "https://localhost"),
        ("PUBLIC_URL", "https://127.0.0.1:8443"),
        ("PUBLIC_URL", "https://fuel:secret@fuel.example.test"),
        ("CORS_ORIGINS", "https://app.example.test,http://app.example.test"),
        ("TWILIO_BASE_URL", "http://twilio.example.test"),
        ("SESSION_HOURS", str(31 * 24)),
        ("METRICS_TOKEN", "short"),
        ("DATABASE_URL", "sqlite:///fuel.db"),
    ],
)
def test_production_refuses_what_is_unsafe_by_its_name(name: str, value: str) -> None:
    assert "GQL_APP_" + name in refusal(**{**SAFE, name: value})


def test_production_takes_sqlite_where_it_is_meant() -> None:
    assert read(**{**SAFE, "DATABASE_URL": "sqlite:///fuel.db", "ALLOW_SQLITE": "1"}).allow_sqlite


def test_graphiql_and_introspection_are_for_development_unless_they_are_switched_on() -> None:
    assert (read().graphiql, read().introspection) == (True, True)
    assert (read(**SAFE).graphiql, read(**SAFE).introspection) == (False, False)
    switched = read(**SAFE, GRAPHIQL="1", INTROSPECTION="1")
    assert (switched.graphiql, switched.introspection) == (True, True)


def test_a_secret_may_be_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("hush-hush-hush-hush\n")
    assert read(METRICS_TOKEN_FILE=str(file)).metrics_token == "hush-hush-hush-hush"
    file.write_text("postgresql://u:hush@h/d\n")
    assert read(DATABASE_URL_FILE=str(file)).database_url.reveal() == "postgresql+asyncpg://u:hush@h/d"
    assert "not both" in refusal(DATABASE_URL="sqlite:///x.db", DATABASE_URL_FILE=str(file))
    assert "DATABASE_URL_FILE cannot be read" in refusal(DATABASE_URL_FILE=str(tmp_path / "nowhere"))


def test_production_asks_where_a_messaging_service_may_send() -> None:
    assert "GQL_APP_SMS_COUNTRIES" in refusal(**{**SAFE, "TWILIO_FROM": "MG1", "SMS_COUNTRIES": ""})
