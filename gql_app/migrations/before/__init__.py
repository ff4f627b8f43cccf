"""The one history that all tables had before verticals had their own: revisions 0001 to 0009, in Alembic's own table.

A database of that time is first brought to its end, and then taken over: from there on each vertical goes its own way.
"""

from pathlib import Path
from typing import Final

from sqlalchemy import Column, Connection, MetaData, String, Table, delete, insert, select

from gql_app.errors import ConfigurationError
from gql_app.migrations import steps
from gql_app.migrations.branches import ENGINE, OURS, Branch
from gql_app.migrations.steps import is_there

HISTORY: Final = Branch("before", Path(__file__).parent)
_OF_ALEMBIC = Table("alembic_version", MetaData(), Column("version_num", String(32), primary_key=True))
_A_TABLE_OF_OURS = "change_events"
_WENT_ON = {ENGINE.name: "0001", "accounts": "0001", "fuel_requests": "0001", "projects": "0001"}
"""The verticals that had their tables in that history, and the revision that says the same."""


def adopt(connection: Connection) -> None:
    """Take over a database of that time; any other is left alone.

    Raises:
        ConfigurationError: it has our tables and does not say at which revision.
    """
    if is_there(connection, steps.VERSIONS.name) or not is_there(connection, _A_TABLE_OF_OURS):
        return
    bring_to(connection, HISTORY.head)
    for vertical, revision in _WENT_ON.items():
        steps.note(connection, vertical, revision)
    _set(connection, None)


def hand_back(connection: Connection, revision: str | None) -> None:
    """Back to that time: to one of its revisions; None: without tables.

    Raises:
        ConfigurationError: there is no such revision, or no way back to it.
    """
    if revision is not None and revision not in [each.revision for each in HISTORY.scripts]:
        raise ConfigurationError(f"There was no revision {revision} before verticals had their own.")
    reached = steps.versions(connection)
    if reached:
        if missing := sorted(_WENT_ON.keys() - reached.keys()):
            raise ConfigurationError(
                f"This database never had the tables of {', '.join(missing)}: it was not one of that time."
            )
        for name, known in _WENT_ON.items():
            if reached[name] != known:
                steps.take_back(connection, ENGINE if name == ENGINE.name else Branch(name, OURS[name]), known)
        steps.VERSIONS.drop(connection)
        _set(connection, HISTORY.head)
    bring_to(connection, revision)


def bring_to(connection: Connection, revision: str | None) -> None:
    """Make an empty database, or one of that time, one of this revision; None: without tables."""
    known = [each.revision for each in HISTORY.scripts]
    reached = _revision(connection)
    if reached is None and is_there(connection, _A_TABLE_OF_OURS):
        raise ConfigurationError(
            f"The table {_A_TABLE_OF_OURS} is there, and neither gql_app_versions nor alembic_version says which "
            "version has made it: restore one of these, or use another database or schema."
        )
    done = known.index(reached) + 1 if reached is not None else 0
    wanted = known.index(revision) + 1 if revision is not None else 0
    steps.run(connection, HISTORY.scripts[done:wanted])
    steps.run(connection, HISTORY.scripts[wanted:done][::-1], back=True)
    _set(connection, revision)


def _revision(connection: Connection) -> str | None:
    """Another Alembic may have its own in the same table: only ours counts."""
    if not is_there(connection, _OF_ALEMBIC.name):
        return None
    known = {each.revision for each in HISTORY.scripts}
    return next((each for each in connection.scalars(select(_OF_ALEMBIC.c.version_num)) if each in known), None)


def _set(connection: Connection, revision: str | None) -> None:
    reached = _revision(connection)
    if reached is not None:
        connection.execute(delete(_OF_ALEMBIC).where(_OF_ALEMBIC.c.version_num == reached))
    if revision is not None:
        if not is_there(connection, _OF_ALEMBIC.name):
            _OF_ALEMBIC.create(connection, checkfirst=False)
        connection.execute(insert(_OF_ALEMBIC).values(version_num=revision))
    elif reached is not None and connection.execute(select(_OF_ALEMBIC)).first() is None:
        _OF_ALEMBIC.drop(connection)
