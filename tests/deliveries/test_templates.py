"""Mails from templates: nothing missing, nothing injected."""

from dataclasses import dataclass
from decimal import Decimal

import pytest
from jinja2 import UndefinedError

from gql_app.accounts.rules import TEMPLATES as ACCOUNT_MAILS
from gql_app.db import is_outage
from gql_app.deliveries.mail import SmtpSender
from gql_app.deliveries.models import Channel
from gql_app.deliveries.senders import SendFailure
from gql_app.deliveries.templates import Templates
from gql_app.demo.fuel_requests.rules import TEMPLATES as REQUEST_MAILS
from gql_app.settings import Smtp
from tests.deliveries.conftest import MAIL_FROM
from tests.deliveries.room import outgoing
from tests.standins.smtp import SmtpStandIn

SCRIPT = "<script>alert('hello')</script>"
HEADERS = "eve\r\nBcc: everybody@example.test\nX-Injected: yes"


DECIDED = {"username": "ada", "status": "Approved", "litres": Decimal("12.50"), "note": None}


@dataclass(frozen=True)
class Mail:
    """A rendered mail, all of it."""

    subject: str
    text: str
    html: str


def rendered(templates: Templates, name: str, **values: object) -> Mail:
    found = templates.render(Channel.EMAIL, name, values)
    assert found.subject is not None
    assert found.html is not None
    return Mail(found.subject, found.body, found.html)


def decided(**values: object) -> Mail:
    return rendered(REQUEST_MAILS, "decided", **(DECIDED | values))


@pytest.mark.parametrize("missing", list(DECIDED))
def test_a_value_that_the_template_misses_is_an_error(missing: str) -> None:
    values = {name: value for name, value in DECIDED.items() if name != missing}
    with pytest.raises(UndefinedError, match=missing):
        rendered(REQUEST_MAILS, "decided", **values)


def test_what_a_template_takes_is_known_with_what_it_extends() -> None:
    assert REQUEST_MAILS.needed(Channel.EMAIL, "decided") == DECIDED.keys()
    assert REQUEST_MAILS.needed(Channel.SMS, "decided") == {"status"}


def test_the_first_line_is_the_subject_and_the_rest_the_text() -> None:
    mail = decided(note="Have a good trip")
    assert mail.subject == "Your fuel request was approved"
    assert mail.text.startswith("Hello ada,\n")
    assert mail.text.endswith("Have a good trip\n")
    assert mail.subject not in mail.text
    assert f"<title>{mail.subject}</title>" in mail.html


def test_without_a_note_there_is_no_line_for_one() -> None:
    mail = decided()
    for text in (mail.text, mail.html):
        assert "note" not in text
        assert "None" not in text


def test_html_shows_markup_in_a_note_as_the_text_that_it_is() -> None:
    mail = decided(note=SCRIPT)
    assert "<script" not in mail.html
    assert "&lt;script&gt;" in mail.html
    assert SCRIPT in mail.text


def test_html_shows_markup_in_the_subject_as_the_text_that_it_is() -> None:
    mail = rendered(ACCOUNT_MAILS, "welcome", username="<b>eve</b>")
    assert "<b>" not in mail.html
    assert mail.subject == "Welcome, <b>eve</b>"


def test_a_value_is_no_template() -> None:
    assert "{{ 7 * 7 }}" in decided(note="{{ 7 * 7 }}").text


@pytest.mark.parametrize("break_", ["\n", "\r", "\r\n", "\x0b", "\x0c", "\x85", "\u2028"])
def test_a_subject_is_one_line_whatever_it_is_made_of(break_: str) -> None:
    mail = rendered(ACCOUNT_MAILS, "welcome", username=f"eve{break_}Bcc: x@example.test")
    assert len(mail.subject.splitlines()) == 1


async def test_a_line_break_in_a_value_cannot_add_a_header(smtp: SmtpStandIn, smtp_settings: Smtp) -> None:
    mail = rendered(ACCOUNT_MAILS, "welcome", username=HEADERS)
    message = outgoing(
        Channel.EMAIL, recipient="eve@example.test", subject=mail.subject, body=mail.text, html=mail.html
    )
    await SmtpSender(smtp_settings, MAIL_FROM).send(message)
    (arrived,) = smtp.mails
    head = arrived.raw.partition(b"\r\n\r\n")[0].lower()
    assert b"bcc:" not in head
    assert b"x-injected" not in head
    assert arrived.rcpts == ("eve@example.test",)


@pytest.mark.parametrize("field", ["subject", "recipient"])
async def test_a_line_break_in_what_becomes_a_header_is_refused(
    field: str, smtp: SmtpStandIn, smtp_settings: Smtp
) -> None:
    message = outgoing(Channel.EMAIL, **{field: f"x@example.test\r\n{HEADERS}"})
    with pytest.raises((SendFailure, ValueError)):
        await SmtpSender(smtp_settings, MAIL_FROM).send(message)
    assert smtp.mails == []


def test_a_template_that_is_not_there_is_no_outage() -> None:
    """Jinja's own error is an OSError, as those of a database that is away are."""
    with pytest.raises(LookupError, match=r"no template nowhere\.txt: .*templates") as caught:
        REQUEST_MAILS.needed(Channel.EMAIL, "nowhere")
    assert not is_outage(caught.value)
