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


def test_its_settings_are_settings_of_the_service(tmp_path: Path) -> None:
    environ = {name: DEFAULT.sub(r"\1", value) for name, value in SETTING.findall(FILE.read_text(encoding="utf-8"))}
    assert environ["GQL_APP_DATABASE_URL_FILE"] == "/run/secrets/database_url"
    said = re.search(r'echo "(postgresql://[^"]+)" > secrets/database_url', FILE.read_text(encoding="utf-8"))
    assert said is not None
    (tmp_path / "database_url").write_text(said[1].replace("$(cat secrets/database_password)", "0123abcd") + "\n")
    environ["GQL_APP_DATABASE_URL_FILE"] = str(tmp_path / "database_url")
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


def services() -> dict[str, str]:
    """What is said of each service; what the app's share is that of each of them."""
    text = FILE.read_text(encoding="utf-8")
    shared, _, rest = text.partition("\nservices:\n")
    rest = rest.partition("\nsecrets:\n")[0]
    found = dict(re.findall(r"^  (\w+):\n((?:    .*\n|\n)+)", rest + "\n", re.M))
    return {name: said + (shared if "<<: *app" in said else "") for name, said in found.items()}


def test_no_password_stands_in_it_and_it_is_published_on_this_machine_only() -> None:
    text = FILE.read_text(encoding="utf-8")
    assert not re.findall(r"^ .*(?:PASSWORD|_URL): .*:.*@", text, re.M)
    assert not re.findall(r"PASSWORD: ", text)
    published = re.findall(r'- "(.*:\d+)"', text)
    assert published
    assert all(each.startswith("127.0.0.1:") for each in published)


def test_its_processes_have_no_rights_that_they_do_not_need() -> None:
    found = services()
    assert found.keys() == {"migrate", "app", "worker", "postgres", "redis", "mails"}
    for name, said in found.items():
        assert "no-new-privileges:true" in said, name
        assert "cap_drop: [ALL]" in said or name == "postgres", name  # which changes to its own user as it starts
        assert "read_only: true" in said or name in ("postgres", "mails"), name
