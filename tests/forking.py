"""Processes that have nothing to import any more.

A start by the command line takes seconds, most of them for imports. A process that a fork server splits off from one
that has done them is as real, and so is its SIGKILL.
"""

import multiprocessing
import os
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.context import ForkServerContext
from pathlib import Path

PRELOADED = ["gql_app.__main__", "tests.commands.conftest", "tests.crash.breaking"]
"""For all rooms: there is one fork server in a process, and what it has loaded when it starts is all that it loads."""


def warm_starter() -> ForkServerContext:
    """A fork server that has done its imports: what follows starts at once."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    first = context.Process(target=_nothing)
    first.start()
    first.join()
    return context


def _nothing() -> None:
    pass


def become(directory: Path, environment: Mapping[str, str], arguments: Sequence[str], streams: Sequence[int]) -> None:
    """In the new process: take the place of `gql-app` with these arguments, here, with these standard streams."""
    for number, file in enumerate(streams):
        os.dup2(file, number)
    sys.stdin, sys.stdout, sys.stderr = (open(number, mode, buffering=1) for number, mode in enumerate("rww"))  # noqa: SIM115
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["gql-app", *arguments]
