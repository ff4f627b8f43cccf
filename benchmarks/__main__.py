"""`python -m benchmarks`: rounds over all workloads, in each of them one contestant after the other."""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import (
    servers,
    work_bulk,
    work_commits,
    work_deliveries,
    work_fanout,
    work_growth,
    work_queries,
    work_stalled,
    work_streams,
)
from benchmarks.bench import Bench, scratch
from benchmarks.contestants import contestants
from benchmarks.results import table
from benchmarks.sizes import SIZES

RESULTS = Path(__file__).parent / "results"

WORKLOADS: dict[str, Callable[[Bench], None]] = {
    "W1": lambda bench: work_queries.queries(bench, "W1"),
    "W2": lambda bench: work_queries.queries(bench, "W2"),
    "W3": lambda bench: work_queries.queries(bench, "W3"),
    "W4": lambda bench: work_fanout.saturated(bench, "W4"),
    "W4r": lambda bench: work_fanout.saturated(bench, "W4r"),
    "W4d": work_streams.own_streams,
    "W5": work_fanout.paced,
    "W6": work_fanout.idle,
    "W7": work_streams.catching_up,
    "W8": work_deliveries.deliveries,
    "W9": work_queries.sign_ups,
    "W10": work_commits.commits,
    "W11": work_stalled.stalled,
    "W12": work_growth.growth,
    "W13": work_bulk.bulk,
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="The service under load, beside others.")
    parser.add_argument("--rounds", type=int, default=3, help="the table shows medians (default: 3)")
    parser.add_argument("--only", default=",".join(WORKLOADS), help="workloads, with commas")
    parser.add_argument("--sizes", choices=SIZES, default="full")
    parser.add_argument(
        "--peers",
        default="naive,raw,product",
        help="of naive, raw, raw-sqlalchemy, product, node (needs `npm install` in benchmarks/peers/node)",
    )
    parser.add_argument("--one-viewer", action="store_true", help="all subscribers are the same approver")
    chosen = parser.parse_args()
    try:
        chosen.peers = contestants(chosen.peers, distinct_viewers=not chosen.one_viewer)
    except ValueError as error:
        parser.error(str(error))
    chosen.only = chosen.only.split(",")
    if unknown := set(chosen.only) - set(WORKLOADS):
        parser.error(f"There is no {' or '.join(sorted(unknown))}; choose of {', '.join(WORKLOADS)}.")
    return chosen


def main() -> None:
    chosen = arguments()
    size = SIZES[chosen.sizes]
    RESULTS.mkdir(exist_ok=True)
    output = RESULTS / f"{time.strftime('%Y%m%d-%H%M%S')}-{chosen.sizes}.jsonl"
    servers.take_the_load_core()
    with scratch() as seeds:
        bench = Bench(size, chosen.peers, output, seeds)
        print(f"{size.users:,} users and {size.requests:,} fuel requests are made …", flush=True)
        bench.make_seeds()
        for bench.round in range(1, chosen.rounds + 1):
            for workload in chosen.only:
                WORKLOADS[workload](bench)
    print(f"\n{table(bench.lines)}\n\nEvery figure is in {output}")


if __name__ == "__main__":
    main()
