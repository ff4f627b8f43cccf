"""What a rule may yield: a message to one person."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol, overload

from gql_app.deliveries.gsm7 import to_gsm7
from gql_app.deliveries.models import LONGEST_LANGUAGE, Channel
from gql_app.deliveries.templates import Templates
from gql_app.deliveries.texts import Wording


class Addressee(Protocol):
    """A person whom messages can reach.

    One with an attribute `language` (a tag such as "de" or "pt-BR") gets the texts in it, where there are any.
    """

    @property
    def id(self) -> int: ...
    @property
    def email(self) -> str | None: ...
    @property
    def phone_number(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Owed:
    """A message to one address; `recipient_id` is the user who may see it in the API.

    It has a `wording`, or says `body` (a mail also `subject` and `html`) as it is.
    """

    channel: Channel
    recipient_id: int
    recipient: str | None
    body: str | None = None
    subject: str | None = None
    html: str | None = None
    wording: Wording | None = None
    language: str | None = None
    not_before: datetime | None = None
    expires_at: datetime | None = None

    def timed(self, *, not_before: datetime | None = None, expires_at: datetime | None = None) -> "Owed":
        """The same message, sent from then on, and no more once it has expired.

        Raises:
            ValueError: a moment without a time zone, or it would expire before it may be sent.
        """
        not_before, expires_at = not_before or self.not_before, expires_at or self.expires_at
        for moment in (not_before, expires_at):
            if moment is not None and moment.tzinfo is None:
                raise ValueError(f"{moment} has no time zone: say datetime(…, tzinfo=UTC)")
        if not_before is not None and expires_at is not None and expires_at <= not_before:
            raise ValueError(f"the message would expire at {expires_at}, before it may be sent")
        return replace(self, not_before=not_before, expires_at=expires_at)


@overload
def sms(to: Addressee, text: str, /) -> Owed: ...
@overload
def sms(to: Addressee, templates: Templates, name: str, /, **values: object) -> Owed: ...
def sms(to: Addressee, text: str | Templates, name: str = "", /, **values: object) -> Owed:
    """An SMS to somebody's phone, in the GSM 7-bit alphabet where that is possible; without a number none is owed.

    It says a text, or what a template makes of the ``values`` (see `email`).
    """
    if isinstance(text, str):
        return Owed(Channel.SMS, to.id, to.phone_number, to_gsm7(text))
    return message(Channel.SMS, to, to.phone_number, text, name, **values)


def email(to: Addressee, templates: Templates, name: str, /, *, address: str | None = None, **values: object) -> Owed:
    """A mail from a template, to somebody's present address or to another one of hers.

    The template is rendered when the mail is sent, in her language if she has one. It has the ``values`` as they are
    now: texts, numbers, dates, or lists and dicts of them. What the template takes and is not among them, or cannot be
    kept, is a TypeError when the rule is run.
    """
    return message(Channel.EMAIL, to, address or to.email, templates, name, **values)


def message(
    channel: Channel, to: Addressee, address: str | None, templates: Templates, name: str, /, **values: object
) -> Owed:
    """The same by any channel: of WHATSAPP the template ``NAME.whatsapp.txt``."""
    language = getattr(to, "language", None)
    return Owed(
        channel,
        to.id,
        address,
        wording=Wording(templates, name, values),
        language=language if isinstance(language, str) and len(language) <= LONGEST_LANGUAGE else None,
    )
