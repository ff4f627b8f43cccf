"""What a rule may yield: a message to one person."""

from dataclasses import dataclass
from typing import Protocol

from gql_app.deliveries.gsm7 import to_gsm7
from gql_app.deliveries.models import Channel
from gql_app.deliveries.templates import Templates


class Addressee(Protocol):
    """A person whom messages can reach."""

    @property
    def id(self) -> int: ...
    @property
    def email(self) -> str | None: ...
    @property
    def phone_number(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Owed:
    """A message to one address; `recipient_id` is the user who may see it in the API."""

    channel: Channel
    recipient_id: int
    recipient: str | None
    body: str
    subject: str | None = None
    html: str | None = None


def sms(to: Addressee, text: str) -> Owed:
    """An SMS to somebody's phone, in the GSM 7-bit alphabet where that is possible; without a number none is owed."""
    return Owed(Channel.SMS, to.id, to.phone_number, to_gsm7(text))


def email(to: Addressee, templates: Templates, name: str, /, *, address: str | None = None, **values: object) -> Owed:
    """A mail from a template, to somebody's present address or to another one of hers.

    The template is ``NAME.txt``, whose first line is the subject, and ``NAME.html``, in the folder ``templates`` of the
    package that the `Templates` are of. It has the ``values``, and the addressee as ``user``.
    """
    mail = templates.render(name, user=to, **values)
    return Owed(Channel.EMAIL, to.id, address or to.email, mail.text, mail.subject, mail.html)
