"""Mails from templates: nothing missing, nothing injected."""

import re
from dataclasses import dataclass
from decimal import Decimal
from email import message_from_bytes
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from gql_app.db import is_outage
from gql_app.deliveries.mail import SmtpSender
from gql_app.deliveries.models import Channel, Fault
from gql_app.deliveries.senders import PermanentFailure
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


def test_a_value_is_no_template() -> None:
    assert "{{ 7 * 7 }}" in decided(note="{{ 7 * 7 }}").text


OURS = sorted((Path(__file__).parent.parent.parent / "gql_app").glob("**/templates/*.txt"))


@pytest.mark.parametrize("file", [each for each in OURS if ".sms." not in each.name], ids=lambda each: each.name)
def test_no_text_of_a_user_is_in_a_subject(file: Path) -> None:
    values = re.findall(r"{{\s*(\w+)", file.read_text(encoding="utf-8").splitlines()[0])
    assert set(values) <= {"status"}


@pytest.mark.parametrize("field", ["subject", "recipient"])
async def test_a_line_break_in_what_becomes_a_header_makes_no_other(
    field: str, smtp: SmtpStandIn, smtp_settings: Smtp
) -> None:
    message = outgoing(Channel.EMAIL, **{field: f"x@example.test\r\n{HEADERS}"})
    sender = SmtpSender(smtp_settings, MAIL_FROM)
    if field == "recipient":
        with pytest.raises(PermanentFailure) as refused:
            await sender.send(message)
        assert refused.value.fault is Fault.RECIPIENT
        assert smtp.mails == []
        return
    await sender.send(message)
    (arrived,) = smtp.mails
    assert set(message_from_bytes(arrived.raw).keys()) <= {
        "From",
        "To",
        "Subject",
        "Date",
        "Message-ID",
        "Auto-Submitted",
        "MIME-Version",
        "Content-Type",
        "Content-Transfer-Encoding",
    }


def test_a_template_that_is_not_there_is_no_outage() -> None:
    """Jinja's own error is an OSError, as those of a database that is away are."""
    with pytest.raises(LookupError, match=r"no template nowhere\.txt: .*templates") as caught:
        REQUEST_MAILS.needed(Channel.EMAIL, "nowhere")
    assert not is_outage(caught.value)
