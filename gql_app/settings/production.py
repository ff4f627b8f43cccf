"""What production refuses."""

from collections.abc import Iterator
from datetime import timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gql_app.settings.environment import PREFIX
from gql_app.settings.values import address_of

if TYPE_CHECKING:
    from gql_app.settings.model import Settings

HOUR = timedelta(hours=1)
LONGEST_SESSION = timedelta(days=30)
"""NIST SP 800-63B, 4.1.3: signing in again at least every 30 days."""
SHORTEST_TOKEN = 16
LOCAL = ("localhost", "127.0.0.1", "::1")


def complaints(settings: "Settings") -> list[str]:
    """What is unsafe, a sentence each, with the name of the setting."""
    return [f"{PREFIX}{each}" for part in (_edge, _providers, _secrets) for each in part(settings)] + (
        ["--demo signs people in with a published password"] if settings.demo else []
    )


def _edge(settings: "Settings") -> Iterator[str]:
    public = urlsplit(settings.public_url)
    if public.scheme != "https":
        yield "PUBLIC_URL must be the https:// address that clients use"
    if _is_here(public.hostname or "") or "@" in public.netloc:
        yield "PUBLIC_URL must have a name that clients reach, and no username or password"
    if plain := [each for each in settings.cors_origins if not each.startswith("https://")]:
        yield f"CORS_ORIGINS must be https:// origins, and {plain[0]} is none"


def _providers(settings: "Settings") -> Iterator[str]:
    if settings.twilio is None:
        yield "TWILIO_ACCOUNT_SID, _AUTH_TOKEN and _FROM must be set"
    elif settings.twilio.base_url is not None and not settings.twilio.base_url.startswith("https://"):
        yield "TWILIO_BASE_URL must be an https:// address: our token is sent there"
    elif not settings.sms_countries:
        yield "SMS_COUNTRIES must say where SMS may go, as DE,AT: a messaging service may send anywhere"
    if settings.smtp is None:
        yield "SMTP_URL must be set"
    elif settings.smtp.tls == "none" and settings.smtp.host not in LOCAL:
        yield "SMTP_URL must encrypt: use smtp://…:587 or smtps://…:465"
    if address_of(settings.mail_from).endswith("@localhost"):
        yield "MAIL_FROM must be an address of your own domain"


def _secrets(settings: "Settings") -> Iterator[str]:
    if settings.bcrypt_cost < 10:
        yield "BCRYPT_COST must be 10 or more"
    if settings.session_lifetime > LONGEST_SESSION:
        yield f"SESSION_HOURS must be at most {LONGEST_SESSION // HOUR}: 30 days"
    if settings.metrics_token is not None and len(settings.metrics_token) < SHORTEST_TOKEN:
        yield f"METRICS_TOKEN must have at least {SHORTEST_TOKEN} characters"
    if settings.database_url.reveal().startswith("sqlite") and not settings.allow_sqlite:
        yield f"DATABASE_URL is an embedded SQLite; set {PREFIX}ALLOW_SQLITE=1 if one process with one file is meant"


def _is_here(host: str) -> bool:
    """Whether it is a name or an address of one's own machine."""
    try:
        address = ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified
