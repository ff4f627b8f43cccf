"""The one place where mails are composed: headers byte for byte by RFC 5322 and RFC 2047.

Python's own folding differs between its versions: some lost spaces, some made headers of an encoded word in a text.

Must hold: no value can begin another header, or read as another text than its own. So whatever is not plain ASCII, and
whatever looks like an encoded word, is encoded as a whole.
"""

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from email.utils import format_datetime

FOLD = "\r\n "
PLAIN = 60
"""Characters of a text that stays as it is, so that no header needs folding. Longer ones are encoded words."""
CHUNK = 39
"""Bytes of an encoded word's text: 52 characters in Base64, with `=?utf-8?B?` and `?=` 64, with `Subject: ` 73.
RFC 2047, section 2: a word has at most 75, and its line 76."""
LONGEST_SUBJECT = 500
"""Characters; more are cut off."""
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~ ]*")
"""RFC 5322, 3.2.3: what a display name may be made of without quotes."""
_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+(?:\.[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+)*")
_DOMAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*")
_BODY = policy.SMTP.clone(cte_type="7bit")


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A sender: a name to show, and the address in ASCII."""

    name: str
    address: str

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2]

    @classmethod
    def parse(cls, text: str) -> "Mailbox":
        """``Fuel, Inc. <fuel@example.org>`` or an address alone. The name may be quoted.

        An international domain becomes its ASCII form (RFC 3490).

        Raises:
            ValueError: it is no mailbox, or could be read as another one.
        """
        text = text.strip()
        name, address = "", text
        if text.endswith(">"):
            name, _, address = text[:-1].rpartition("<")
        name = name.strip()
        if len(name) > 1 and name[0] == name[-1] == '"':
            name = re.sub(r"\\(.)", r"\1", name[1:-1])
        if not name.isprintable() or "=?" in name:
            raise ValueError("the name has characters that a header cannot have")
        return cls(name, _address(address.strip()))

    @property
    def header(self) -> str:
        if not self.name:
            return self.address
        phrase = _phrase(self.name)
        last = len(phrase.rpartition("\r\n")[2])
        return f"{phrase}{' ' if last + len(self.address) < PLAIN else FOLD}<{self.address}>"


def compose(
    sender: Mailbox,
    recipient: str,
    subject: str,
    message_id: str,
    body: str,
    html: str | None = None,
    *,
    at: datetime | None = None,
) -> bytes:
    """A mail as it is handed to a server.

    Raises:
        ValueError: the recipient is no address.
    """
    content = EmailMessage(policy=_BODY)
    content.set_content(body)
    if html:
        content.add_alternative(html, subtype="html")
    headers = {
        "From": sender.header,
        "To": _address(recipient),
        "Subject": _text(_clean(subject)),
        "Date": format_datetime(at or datetime.now(UTC)),
        "Message-ID": f"<{message_id}@{sender.domain}>",
        "Auto-Submitted": "auto-generated",  # RFC 3834: keeps out-of-office replies away
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return head.encode("ascii") + content.as_bytes()


def _clean(text: str) -> str:
    """One line, without what no header may hold (also no lone surrogates, which have no UTF-8)."""
    shown = "".join(each if each.isprintable() else " " for each in text)
    return " ".join(shown.encode("utf-8", "replace").decode().split())[:LONGEST_SUBJECT]


def _text(text: str) -> str:
    """RFC 5322's `unstructured`."""
    if text.isascii() and text.isprintable() and "=?" not in text and len(text) <= PLAIN:
        return text
    return FOLD.join(_encoded_words(text))


def _phrase(name: str) -> str:
    """A display name: as it is, quoted, or encoded."""
    if "=?" not in name and name.isascii() and name.isprintable() and len(name) <= PLAIN:
        if _ATOMS.fullmatch(name):
            return name
        escaped = name.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return FOLD.join(_encoded_words(name))


def _encoded_words(text: str) -> Iterator[str]:
    """Between two of them white space does not count (RFC 2047, 6.2): a text's own is inside."""
    chunk = b""
    for character in text:
        raw = character.encode()
        if len(chunk) + len(raw) > CHUNK:
            yield _word(chunk)
            chunk = b""
        chunk += raw
    if chunk:
        yield _word(chunk)


def _word(chunk: bytes) -> str:
    return f"=?utf-8?B?{base64.b64encode(chunk).decode()}?="


def _address(text: str) -> str:
    local, _, domain = text.rpartition("@")
    try:
        domain = domain.encode("idna").decode() if domain and not domain.isascii() else domain
    except UnicodeError as error:
        raise ValueError("the domain of the address cannot be written in ASCII") from error
    if not _LOCAL.fullmatch(local) or not _DOMAIN.fullmatch(domain) or len(local) > 64 or len(domain) > 253:
        raise ValueError("that is no address")
    if "=?" in local:
        raise ValueError("the address reads as an encoded word")
    return f"{local}@{domain}"
