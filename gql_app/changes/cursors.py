"""Cursors: where somebody stands in the change log, as clients keep it.

A cursor names an event by its position and by a mark, some characters of its change set. A log that was restored from a
backup gives positions out again; the mark tells its events from those that are gone. Before the marks a cursor was the
position alone: such a one still works, and says nothing about which log it is from.

In the midst of a snapshot a cursor names the entity, too, behind which the snapshot goes on (see `states`).
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

    `behind` is the entity that was the last one told of in a snapshot that begins here and is not complete.
    """

    position: int
    mark: str = ""
    behind: UUID | None = None

    def __str__(self) -> str:
        mark = f"-{self.mark}" if self.mark else ""
        return f"{self.position}{mark}" + ("" if self.behind is None else f"~{self.behind.hex}")

    @property
    def plain(self) -> "Cursor":
        """Where the snapshot begins."""
        return Cursor(self.position, self.mark)


BEGINNING = Cursor(0)


def mark_of(change_set: UUID) -> str:
    return change_set.hex[:MARK_LENGTH]


def parse_cursor(text: str, *, field: str = "after", snapshot: bool = False) -> Cursor:
    """What a cursor stands for. With ``snapshot`` it may be in the midst of one.

    Raises:
        Invalid: this was never a cursor.
    """
    found = _CURSOR.fullmatch(text)
    if found is not None and found[3] is not None and not snapshot:
        raise Invalid("That cursor is in the midst of a snapshot; it goes on with `snapshot: true`.", field=field)
    if found is None:
        raise Invalid("That is not a cursor of the change log; send one that an event carried.", field=field)
    return Cursor(int(found[1]), found[2] or "", None if found[3] is None else UUID(found[3]))
