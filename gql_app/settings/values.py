"""Values of settings that are more than a text."""

import re
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from urllib.parse import unquote, urlsplit

import phonenumbers

from gql_app.errors import ConfigurationError
from gql_app.settings.environment import PREFIX, Environment

DEFAULT_DATABASE_URL = "sqlite+aiosqlite:///gql_app.db"


class Secret(str):
    """A string that prints as stars; ``reveal()`` says that it is meant."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'" if self else "''"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def reveal(self) -> str:
        return str.__str__(self)


@dataclass(frozen=True, slots=True)
class Twilio:
    """How SMS go out. ``sender`` is a phone number or a messaging service's SID (``MG…``)."""

    account_sid: str
    auth_token: Secret
    sender: str
    base_url: str | None = None


@dataclass(frozen=True, slots=True)
class Smtp:
    """How mails go out. ``tls`` is ``"none"``, ``"starttls"`` (smtp://) or ``"implicit"`` (smtps://)."""

    host: str
    port: int
    username: str | None
    password: Secret
    tls: str


def database_url(url: str) -> str:
    """The URL with the asyncio driver named: ``sqlite:///…`` → ``sqlite+aiosqlite:///…`` and so on."""
    scheme, _, rest = url.partition("://")
    drivers = {
        "sqlite": "sqlite+aiosqlite",
        "postgres": "postgresql+asyncpg",
        "postgresql": "postgresql+asyncpg",
    }
    scheme = drivers.get(scheme, scheme)
    if scheme not in drivers.values():
        raise ConfigurationError(f"{PREFIX}DATABASE_URL must start with sqlite:/// or postgresql://")
    if scheme.startswith("sqlite") and rest.partition("?")[0] in ("", "/", "/:memory:"):
        raise ConfigurationError(f"{PREFIX}DATABASE_URL must name a file: an in-memory database has one connection")
    try:
        _ = urlsplit(url).port
    except ValueError as error:
        raise ConfigurationError(f"{PREFIX}DATABASE_URL needs a port from 0 to 65535, or none") from error
    return f"{scheme}://{rest}"


def broadcast_url(env: "Environment") -> str:
    """As it is set, or else within the process on SQLite and the database's own LISTEN and NOTIFY on PostgreSQL."""
    chosen = env.text("BROADCAST_URL", "")
    if chosen:
        if not re.match(r"(memory|rediss?|postgres(ql)?)://", chosen):
            raise ConfigurationError(f"{PREFIX}BROADCAST_URL must be memory://, redis://… or postgresql://…")
        return chosen
    url = database_url(env.text("DATABASE_URL", DEFAULT_DATABASE_URL))
    return "memory://" if url.startswith("sqlite") else url.replace("+asyncpg", "", 1)


def mail_from(env: Environment) -> str:
    value = env.text("MAIL_FROM", "gql_app <no-reply@localhost>")
    if not re.fullmatch(r"[^@\s<>]+@[^@\s<>]+", address_of(value)) or not value.isprintable():
        raise ConfigurationError(f"{PREFIX}MAIL_FROM must look like Fuel <fuel@example.org>")
    return value


def address_of(sender: str) -> str:
    """What stands between the last brackets, or all of it."""
    return sender[:-1].rpartition("<")[2].strip() if sender.endswith(">") else sender.strip()


Networks = tuple[IPv4Network | IPv6Network, ...]


def trusted_proxies(env: Environment) -> Networks:
    try:
        return tuple(ip_network(each, strict=False) for each in env.list("TRUSTED_PROXIES"))
    except ValueError as error:
        raise ConfigurationError(
            f"{PREFIX}TRUSTED_PROXIES must be addresses or networks like 10.0.0.0/8, with commas"
        ) from error


def allowed_hosts(env: Environment) -> tuple[str, ...]:
    names = env.list("ALLOWED_HOSTS")
    if not all(re.fullmatch(r"\.?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*|[0-9a-fA-F:]+", each) for each in names):
        raise ConfigurationError(
            f"{PREFIX}ALLOWED_HOSTS must be names like api.example.org or .example.org, without port, with commas"
        )
    return names


def sms_countries(env: Environment, sender: Twilio | None) -> tuple[str, ...]:
    """As set, or that of the number that SMS come from; none: everywhere."""
    named = tuple(each.upper() for each in env.list("SMS_COUNTRIES"))
    if wrong := [each for each in named if each not in phonenumbers.SUPPORTED_REGIONS]:
        raise ConfigurationError(f"{PREFIX}SMS_COUNTRIES must be country codes like DE,AT, and {wrong[0]} is none")
    if named or sender is None or not sender.sender.startswith("+"):
        return named
    try:
        own = phonenumbers.region_code_for_number(phonenumbers.parse(sender.sender, None))
    except phonenumbers.NumberParseException:
        return ()
    return (own,) if own else ()


def limits(env: Environment) -> dict[str, tuple[int, int] | None]:
    """``sign_up=500/hour,sign_in=off``: a limit's name, and how often in how many seconds. None: no limit."""
    found: dict[str, tuple[int, int] | None] = {}
    for each in env.list("LIMITS"):
        name, _, rate = each.partition("=")
        known = re.fullmatch(r"(\d{1,9})/(second|minute|hour|day)", rate.strip())
        if not re.fullmatch(r"[a-z_]+", name.strip()) or not (known or rate.strip() == "off"):
            raise ConfigurationError(f"{PREFIX}LIMITS must look like sign_up=500/hour,sign_in=off")
        found[name.strip()] = (int(known[1]), SECONDS[known[2]]) if known else None
    return found


SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}


def cors_origins(env: Environment) -> tuple[str, ...]:
    origins = env.list("CORS_ORIGINS")
    if not all(re.fullmatch(r"https?://[^/\s]+", origin) for origin in origins):
        raise ConfigurationError(f"{PREFIX}CORS_ORIGINS must be origins like https://app.example.org, with commas")
    return origins


def twilio(env: Environment) -> Twilio | None:
    base_url = env.text("TWILIO_BASE_URL", "") or None
    names = ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_FROM")
    values = [env.text(name, "") for name in names]
    if not any(values):
        return None
    missing = [PREFIX + name for name, value in zip(names, values, strict=True) if not value]
    if missing:
        raise ConfigurationError(f"SMS by Twilio also need {' and '.join(missing)}")
    return Twilio(values[0], Secret(values[1]), values[2], base_url)


def smtp(env: Environment) -> Smtp | None:
    """``smtp://`` upgrades by STARTTLS on port 587 or where ``?tls=starttls`` says so; ``smtps://`` is TLS at once."""
    url = env.text("SMTP_URL", "")
    if not url:
        return None
    try:
        parts = urlsplit(url)
        port = parts.port if parts.port is not None else (465 if parts.scheme == "smtps" else 587)
    except ValueError:
        parts, port = urlsplit(""), 0
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname or port == 0:
        raise ConfigurationError(f"{PREFIX}SMTP_URL must look like smtp://user:password@host:587")
    tls = "implicit" if parts.scheme == "smtps" else "starttls"
    if parts.scheme == "smtp" and port != 587 and "tls=starttls" not in parts.query:
        tls = "none"
    return Smtp(
        parts.hostname,
        port,
        unquote(parts.username or "") or None,
        Secret(unquote(parts.password or "")),
        tls,
    )
