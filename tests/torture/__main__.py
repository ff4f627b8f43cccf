"""`python -m tests.torture --seconds 600 --seed 7`: prints the summary; the exit code says whether all is well."""

import argparse
import asyncio
import random
import sys
import tempfile
from pathlib import Path

from gql_app.changes.tracking import tracked_models
from tests import postgres
from tests.conftest import REDIS_URL, redis_is_there
from tests.ruling import service_database
from tests.torture.plan import Plan
from tests.torture.run import Outcome, torture
from tests.witness import triggers

PRINTED = 40
"""Violations that are printed in full."""


async def run(url: str, plan: Plan, directory: Path) -> Outcome:
    db = service_database(url)
    try:
        return await torture(db, REDIS_URL, plan, directory)
    finally:
        await db.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="of chaos (default: 600)")
    parser.add_argument("--seed", type=int, default=0, help="repeats the random choices (default: a new one)")
    parser.add_argument("--logs", type=Path, help="a new directory for them (default: a temporary one)")
    options = parser.parse_args()
    if not (postgres.is_there() and redis_is_there()):
        print(f"PostgreSQL at {postgres.URL} and Redis at {REDIS_URL} must run.", file=sys.stderr)
        return 2
    plan = Plan(seconds=options.seconds, seed=options.seed or random.randrange(1, 10**6))
    directory = options.logs or Path(tempfile.mkdtemp(prefix="torture-"))
    directory.mkdir(parents=True, exist_ok=options.logs is None)
    print(f"seed        {plan.seed}\nlogs        {directory}", flush=True)
    with postgres.database() as url:
        triggers.install(url, tracked_models())
        outcome = asyncio.run(run(url, plan, directory.resolve()))
    print(outcome.summary)
    for violation in outcome.violations[:PRINTED]:
        print(f"VIOLATED: {violation}")
    count = len(outcome.violations)
    print(f"{count} violations" if count else "All promises were kept.")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
