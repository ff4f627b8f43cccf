"""What the programs leave out, and why.

- A merge of a `Ship` onto the row of a `Tanker` (`objects.Merge` takes the row's class): it is refused, and
  `test_forms` has it.
- A relationship with post_update of an object that is to be deleted (`objects.Point`): a KeyError of SQLAlchemy 2.1.9
  itself, without anything of ours.

What the judges cannot tell apart:

- numerics with more digits than their column has: SQLite keeps them, and gives back fewer;
- true and 1 in a JSON: Python takes them for equal.
"""

import re

from tests.changes.property.program import Round

_CONFLICTS = re.compile(r"Faulty\(|Replace\(kind='(Ship|Tanker|Tug)'")


def may_conflict(units: Round) -> bool:
    """Whether a unit of work may end in a conflict with itself: who catches a fault goes on with stale objects, and
    SQLAlchemy 2.1.9 sends the old version where a new object with a post_update takes over the row of a deleted one."""
    return any(_CONFLICTS.search(repr(unit)) for unit in units)
