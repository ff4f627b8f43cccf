"""What production refuses."""

from email.utils import parseaddr
from typing import TYPE_CHECKING

from gql_app.settings.environment import PREFIX

if TYPE_CHECKING:
    from gql_app.settings.model import Settings


def complaints(settings: "Settings") -> list[str]:
    """What is unsafe, a sentence each."""
    found: list[str] = []
    if not settings.public_url.startswith("https://"):
        found.append(f"{PREFIX}PUBLIC_URL must be the https:// address that clients use")
    if settings.twilio is None:
        found.append(f"{PREFIX}TWILIO_ACCOUNT_SID, _AUTH_TOKEN and _FROM must be set")
    if settings.smtp is None:
        found.append(f"{PREFIX}SMTP_URL must be set")
    elif settings.smtp.tls == "none" and settings.smtp.host not in ("localhost", "127.0.0.1", "::1"):
        found.append(f"{PREFIX}SMTP_URL must encrypt: use smtp://…:587 or smtps://…:465")
    if parseaddr(settings.mail_from)[1].endswith("@localhost"):
        found.append(f"{PREFIX}MAIL_FROM must be an address of your own domain")
    if settings.bcrypt_cost < 10:
        found.append(f"{PREFIX}BCRYPT_COST must be 10 or more")
    if settings.demo:
        found.append("--demo signs people in with a published password")
    return found
