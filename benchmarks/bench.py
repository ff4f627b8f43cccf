"""What every workload is given, and where its figures go."""

import contextlib
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from benchmarks import data, servers
from benchmarks.contestants import Contestant, Product
from benchmarks.loop import Loop
from benchmarks.servers import Server
from benchmarks.sizes import Size

Figures = dict[str, float]
"""Names with units → values."""


@dataclass
class Bench:
    """One run: its size, its contestants, the seeds that servers start from, and the lines that come out."""

    size: Size
    peers: Sequence[Contestant]
    output: Path
    seeds: Path
    round: int = 0
    lines: list[dict[str, object]] = field(default_factory=list)

    def make_seeds(self) -> None:
        data.make_product_database(self.seeds / "product.db", self.size.users, self.size.requests)
        data.make_peers_database(self.seeds / "peers.db", self.size.users, self.size.requests)

    def those_with(self, workload: str) -> list[Contestant]:
        return [peer for peer in self.peers if workload in peer.workloads]

    @contextlib.contextmanager
    def serving(self, peer: Contestant, seed: Path | None = None) -> Iterator[tuple[Server, Loop]]:
        """A fresh server and a loop for its load."""
        seed = seed or self.seeds / ("product.db" if isinstance(peer, Product) else "peers.db")
        loop = Loop()
        with servers.running(peer.command, peer.environment, seed) as server:
            try:
                yield server, loop
            finally:
                loop.close()

    def report(self, workload: str, case: str, peer: str, figures: Figures) -> None:
        """Write a line down and show it."""
        values = {name: round(value, 3) for name, value in figures.items()}
        line = {"round": self.round, "workload": workload, "case": case, "peer": peer, "figures": values}
        self.lines.append(line)
        with self.output.open("a", encoding="utf-8") as output:
            output.write(json.dumps(line) + "\n")
        shown = "  ".join(f"{name} {value:,g}" for name, value in values.items())
        print(f"{time.strftime('%H:%M:%S')} round {self.round} {workload} {case} {peer}: {shown}", flush=True)

    @contextlib.contextmanager
    def surviving(self, workload: str, case: str, peer: str) -> Iterator[None]:
        """A contestant that fails is reported, and the others go on."""
        try:
            yield
        except Exception as error:
            print(f"{workload} {case} {peer}: FAILED: {error!r}", flush=True)
            self.report(workload, case, peer, {"failed": 1})


def each_once(size: Size) -> Iterator[tuple[int, str]]:
    """Requests that are still to be decided. The product decides a request once: it ends with the last one."""
    return ((number, "APPROVED") for number in range(1, size.requests + 1))


def over_and_over(size: Size) -> Iterator[tuple[int, str]]:
    """The same for peers, who decide as often as they are asked."""
    for turn in count():
        status = "APPROVED" if turn % 2 == 0 else "REJECTED"
        yield from ((number, status) for number in range(1, size.requests + 1))


def decisions(peer: Contestant, size: Size) -> Iterator[tuple[int, str]]:
    return each_once(size) if isinstance(peer, Product) else over_and_over(size)


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="gql-app-bench-") as directory:
        yield Path(directory)
