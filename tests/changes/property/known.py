"""What the programs leave out, and why. What the product does wrong has a test in `test_known` beside it.

- A `ROLLBACK TO SAVEPOINT` that fails (`frames.Faulty` does not count it): see
  `test_a_flush_and_the_rollback_of_its_savepoint_both_fail`.
- An owner that changes alone (`generator` gives a `captain` to new rows only): see
  `test_an_owner_that_changes_after_what_is_recorded_is_the_owner_of_the_event`.
- Several rows of a table that are deleted in one flush while another transaction changes one of them, on PostgreSQL
  (`deletes_many` units do not run beside others there): see `test_a_row_that_another_has_changed_is_not_said_deleted`.
- A savepoint of the connection that is rolled back with open savepoints of the session in it (`generator` nests no
  others there). The session's rollback fails then and its transaction stays open: on SQLite all units of work fail from
  then on, on PostgreSQL the connection keeps its locks. It has no test, as it takes the test's process with it.
- A merge of a `Ship` onto the row of a `Tanker` (`objects.Merge` takes the row's class): SQLAlchemy writes another
  discriminator, with a warning.
- A relationship with post_update of an object that is to be deleted (`objects.Point`): a KeyError of SQLAlchemy 2.1.9
  itself, without anything of ours.

What the judges cannot tell apart:

- numerics with more digits than their column has: SQLite keeps them, and gives back fewer;
- true and 1 in a JSON: Python takes them for equal.
"""

import re

from tests.changes.property.program import Round

_DELETES = re.compile(r"\b(Delete|Replace|Orphan|Load|Rename)\(")


def deletes_many(units: Round) -> bool:
    """Whether a unit of work may delete several rows, by itself or by cascades."""
    return any(_DELETES.search(repr(unit)) for unit in units)
