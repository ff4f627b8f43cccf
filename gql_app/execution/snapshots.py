"""Telling the present state before the changes."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gql_app.api.context import Context
from gql_app.changes.cursors import Cursor
from gql_app.changes.scope import Interest
from gql_app.changes.states import Row, State, StateEvent
from gql_app.execution.answers import Answer
from gql_app.viewer import Viewer

PAGE = 50
"""Entities per read. They are read again after any change."""
TRIES = 4
"""Reads per entity under constant changes. After the last one it is told even if something has changed since."""

Extensions = Mapping[str, Any]


class Step(NamedTuple):
    event: StateEvent
    extensions: Extensions
    is_last: bool


class Snapshot:
    """The rest of a snapshot.

    Must hold: it tells all entities that the subscriber may see, and no others. So it begins anew when the subscriber's
    interest changes.
    """

    def __init__(self, state: State, begin: Cursor) -> None:
        self._state = state
        self._begin = begin.plain
        self._behind = begin.behind
        self._is_empty = begin.behind is None
        self._rows: Sequence[Row] = ()
        self._interest: Interest | None = None
        self._read_at = -1
        self._tries = 0

    async def step(self, context: Context, viewer: Viewer, interest: Interest) -> Step | None:
        """The next entity; None: there are no more. Returns the same one until `told` is called."""
        if self._interest is not None and self._interest is not interest:
            self._rows, self._behind = (), None  # entities that were passed may be visible now
        if len(self._rows) < 2 or self._read_at != context.feed.position:
            self._read_at = context.feed.position
            self._rows = await context.read(self._state.page, viewer, self._behind, PAGE)
        self._interest = interest
        if not self._rows:
            return None
        row, is_last = self._rows[0], len(self._rows) == 1
        at = self._begin if is_last else self._begin._replace(behind=row.entity_id)
        return Step(self._state.event(row, at), self._said(last=is_last), is_last)

    def is_outdated(self, context: Context) -> bool:
        """Whether anything has changed since the entity was read: it may be gone. False after `TRIES` reads."""
        self._tries += 1
        return self._read_at != context.feed.position and self._tries < TRIES

    def told(self, step: Step) -> None:
        self._behind, self._rows, self._is_empty = step.event.entity_id, self._rows[1:], False
        self._tries = 0

    def end(self) -> Answer:
        """Says that the snapshot is complete, if no entity could say so."""
        said = self._said(last=True, **({"empty": True} if self._is_empty else {}))
        return Answer.without_data(said, cursor=str(self._begin))

    def _said(self, *, last: bool, **more: bool) -> Extensions:
        position = {"position": str(self._begin)} if last else {}
        return {"snapshot": {"last": last, **more, **position}}
