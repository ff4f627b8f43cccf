"""The outside world of a delivering app: a Twilio and a mail server on loopback."""

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from gql_app.app import App
from gql_app.db import Database
from gql_app.deliveries.mail import SmtpSender
from gql_app.deliveries.senders import SEND_TIMEOUT, Sender
from gql_app.deliveries.sms import TwilioSender
from gql_app.deliveries.workers import Workers
from gql_app.settings import Secret, Settings, Smtp, Twilio
from tests.conftest import POLL
from tests.deliveries.room import Room
from tests.standins.smtp import SmtpStandIn
from tests.standins.twilio import ACCOUNT_SID, AUTH_TOKEN, TwilioStandIn

FROM = "+15005550006"
MAIL_FROM = "gql_app <no-reply@gql-app.test>"
USERNAME, PASSWORD = "mailer", "mail-password-7f3a"
BRIEF = 1.0
"""Seconds after which a sender takes its provider for silent, in tests with one that is."""


def patience(request: pytest.FixtureRequest) -> float:
    """Brief only where a provider hangs: elsewhere a slow machine must not be taken for a silent provider."""
    parameters = request.node.callspec.params.values() if hasattr(request.node, "callspec") else ()
    return BRIEF if any("HANG" in getattr(each, "name", "") for each in parameters) else SEND_TIMEOUT


@pytest.fixture
async def twilio() -> AsyncIterator[TwilioStandIn]:
    async with TwilioStandIn() as stand_in:
        yield stand_in


@pytest.fixture
async def smtp() -> AsyncIterator[SmtpStandIn]:
    async with SmtpStandIn(USERNAME, PASSWORD) as stand_in:
        yield stand_in


@pytest.fixture
def twilio_settings(twilio: TwilioStandIn) -> Twilio:
    return Twilio(ACCOUNT_SID, Secret(AUTH_TOKEN), FROM, base_url=twilio.url)


@pytest.fixture
def smtp_settings(smtp: SmtpStandIn) -> Smtp:
    return Smtp("127.0.0.1", smtp.port, USERNAME, Secret(PASSWORD), "none")


@pytest.fixture
def outside(settings: Settings, twilio_settings: Twilio, smtp_settings: Smtp) -> Settings:
    """The settings of an app that reaches the stand-ins."""
    return replace(settings, twilio=twilio_settings, smtp=smtp_settings, mail_from=MAIL_FROM)


@pytest.fixture
async def room(db: Database) -> AsyncIterator[Room]:
    """The deliveries of an otherwise idle database."""
    with Room(db).listening() as room:
        yield room


@contextlib.asynccontextmanager
async def delivering(
    settings: Settings, *, timeout: float | None = None, deliver: bool = True
) -> AsyncIterator[tuple[App, Room]]:
    """The whole app with its workers; with a ``timeout`` the providers count as silent after so many seconds."""
    app = App(settings)
    if timeout is not None:
        app.workers = Workers(app.db, app.doorbell, impatient(settings, timeout), poll_seconds=POLL)
    async with app.running(deliver=deliver):
        with Room(app.db).listening() as room:
            yield app, room


def impatient(settings: Settings, timeout: float) -> Callable[[], list[Sender]]:
    """The real senders, which wait less long for an answer."""

    def make() -> list[Sender]:
        assert settings.twilio is not None
        assert settings.smtp is not None
        return [
            TwilioSender(settings.twilio, timeout=timeout),
            SmtpSender(settings.smtp, settings.mail_from, timeout=timeout),
        ]

    return make
