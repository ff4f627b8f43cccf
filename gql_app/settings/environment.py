"""Reads the environment, and a `.env` file below it in development."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values

from gql_app.errors import ConfigurationError

PREFIX = "GQL_APP_"
FILE = "_FILE"
DEFAULT_APP = "gql_app.demo.verticals:DEMO"


def choose_app(place: str) -> None:
    """What the command line says of the verticals, for this process and those that it starts."""
    os.environ[PREFIX + "APP"] = place


def chosen_app() -> str:
    """``package.module:attribute`` of the list of verticals, before all the other settings are read."""
    return Environment(os.environ, dotenv=True).text("APP", DEFAULT_APP)


class Environment:
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
        """The value, or what the file holds that ``…_FILE`` names: a secret that an orchestrator mounts."""
        self._asked |= {PREFIX + name, PREFIX + name + FILE}
        value, place = (self._values.get(PREFIX + each, "").strip() for each in (name, name + FILE))
        if not place:
            return value or default
        if value:
            raise ConfigurationError(f"Set {PREFIX}{name} or {PREFIX}{name}{FILE}, and not both")
        try:
            return Path(place).read_text(encoding="utf-8").strip() or default
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or "it is no text"
            raise ConfigurationError(f"The file of {PREFIX}{name}{FILE} cannot be read: {reason}") from error

    def list(self, name: str) -> tuple[str, ...]:
        """What stands between commas."""
        return tuple(each.strip() for each in self.text(name, "").split(",") if each.strip())

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
