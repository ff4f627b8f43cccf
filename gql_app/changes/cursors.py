"""Cursors: where somebody stands in the change log, as clients keep it.

A cursor names an event by its position and by a mark, some characters of its change set. A log that was restored from a
backup gives positions out again; the mark tells its events from those that are gone. Before the marks a cursor was the
position alone: such a one still works, and says nothing about which log it is from.

A cursor of an incomplete snapshot also names the entity behind which the snapshot continues (see `states`).
"""

import re
from typing import NamedTuple
from uuid import UUID

from gql_app.errors import Invalid

MARK_LENGTH = 6
"""Hexadecimal digits: of a million cursors to events that are gone, no more than one in seventeen is taken for good."""
_CURSOR = re.compile(rf"([0-9]{{1,18}})(?:-([0-9a-f]{{{MARK_LENGTH}}}))?(?:~([0-9a-f]{{32}}))?", re.ASCII)


class Cursor(NamedTuple):
    """The event at this position; `mark` is empty where it is not known, as before the first event.

    `behind` is the last entity that an incomplete snapshot has told of; None: there is no snapshot.
    """

    position: int
    mark: str = ""
    behind: UUID | None = None

    def __str__(self) -> str:
        mark = f"-{self.mark}" if self.mark else ""
        return f"{self.position}{mark}" + ("" if self.behind is None else f"~{self.behind.hex}")

    @property
    def plain(self) -> "Cursor":
        """The same without `behind`: the position from which changes follow."""
        return Cursor(self.position, self.mark)


BEGINNING = Cursor(0)


def mark_of(change_set: UUID) -> str:
    return change_set.hex[:MARK_LENGTH]


def parse_cursor(text: str, *, field: str = "after", snapshot: bool = False) -> Cursor:
    """Parse a cursor. With ``snapshot`` it may be one of an incomplete snapshot.

    Raises:
        Invalid: this was never a cursor.
    """
    found = _CURSOR.fullmatch(text)
    if found is not None and found[3] is not None and not snapshot:
        raise Invalid("This cursor belongs to an incomplete snapshot: pass `snapshot: true`.", field=field)
    if found is None:
        raise Invalid("That is not a cursor of the change log; send one that an event carried.", field=field)
    return Cursor(int(found[1]), found[2] or "", None if found[3] is None else UUID(found[3]))
