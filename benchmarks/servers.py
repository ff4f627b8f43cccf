"""A contestant as a process: started on a fresh copy of its data, pinned to the first core, stopped at the end.

The load generator runs on the second core. On a machine with one core nothing is pinned, and what both cost is mixed.
"""

import contextlib
import os
import resource
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
START_SECONDS = 60.0
STOP_SECONDS = 15.0
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGESIZE")


def cores() -> tuple[set[int], set[int]]:
    """Those of the servers and those of the load."""
    usable = sorted(os.sched_getaffinity(0))
    return ({usable[0]}, {usable[1]}) if len(usable) > 1 else (set(usable), set(usable))


SERVER_CORES, LOAD_CORES = cores()


def take_the_load_core() -> None:
    """For this process, with as many open files as it may have: a socket is one here and one in the server."""
    os.sched_setaffinity(0, LOAD_CORES)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def most_sockets() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 200


@dataclass(frozen=True)
class Server:
    """A running process that answers on loopback."""

    pid: int
    port: int
    database: Path

    def cpu_seconds(self) -> float:
        """User and system time of the process so far, in steps of 10 ms."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory(self) -> int:
        """Resident bytes."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * PAGE


@contextlib.contextmanager
def running(
    command: Sequence[str], environment: Mapping[str, str], seed: Path, *, core: set[int] = SERVER_CORES
) -> Iterator[Server]:
    """Run ``command`` on a copy of ``seed``; in both, ``{port}`` and ``{database}`` are filled in.

    Raises RuntimeError with the end of what it printed when it does not start.
    """
    with tempfile.TemporaryDirectory() as directory:
        port, database = free_port(), Path(directory, "data.db")
        shutil.copy(seed, database)
        values = {"port": port, "database": database}
        filled = {name: value.format(**values) for name, value in environment.items()}
        with process([part.format(**values) for part in command], filled, directory, core=core) as (started, said):
            wait_for(port, started, said)
            yield Server(started.pid, port, database)


@contextlib.contextmanager
def process(
    command: Sequence[str], environment: Mapping[str, str], directory: str, *, core: set[int] = SERVER_CORES
) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A process on a core, and the file with what it says; it is terminated at the end, killed if it does not go."""
    said = Path(directory, "said.txt")
    everything = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    with said.open("wb") as output:
        started = subprocess.Popen(command, env=everything, cwd=directory, stdout=output, stderr=subprocess.STDOUT)
    os.sched_setaffinity(started.pid, core)
    try:
        yield started, said
    finally:
        started.terminate()
        try:
            started.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int, started: "subprocess.Popen[bytes]", said: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and started.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            time.sleep(0.3)  # what it still does after it has begun to listen
            return
        time.sleep(0.05)
    raise RuntimeError(f"the server did not start: {said.read_text(errors='replace')[-2000:]}")
