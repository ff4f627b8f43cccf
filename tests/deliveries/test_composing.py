"""Mails by the letter: whatever is in a text, it arrives as it was, and nothing else does."""

import base64
import email
import random
import re
from dataclasses import replace
from datetime import UTC, datetime
from email import policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import parseaddr
from typing import Any

import pytest

from gql_app.app import App
from gql_app.deliveries.composing import Mailbox, compose
from gql_app.errors import ConfigurationError
from gql_app.settings import Secret, Settings, Smtp

HEADERS = ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted"]
SENDER = Mailbox("Fuel", "fuel@example.org")
AT = datetime(2026, 3, 1, tzinfo=UTC)
PIECES = [
    *"aZ 9,.;:@<>()[]\\\"'=?_",
    *"äéßøÅ漢字🚚\u0301\u200d\u202e",
    "=?utf-8?q?looks_like_one?=",
    "=?utf-8?B?QmNjOiB4QGV4YW1wbGUudGVzdA==?=",
    "\r\nBcc: x@example.test",
    "\n\n<script>",
    "\r",
    "\x00",
    "\x0b\x85\u2028",
    "\ud800",
    "word " * 20,
    "Übergabe " * 9,
]


def composed(subject: str = "", recipient: str = "ada@example.org", sender: Mailbox = SENDER) -> bytes:
    return compose(sender, recipient, subject, "id", "Hello", "<p>Hello</p>", at=AT)


def head_of(raw: bytes) -> dict[str, str]:
    """Unfolded as RFC 5322, 2.2.3 says, by nothing but its text."""
    head = raw.partition(b"\r\n\r\n")[0].decode("ascii")
    assert not re.search(r"(?<!\r)\n|\r(?!\n)", head)
    assert all(0 < len(line) <= 76 for line in head.split("\r\n"))
    unfolded = re.sub(r"\r\n(?=[ \t])", "", head)
    return dict(line.split(": ", 1) for line in unfolded.split("\r\n"))


def decoded(value: str) -> str:
    """By RFC 2047, written for this test: words are decoded, white space between two of them is none."""
    words = re.findall(r"=\?utf-8\?B\?([A-Za-z0-9+/]+={0,2})\?=", value)
    for each in re.findall(r"=\?\S*\?=", value):
        assert 12 < len(each) <= 75
    if not words:
        return value
    assert re.fullmatch(r"(=\?utf-8\?B\?[A-Za-z0-9+/=]+\?= ?)+", value)
    return "".join(base64.b64decode(word, validate=True).decode() for word in words)


def meant(text: str) -> str:
    """What of a text can be in a header: one line, without what is not printable."""
    shown = "".join(each if each.isprintable() else " " for each in text)
    return " ".join(shown.split())[:500]


@pytest.mark.parametrize("seed", range(40))
def test_any_text_arrives_as_it_was_and_brings_no_header(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(50):
        text = "".join(chance.choices(PIECES, k=chance.randrange(1, 40)))
        raw = composed(subject=text)
        head = head_of(raw)
        assert list(head)[: len(HEADERS)] == HEADERS
        assert decoded(head["Subject"]) == meant(text)
        assert str(make_header(decode_header(head["Subject"]))) == meant(text)
        parsed: Any = email.message_from_bytes(raw, policy=policy.default)
        assert isinstance(parsed, EmailMessage)
        assert parsed["Bcc"] is None
        assert parsed["To"] == "ada@example.org"
        body = parsed.get_body(("plain",))
        assert body is not None
        assert body.get_content() == "Hello\r\n"


@pytest.mark.parametrize(
    "subject",
    [
        "Gebäude Süd, Prüfung der Brücke über die Würm, Übergabe im März",
        "Réseau électrique à Évreux, côté ouest",
        "=?utf-8?q?looks_like_an_encoded_word?=",
    ],
)
def test_long_and_accented_subjects_keep_their_spaces(subject: str) -> None:
    head = head_of(composed(subject=subject))
    assert decoded(head["Subject"]) == str(make_header(decode_header(head["Subject"]))) == subject


@pytest.mark.parametrize(
    ("given", "name", "address"),
    [
        ("fuel@example.org", "", "fuel@example.org"),
        ("Fuel <fuel@example.org>", "Fuel", "fuel@example.org"),
        ("Fuel, Inc. <fuel@example.org>", "Fuel, Inc.", "fuel@example.org"),
        ('"Fuel @ night" <fuel@example.org>', "Fuel @ night", "fuel@example.org"),
        (r'"The \"best\" fuel" <fuel@example.org>', 'The "best" fuel', "fuel@example.org"),
        ("Grüße <fuel@example.org>", "Grüße", "fuel@example.org"),
        ("Fuel <fuel@bücher.example>", "Fuel", "fuel@xn--bcher-kva.example"),
        ("Ein sehr langer Name mit Umlauten äöü äöü äöü äöü äöü äöü äöü <f@example.org>", None, "f@example.org"),
    ],
)
def test_a_sender_reads_as_it_was_meant(given: str, name: str | None, address: str) -> None:
    sender = Mailbox.parse(given)
    shown, found = parseaddr(head_of(composed(sender=sender))["From"])
    assert found == address
    assert str(make_header(decode_header(shown))) == (sender.name if name is None else name)
    parsed: Any = email.message_from_bytes(composed(sender=sender), policy=policy.default)
    assert [each.addr_spec for each in parsed["From"].addresses] == [address]
    if name is not None:  # Python 3.11 adds spaces between the words of a long name: its parser's fault
        assert parsed["From"].addresses[0].display_name == sender.name


@pytest.mark.parametrize(
    "given",
    [
        "Fuel",
        "a\r\nBcc: x <f@example.org>",
        "=?utf-8?q?x?= <f@example.org>",
        "f@",
        "@example.org",
        "f f@example.org",
        "grün@example.org",
    ],
)
async def test_a_sender_that_could_be_read_as_another_is_refused_at_start(settings: Settings, given: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Mailbox.parse(given)
    smtp = Smtp("127.0.0.1", 25, None, Secret(""), "none")
    with pytest.raises(ConfigurationError, match="GQL_APP_MAIL_FROM"):
        App(replace(settings, smtp=smtp, mail_from=given))


@pytest.mark.parametrize(
    "recipient",
    [
        "",
        "ada",
        "ada@example.org, eve@example.org",
        "ada@example.org\r\nBcc: eve@example.org",
        "<ada@example.org>",
        '"a b"@example.org',
        "=?utf-8?q?x?=@example.org",
    ],
)
def test_what_is_no_address_gets_no_mail(recipient: str) -> None:
    with pytest.raises(ValueError, match=r"address"):
        composed(recipient=recipient)
