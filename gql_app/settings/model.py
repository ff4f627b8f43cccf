"""All settings, cast and checked once."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from gql_app.errors import ConfigurationError
from gql_app.settings import production
from gql_app.settings.environment import DEFAULT_APP, PREFIX, Environment
from gql_app.settings.values import (
    DEFAULT_DATABASE_URL,
    Networks,
    Secret,
    Smtp,
    Twilio,
    allowed_hosts,
    broadcast_url,
    cors_origins,
    database_url,
    limits,
    mail_from,
    sms_countries,
    smtp,
    trusted_proxies,
    twilio,
)


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
    allowed_hosts: tuple[str, ...] = ()
    """Names that clients call us by, besides the host of `public_url`. `.example.org` stands for its subdomains."""
    trusted_proxies: Networks = ()
    """Whose `X-Forwarded-For` says where a client is."""
    max_connections: int = 10_000
    """Open connections of a process."""
    connections_per_address: int = 1_000
    address_budget: int = 200_000
    """Points that one address may have computed in 10 seconds: of about 10 microseconds of a core. 0: any number."""
    viewer_budget: int = 100_000
    """The same for one signed-in person."""
    graphiql: bool = True
    introspection: bool = True
    """Whether the schema may be asked about. GraphiQL and code generators do so."""
    metrics_token: Secret | None = None
    """What `/metrics` asks for; None: nothing."""
    allow_sqlite: bool = False
    """In production: an embedded database is meant."""
    sms_countries: tuple[str, ...] = ()
    """Where phone numbers may be, as ISO 3166 writes countries. None: everywhere."""
    limits: Mapping[str, tuple[int, int] | None] = field(default_factory=dict)
    """How often in how many seconds, in place of what the limits of these names say. None: without a limit."""
    keep_alive: timedelta = timedelta(seconds=75)
    """How long an idle connection is kept."""
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
        env = Environment(os.environ if environ is None else environ, dotenv=environ is None)
        environment = env.choice("ENVIRONMENT", "development", ("development", "production"))
        is_production = environment == "production"
        values: dict[str, object] = {
            "database_url": Secret(database_url(env.text("DATABASE_URL", DEFAULT_DATABASE_URL))),
            "broadcast_url": Secret(broadcast_url(env)),
            "twilio": twilio(env),
            "smtp": smtp(env),
            "mail_from": mail_from(env),
            "public_url": env.url("PUBLIC_URL", "http://127.0.0.1:8000"),
            "environment": environment,
            "cors_origins": cors_origins(env),
            "allowed_hosts": allowed_hosts(env),
            "trusted_proxies": trusted_proxies(env),
            "max_connections": env.number("MAX_CONNECTIONS", 10_000, 10, 1_000_000),
            "connections_per_address": env.number("CONNECTIONS_PER_ADDRESS", 1_000, 1, 1_000_000),
            "address_budget": env.number("ADDRESS_BUDGET", 200_000, 0, 999_999_999),
            "viewer_budget": env.number("VIEWER_BUDGET", 100_000, 0, 999_999_999),
            "graphiql": env.flag("GRAPHIQL", not is_production),
            "introspection": env.flag("INTROSPECTION", not is_production),
            "metrics_token": Secret(token) if (token := env.text("METRICS_TOKEN", "")) else None,
            "allow_sqlite": env.flag("ALLOW_SQLITE", False),
            "sms_countries": sms_countries(env, twilio(env)),
            "limits": limits(env),
            "keep_alive": timedelta(seconds=env.number("KEEP_ALIVE_SECONDS", 75, 1, 3600)),
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
        if self.production and (complaints := production.complaints(self)):
            raise ConfigurationError("Refusing to start in production:\n  - " + "\n  - ".join(complaints))
