"""The only reader of the environment: every setting is cast and checked here, once."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import parseaddr
from pathlib import Path
from urllib.parse import unquote, urlsplit

from dotenv import dotenv_values

from gql_app.errors import ConfigurationError

PREFIX = "GQL_APP_"
DEFAULT_APP = "gql_app.demo.verticals:DEMO"
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


def choose_app(place: str) -> None:
    """What the command line says of the verticals, for this process and those that it starts."""
    os.environ[PREFIX + "APP"] = place


def chosen_app() -> str:
    """``package.module:attribute`` of the list of verticals, before all the other settings are read."""
    return _Environment(os.environ, dotenv=True).text("APP", DEFAULT_APP)


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


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that may differ between two installations. Durations are timedeltas, sizes are bytes."""

    database_url: Secret = field(default=Secret(DEFAULT_DATABASE_URL))
    broadcast_url: Secret = field(default=Secret("memory://"))
    twilio: Twilio | None = None
    smtp: Smtp | None = None
    mail_from: str = "gql_app <no-reply@localhost>"
    public_url: str = "http://127.0.0.1:8000"
    environment: str = "development"
    cors_origins: tuple[str, ...] = ()
    bcrypt_cost: int = 12
    session_lifetime: timedelta = timedelta(days=14)
    poll_interval: timedelta = timedelta(seconds=1)
    inline_worker: bool = True
    demo: bool = False
    fast: bool = True
    """Whether the engine takes its short cuts. `docs/operating.md` lists them; no answer depends on them."""
    documents: str = ""
    """A JSON file of ids and GraphQL documents, which may be asked for by `documentId`."""
    documents_only: bool = False
    """Whether no other documents are answered."""
    app: str = DEFAULT_APP
    """``package.module:attribute`` of the list of verticals that are served."""

    @property
    def production(self) -> bool:
        return self.environment == "production"

    @property
    def mailbox(self) -> bool:
        """Whether ``/mailbox`` is served: in development only."""
        return not self.production

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None, **overrides: object) -> "Settings":
        """Read ``GQL_APP_…``; in development a ``.env`` file in the working directory is read below it.

        Raises:
            ConfigurationError: a value cannot be used; the message names the variable and says what it takes.
        """
        env = _Environment(os.environ if environ is None else environ, dotenv=environ is None)
        values: dict[str, object] = {
            "database_url": Secret(database_url(env.text("DATABASE_URL", DEFAULT_DATABASE_URL))),
            "broadcast_url": Secret(_broadcast(env)),
            "twilio": _twilio(env),
            "smtp": _smtp(env),
            "mail_from": _mail_from(env),
            "public_url": env.url("PUBLIC_URL", "http://127.0.0.1:8000"),
            "environment": env.choice("ENVIRONMENT", "development", ("development", "production")),
            "cors_origins": _cors_origins(env),
            "bcrypt_cost": env.number("BCRYPT_COST", 12, 4, 16),
            "session_lifetime": timedelta(hours=env.number("SESSION_HOURS", 14 * 24, 1, 24 * 366)),
            "poll_interval": timedelta(milliseconds=env.number("POLL_INTERVAL_MS", 1000, 20, 60_000)),
            "demo": env.flag("DEMO", False),
            "documents": env.text("DOCUMENTS", ""),
            "documents_only": env.flag("DOCUMENTS_ONLY", False),
            "inline_worker": env.flag("INLINE_WORKER", True),
            "fast": env.flag("FAST", True),
            "app": env.text("APP", DEFAULT_APP),
        }
        env.refuse_unknown()
        settings = cls(**{**values, **overrides})  # type: ignore[arg-type]
        settings.refuse_unsafe()
        return settings

    def hand_down(self) -> None:
        """Leave to the processes that this one starts what its command line said."""
        os.environ[PREFIX + "DEMO"] = str(int(self.demo))
        os.environ[PREFIX + "INLINE_WORKER"] = str(int(self.inline_worker))
        os.environ[PREFIX + "APP"] = self.app

    def refuse_unsafe(self) -> None:
        """In production, raise ConfigurationError for every unsafe setting at once."""
        if not self.production:
            return
        complaints = []
        if not self.public_url.startswith("https://"):
            complaints.append(f"{PREFIX}PUBLIC_URL must be the https:// address that clients use")
        if self.twilio is None:
            complaints.append(f"{PREFIX}TWILIO_ACCOUNT_SID, _AUTH_TOKEN and _FROM must be set")
        if self.smtp is None:
            complaints.append(f"{PREFIX}SMTP_URL must be set")
        elif self.smtp.tls == "none" and self.smtp.host not in ("localhost", "127.0.0.1", "::1"):
            complaints.append(f"{PREFIX}SMTP_URL must encrypt: use smtp://…:587 or smtps://…:465")
        if parseaddr(self.mail_from)[1].endswith("@localhost"):
            complaints.append(f"{PREFIX}MAIL_FROM must be an address of your own domain")
        if self.bcrypt_cost < 10:
            complaints.append(f"{PREFIX}BCRYPT_COST must be 10 or more")
        if self.demo:
            complaints.append("--demo signs people in with a published password")
        if complaints:
            raise ConfigurationError("Refusing to start in production:\n  - " + "\n  - ".join(complaints))


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


