"""Writes `docs/check.md`: python -m tests.reconcile.table > docs/check.md"""

from collections.abc import Iterator
from pathlib import Path

from gql_app.reconcile.findings import MEANINGS
from tests.reconcile.damages import DAMAGES, ROOMS, SEQUENCE

PATH = Path(__file__).resolve().parents[2] / "docs" / "check.md"

INTRODUCTION = """\
# What `gql-app check` finds

`gql-app check` reads one snapshot of the database, changes nothing, and compares three things: the rows, the change
log, and the messages. It may run beside a busy server. It prints what must never be, and exits with 1 if there is
anything.

On PostgreSQL it first gives positions to what is in the outbox, as every process does. Where that cannot be done,
because the sequencers' lock is held for seconds or the database is read-only, it says so and checks these entries
where they are.

This page is made from the tests (`python -m tests.reconcile.table > docs/check.md`). Each damage below is done on
purpose, on SQLite and on PostgreSQL, and must be found under the name beside it.

## Names
"""
QUIET = """\
## What it does not complain about

- Rows that are older than the tracking of their model or attribute (the table `tracked_since`), and what processes of
  the version before write in the hour after an update.
- Chains that begin in the middle after `gql-app prune`, and messages that had ended before the moment up to which they
  were pruned.
- Changes without decisions: an older version wrote or moved them. Then only a message without any event, and two equal
  messages, are found.
- Attributes and entity types that a later version does not have any more.
- Messages that wait behind an older one to the same recipient, and channels on which an attempt was begun in the last
  ten minutes: a busy one, or one that is paused and tries a message every minute.

## What it cannot find

- A change that was made in the row and in the log alike, and a wrong value of a column that is not tracked.
- A decision that was removed altogether: nobody can tell it from one of an older version.
- A change to a secret attribute, as long as the log tells of some value.
"""


def lines() -> Iterator[str]:
    yield INTRODUCTION
    yield "| finding | what it means |\n|---|---|"
    yield from (f"| `{name}` | {meaning} |" for name, meaning in MEANINGS.items())
    for room in ROOMS:
        yield f"\n## {room}\n\n| damage | found as |\n|---|---|"
        yield from (f"| {each.title} | `{each.found_as}` |" for each in [*DAMAGES, SEQUENCE] if each.room == room)
    yield "\n" + QUIET.rstrip()


def page() -> str:
    return "\n".join(lines()) + "\n"


if __name__ == "__main__":
    print(page(), end="")
