"""Which names and numbers people may give themselves."""

import re
from collections.abc import Collection

import phonenumbers
from email_validator import EmailNotValidError, validate_email
from phonenumbers import PhoneNumberType, ValidationResult

from gql_app.errors import Invalid

_USERNAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{2,31}")
_TOLD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{2,31}")
"""Older names have dots."""
_LOOKS_LIKE = str.maketrans("01i34578", "olleastb", "-_")
RESERVED = (
    "abuse admin administrator administration anonymous api billing contact everybody everyone guest help helpdesk "
    "hostmaster info mail mailer mailerdaemon me moderator nobody noreply null official operator owner postmaster root "
    "security service staff superuser support sysadmin system team undefined user webmaster"
)
"""Names that speak for the service, and those of RFC 2142."""
_RESERVED = {each.translate(_LOOKS_LIKE) for each in RESERVED.split()}

MOBILE = {PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE}
NO_COUNTRY = "001"
"""Of satellites and world-wide services."""
TEST_NUMBERS = "+1500555"
"""Numbers that reach nobody: Twilio's for tests, and the demo's."""


def known_name(username: str) -> str | None:
    """A name as somebody has typed it to sign in; None: nobody can have it. Keyboards of phones append a space."""
    name = username.strip()
    return name if _TOLD.fullmatch(name) else None


def clean_username(username: str) -> str:
    """Raises Invalid. A name with a dot would be a link in a mail: `www.example.org`."""
    name = username.strip()
    if not _USERNAME.fullmatch(name):
        raise Invalid(
            "A username has 3 to 32 letters, digits, hyphens or underscores, and begins with a letter or digit.",
            field="username",
        )
    if name.lower().translate(_LOOKS_LIKE) in _RESERVED:
        raise Invalid("This username is reserved, or looks like one that is.", field="username")
    return name


def clean_email(email: str, *, field: str = "email") -> str:
    """The address in its normal form, in ASCII: not every mail server takes more.

    Raises:
        Invalid: not an address. Whether it is deliverable is found out by delivering.
    """
    try:
        # test_environment: the domain .test is for tests (RFC 2606) and reaches nobody.
        checked = validate_email(email, check_deliverability=False, allow_smtputf8=False, test_environment=True)
        address = checked.ascii_email or checked.normalized
        if "=?" in address:  # the email package would read it as an encoded word (RFC 2047), and write another address
            raise EmailNotValidError
        return address
    except (EmailNotValidError, UnicodeError) as error:
        raise Invalid("That is not an e-mail address.", field=field) from error


def clean_phone_number(
    number: str | None, *, field: str = "phoneNumber", countries: Collection[str] = ()
) -> str | None:
    """The number in E.164 (``+4915112345678``). None and the empty string are no number.

    ``countries``: where it must be, as ISO 3166 writes them (``DE``); none: anywhere.

    Raises:
        Invalid: there is no such number, or no SMS may go to it.
    """
    if not number:
        return None
    try:
        parsed = phonenumbers.parse(number, None)
    except (phonenumbers.NumberParseException, UnicodeError) as error:
        raise Invalid("Write the phone number with its country code, like +4915112345678.", field=field) from error
    written = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
    if parsed.extension:
        raise Invalid("A number with an extension gets no SMS.", field=field)
    if written.startswith(TEST_NUMBERS) and len(written) == len("+15005550100"):
        return written
    possible = phonenumbers.is_possible_number_with_reason(parsed) == ValidationResult.IS_POSSIBLE
    if not possible or not phonenumbers.is_valid_number(parsed):
        raise Invalid("There is no such phone number in that country.", field=field)
    region = phonenumbers.region_code_for_number(parsed)
    if phonenumbers.number_type(parsed) not in MOBILE or region == NO_COUNTRY:
        raise Invalid("That is no number of a mobile phone.", field=field)
    if countries and region not in countries:
        raise Invalid("We do not send SMS to that country.", field=field)
    return written
