"""`python -m tests.changes.property --seconds 600 --seed 7`: random programs until the time is up.

Prints the seed of each program that fails, and the smallest program that fails like it. The exit code says whether all
is well.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from gql_app.db import Database
from tests import postgres
from tests.changes.property.generator import program as program_of
from tests.changes.property.program import Program, written
from tests.changes.property.running import run, site
from tests.changes.property.shrink import shrunk
from tests.ruling import service_database
from tests.witness import triggers
from tests.witness.witnessed import models_of_the_service

BATCH = 50
SHOWN = 6


@contextmanager
def database(backend: str) -> Iterator[str]:
    """The URL of a migrated database that is gone afterwards."""
    if backend == "postgres":
        with postgres.database() as url:
            triggers.install(url, models_of_the_service())
            yield url
        return
    with tempfile.TemporaryDirectory(prefix="property-") as directory:
        url = f"sqlite+aiosqlite:///{Path(directory) / 'property.db'}"
        asyncio.run(postgres.migrated(url))
        triggers.install(url, models_of_the_service())
        yield url


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    db = service_database(url)
    try:
        async with site(db):
            yield db
    finally:
        await db.close()


async def batches(url: str, seed: int, seconds: float, only: bool) -> tuple[Counter[str], list[int]]:
    """What became of all units of work, and the seeds of the programs that failed."""
    until, units, failed = time.monotonic() + seconds, Counter[str](), list[int]()
    async with opened(url) as db:
        while time.monotonic() < until:
            seeds = range(seed, seed + (1 if only else BATCH))
            report = await run(db, [program_of(each) for each in seeds])
            units += report.units
            if report.wrong:
                failed += await explained(db, seeds, report.wrong)
            if only:
                break
            seed = seeds.stop
    units["programs"] = seed
    return units, failed


async def explained(db: Database, seeds: range, wrong: list[str]) -> list[int]:
    """Find the programs that fail by themselves, and print what is left of each."""

    async def sentences(program: Program) -> list[str]:
        return (await run(db, [program])).wrong

    async def fails(program: Program) -> bool:
        return bool(await sentences(program))

    failed = [seed for seed in seeds if await fails(program_of(seed))]
    if not failed:
        print(f"FAILED together, and none of them alone: seeds {seeds.start} to {seeds.stop - 1}")
        print("\n".join(wrong[:SHOWN]), flush=True)
        return list(seeds)
    for seed in failed:
        small = await shrunk(program_of(seed), fails)
        print(f"FAILED: --only --seed {seed}\n{written(small)}")
        print("\n".join((await sentences(small) or wrong)[:SHOWN]), flush=True)
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.changes.property", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="for all databases together (default: 600)")
    parser.add_argument("--seed", type=int, default=0, help="of the first program (default: a new one)")
    parser.add_argument("--only", action="store_true", help="that one program and no others")
    parser.add_argument("--backend", choices=("sqlite", "postgres"), action="append", help="default: both")
    options = parser.parse_args()
    seed = options.seed or random.randrange(1, 10**9)
    backends = options.backend or ["sqlite", "postgres"]
    if "postgres" in backends and not postgres.is_there():
        print(f"PostgreSQL at {postgres.URL} must run, or use --backend sqlite.", file=sys.stderr)
        return 2
    warnings.simplefilter("ignore")  # SQLAlchemy warns of what the programs do on purpose
    print(f"seed        {seed}", flush=True)
    failed: list[int] = []
    for backend in backends:
        with database(backend) as url:
            units, found = asyncio.run(batches(url, seed, options.seconds / len(backends), options.only))
        programs = units.pop("programs") - seed
        print(f"{backend:<12}{programs} programs: " + ", ".join(f"{n} {end}" for end, n in units.most_common()))
        failed += found
    print(f"{len(failed)} programs failed: {failed}" if failed else "The log says of each program what happened.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