def _broadcast(env: "_Environment") -> str:
    """As it is set, or else within the process on SQLite and the database's own LISTEN and NOTIFY on PostgreSQL."""
    chosen = env.text("BROADCAST_URL", "")
    if chosen:
        if not re.match(r"(memory|rediss?|postgres(ql)?)://", chosen):
            raise ConfigurationError(f"{PREFIX}BROADCAST_URL must be memory://, redis://… or postgresql://…")
        return chosen
    url = database_url(env.text("DATABASE_URL", DEFAULT_DATABASE_URL))
    return "memory://" if url.startswith("sqlite") else url.replace("+asyncpg", "", 1)


class _Environment:
    def __init__(self, environ: Mapping[str, str], *, dotenv: bool) -> None:
        self._asked: set[str] = set()
        self._values = dict(environ)
        if dotenv and environ.get(PREFIX + "ENVIRONMENT") != "production" and Path(".env").is_file():
            from_file = {k: v for k, v in dotenv_values(".env").items() if v is not None}
            self._values = {**from_file, **self._values}

    def refuse_unknown(self) -> None:
        """After all settings were read: what else begins like one is a slip of the pen."""
        unknown = [
            name
            for name in self._values
            if name.startswith(PREFIX) and not name.startswith(PREFIX + "TEST_") and name not in self._asked
        ]
        if unknown:
            raise ConfigurationError(f"There is no setting called {' or '.join(sorted(unknown))}")

    def text(self, name: str, default: str) -> str:
        self._asked.add(PREFIX + name)
        return self._values.get(PREFIX + name, "").strip() or default

    def number(self, name: str, default: int, low: int, high: int) -> int:
        raw = self.text(name, str(default))
        if not (raw.isascii() and raw.isdecimal() and len(raw) <= 9) or not low <= int(raw) <= high:
            raise ConfigurationError(f"{PREFIX}{name} must be a whole number from {low} to {high}")
        return int(raw)

    def flag(self, name: str, default: bool) -> bool:
        return self.choice(name, str(int(default)), ("0", "1")) == "1"

    def choice(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        value = self.text(name, default)
        if value not in choices:
            raise ConfigurationError(f"{PREFIX}{name} must be one of: {', '.join(choices)}")
        return value

    def url(self, name: str, default: str) -> str:
        value = self.text(name, default).rstrip("/")
        if not re.match(r"https?://[^/\s]+", value):
            raise ConfigurationError(f"{PREFIX}{name} must be an http:// or https:// address")
        return value


def _mail_from(env: _Environment) -> str:
    value = env.text("MAIL_FROM", "gql_app <no-reply@localhost>")
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", parseaddr(value)[1]) or "\n" in value or "\r" in value:
        raise ConfigurationError(f"{PREFIX}MAIL_FROM must look like Fuel <fuel@example.org>")
    return value


def _cors_origins(env: _Environment) -> tuple[str, ...]:
    origins = tuple(o.strip() for o in env.text("CORS_ORIGINS", "").split(",") if o.strip())
    if not all(re.fullmatch(r"https?://[^/\s]+", origin) for origin in origins):
        raise ConfigurationError(f"{PREFIX}CORS_ORIGINS must be origins like https://app.example.org, with commas")
    return origins


def _twilio(env: _Environment) -> Twilio | None:
    base_url = env.text("TWILIO_BASE_URL", "") or None
    names = ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_FROM")
    values = [env.text(name, "") for name in names]
    if not any(values):
        return None
    missing = [PREFIX + name for name, value in zip(names, values, strict=True) if not value]
    if missing:
        raise ConfigurationError(f"SMS by Twilio also need {' and '.join(missing)}")
    return Twilio(values[0], Secret(values[1]), values[2], base_url)


def _smtp(env: _Environment) -> Smtp | None:
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
