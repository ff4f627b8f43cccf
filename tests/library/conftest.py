"""A fresh virtual environment with the built wheel, as somebody has it who writes a service of her own."""

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import postgres
from tests.conftest import require

ROOT = Path(__file__).parent.parent.parent
PATIENCE = 30.0


@dataclass(frozen=True)
class Library:
    """`directory` is where the author's package is and where she calls commands."""

    environment: Path
    directory: Path
    database_url: str
    app: str = "harbour:ALL"

    @property
    def python(self) -> str:
        return str(self.environment / "bin" / "python")

    @property
    def variables(self) -> dict[str, str]:
        return {
            "PATH": f"{self.environment / 'bin'}:/usr/bin:/bin",
            "GQL_APP_DATABASE_URL": self.database_url,
            "GQL_APP_APP": self.app,
            "GQL_APP_POLL_INTERVAL_MS": "50",
        }

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Call ``gql-app``."""
        return self._call(str(self.environment / "bin" / "gql-app"), *arguments)

    def execute(self, code: str) -> str:
        """What this prints in Python."""
        done = self._call(self.python, "-c", code)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _call(self, *command: str) -> subprocess.CompletedProcess[str]:
        options = {"cwd": self.directory, "env": self.variables, "capture_output": True, "text": True}
        return subprocess.run(command, check=False, timeout=PATIENCE, **options)  # type: ignore[call-overload,no-any-return]

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """A server of hers; yields its address."""
        command = [str(self.environment / "bin" / "gql-app"), "serve", "--port", "0"]
        output = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *command, cwd=self.directory, env=self.variables, stdout=output, stderr=asyncio.subprocess.STDOUT
        )
        try:
            assert process.stdout is not None
            said = ""
            async with asyncio.timeout(PATIENCE):
                while (found := re.search(r"gql_app is at (http://\S+)/ ", said)) is None:
                    line = (await process.stdout.readline()).decode()
                    assert line, f"it ended: {said}"
                    said += line
            yield found.group(1)
        finally:
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(PATIENCE):
                await process.communicate()


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "-w", str(directory), str(ROOT)], check=True, cwd=directory)
    (found,) = directory.glob("gql_app-*.whl")
    return found


@pytest.fixture(scope="session")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With what the wheel depends on from here, and without the checkout."""
    directory = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(directory)], check=True)
    python = str(directory / "bin" / "python")
    command = [sys.executable, "-m", "pip", "-q", "--python", python, "install", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(command, check=True)
    ask = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = subprocess.run(ask, check=True, capture_output=True, text=True).stdout.strip()
    # Files named .pth in the other environment are not read, so its editable install is not seen.
    Path(site, "dependencies.pth").write_text(sysconfig.get_path("purelib") + os.linesep)
    return directory


@pytest.fixture
def library(environment: Path, backend: str, tmp_path: Path) -> Iterator[Library]:
    """Her package `harbour` beside her, and a database of her own."""
    shutil.copytree(ROOT / "examples" / "harbour", tmp_path / "hers" / "harbour")
    if backend == "sqlite":
        yield Library(environment, tmp_path / "hers", f"sqlite:///{tmp_path}/hers.db")
        return
    require("PostgreSQL", postgres.is_there(), f"no PostgreSQL at {postgres.URL} (GQL_APP_TEST_POSTGRES_URL)")
    with postgres.bare() as url:
        yield Library(environment, tmp_path / "hers", url.replace("+asyncpg", "", 1))
