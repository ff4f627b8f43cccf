"""docker-compose.yml names what there is. (No engine runs here: its shape is checked by the client's ``config``.)"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from gql_app.settings import Settings

FILE = Path(__file__).parent.parent / "docker-compose.yml"
SETTING = re.compile(r"^ +(GQL_APP_\w+): (.*)$", re.M)
DEFAULT = re.compile(r"\$\{\w+:-(.*?)\}")


def test_its_settings_are_settings_of_the_service() -> None:
    environ = {name: DEFAULT.sub(r"\1", value) for name, value in SETTING.findall(FILE.read_text(encoding="utf-8"))}
    settings = Settings.from_environment(environ)
    assert settings.smtp is not None
    assert settings.broadcast_url.reveal().startswith("redis://")
    assert settings.database_url.reveal().startswith("postgresql+asyncpg://")


def test_the_compose_client_understands_it() -> None:
    client = shutil.which("docker-compose")
    if client is None:
        pytest.skip("no docker-compose client here")
    config = subprocess.run([client, "-f", FILE, "config", "-q"], capture_output=True, text=True, check=False)
    assert config.returncode == 0, config.stderr
