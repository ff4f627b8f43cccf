"""`make abuse`: each attack twice against a server process, with a bystander beside it.

The server has the first core, the abuser and the bystander have the second one. Only the bystander's waits are timed.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.abuse.attacks import ATTACKS, Attack
from benchmarks.servers import LOAD_CORES, Server, free_port, process, take_the_load_core, wait_for

START = 1.0
"""Seconds that the bystander asks before the attack begins: they are not counted."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.abuse", description=__doc__)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each attack (default: 8)")
    parser.add_argument("--only", default="", help="attacks whose name holds this text")
    args = parser.parse_args()
    take_the_load_core()
    print("| attack | p50 ms | p99 ms | worst ms | lost | sign-ins | memory MB | what became of it |")
    print("|---|---|---|---|---|---|---|---|")
    port = free_port()
    command = (sys.executable, "-m", "gql_app", "serve", "--demo", "--port", str(port))
    with TemporaryDirectory() as folder:
        database = Path(folder, "abused.db")
        with process(command, {"GQL_APP_DATABASE_URL": f"sqlite:///{database}"}, folder) as (started, said):
            wait_for(port, started, said)
            server = Server(started.pid, port, database)
            for name, attack in ATTACKS.items():
                if args.only in name:
                    print(_row(server, name, attack, args.seconds), flush=True)


def _row(server: Server, name: str, attack: Attack, seconds: float) -> str:
    before = server.memory()
    first, _ = _attacked(server, name, attack, seconds)
    between = server.memory()
    second, said = _attacked(server, name, attack, seconds)
    after = server.memory()
    waits = sorted(1_000 * each for run in (first, second) for each in run["waits"][int(START / 0.05) :])
    signed_in = [each for run in (first, second) for each in run["signed_in"]]
    return (
        f"| {name} | {waits[len(waits) // 2]:.0f} | {waits[int(len(waits) * 0.99)]:.0f} | {waits[-1]:.0f} "
        f"| {first['lost'] + second['lost']} "
        f"| {f'{len(signed_in)}, longest {max(signed_in):.1f} s' if signed_in else '–'} "
        f"| {before / 1e6:.0f} → {between / 1e6:.0f} → {after / 1e6:.0f} | {said} |"
    )


def _attacked(server: Server, name: str, attack: Attack, seconds: float) -> tuple[dict[str, Any], str]:
    who = ["grace"] if "sign-ins" in name else []
    command = [sys.executable, "-m", "benchmarks.abuse.bystander", str(server.port), str(seconds + START), *who]
    bystander = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    os.sched_setaffinity(bystander.pid, LOAD_CORES)
    os.setpriority(os.PRIO_PROCESS, bystander.pid, -10) if os.geteuid() == 0 else None
    time.sleep(START)
    said = asyncio.run(attack(server.port, seconds))
    out, _ = bystander.communicate()
    return json.loads(out), said


if __name__ == "__main__":
    main()
