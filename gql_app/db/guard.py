"""The guard at the driver's cursor: nobody writes a protected table without having said so.

Must hold: a statement that may write a protected table runs only if whoever records its changes has announced it. So
it stands behind everything that makes statements: the ORM, Core, texts, bare connections, other mappings of a table.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, Protocol

from sqlalchemy import Engine, event
from sqlalchemy.orm import Mapper
from sqlalchemy.orm.exc import StaleDataError
from sqlalchemy.sql.elements import ReleaseSavepointClause, RollbackToSavepointClause, SavepointClause

from gql_app.db.statements import NOTHING, UNREADABLE, Writes, writes

ANNOUNCED: Final[Mapping[str, Any]] = {"gql_app_announced": True}
"""Execution options of a statement whose changes are recorded by whoever executes it."""


def announcing(table: str) -> Mapping[str, Any]:
    """The same for a statement that was made by others: what it writes besides this table is looked at."""
    return {"gql_app_announced": frozenset({table.lower()})}


WRITER: Final[Mapping[str, Any]] = {"gql_app_access": "write"}
"""Execution options of the connections of units of work that write."""
READER: Final[Mapping[str, Any]] = {"gql_app_access": "read"}
"""… of those that only read."""
MIGRATION: Final[Mapping[str, Any]] = {"gql_app_access": "migration"}
"""… of migrations, which nothing records."""

FOLLOWER: Final = "gql_app_follower"
"""Where a connection's ``info`` holds who records the changes of its transaction."""

_MOST_TEXTS = 2_000
_MOST_CHARACTERS = 8_000_000
_SAVEPOINTS = (SavepointClause, RollbackToSavepointClause, ReleaseSavepointClause)
_LONGEST_TEXT = 100_000
"""Characters; longer texts, which nobody repeats, are read each time."""


class UntrackedWrite(TypeError):
    """A statement would change a tracked model without a trace in the change log."""


class ReadOnly(TypeError):
    """A unit of work that was opened to read would change something."""


class Follower(Protocol):
    """Records the changes of a transaction: true while something is not recorded yet."""

    @property
    def flushing(self) -> bool: ...
    def flush_begins(self) -> None: ...
    def __bool__(self) -> bool: ...
    def opened(self, savepoint: str) -> None: ...
    def released(self, savepoint: str) -> None: ...
    def rolled_back(self, savepoint: str) -> None: ...


class Guard:
    """Knows the protected tables, and the statements that the ORM's own unit of work makes for them."""

    def __init__(self) -> None:
        self._tables: dict[str, str] = {}
        self._mappers: list[Mapper[Any]] = []
        self._caches: dict[int, tuple[object, bool]] = {}
        self._read: dict[str, Writes] = {}
        self._characters = 0

    def protect(self, mapper: Mapper[Any]) -> None:
        """Refuse what writes the tables of this class, but for the flushes of write sessions."""
        for table in mapper.tables:
            self._tables.setdefault(table.name.lower(), mapper.class_.__name__)
        self._mappers.append(mapper.base_mapper)

    def watch(self, engine: Engine) -> None:
        """Look at every statement of this engine, and tell of its savepoints."""
        # The dialect's own events: those of connections cost as much again, as SQLAlchemy prepares all of them then.
        event.listen(engine, "do_execute", self._look)
        event.listen(engine, "do_executemany", self._look)
        event.listen(engine, "do_execute_no_params", self._look_without_parameters)
        dialect: Any = engine.dialect
        dialect.do_commit = _commit_if_nothing_is_unsaid(dialect.do_commit)

    def _look_without_parameters(self, cursor: object, text: str, context: Any) -> bool:
        return self._look(cursor, text, (), context)

    def _look(self, cursor: object, text: str, parameters: object, context: Any) -> bool:
        """True: it is executed already."""
        found = self._read.get(text)
        if found is NOTHING:
            return False
        options = context.execution_options
        announced = options.get("gql_app_announced")
        if announced is True:
            return False
        access = options.get("gql_app_access")
        if access == "write" and "compiled_cache" in options and self._is_flush(context):
            return context.isdelete and not context.executemany and _delete_one(cursor, text, parameters, context)
        if found is None:
            found = self._learn(text)
        if found is NOTHING or access == "migration":
            return False
        if found.transaction and access is not None:
            _execute_savepoint(cursor, text, parameters, context)
            return True
        self._judge(found, access, announced or ())
        return False

    def _is_flush(self, context: Any) -> bool:
        """Whether a session that records is flushing, and this is a statement of its mappers: they use a cache of
        compiled statements of their own."""
        follower: Follower | None = context.root_connection.info.get(FOLLOWER)
        if follower is None or not follower.flushing or not self._is_ours(context.execution_options["compiled_cache"]):
            return False
        follower.flush_begins()
        return True

    def _is_ours(self, cache: object) -> bool:
        known = self._caches.get(id(cache))
        if known is None:  # mappers make another one when they are configured anew
            ours = any(cache is mapper._compiled_cache for mapper in self._mappers)
            known = self._caches[id(cache)] = (cache, ours)  # held, or its id would be given out again
        return known[1]

    def _learn(self, text: str) -> Writes:
        found = writes(text)
        if len(text) <= _LONGEST_TEXT:
            self._characters += len(text)
            if len(self._read) >= _MOST_TEXTS or self._characters > _MOST_CHARACTERS:
                self._read.clear()
                self._characters = len(text)
            self._read[text] = found
        return found

    def _judge(self, found: Writes, access: str | None, announced: Collection[str]) -> None:
        if access == "read" and (found.tables or found.schema or found.setting):
            raise ReadOnly("this unit of work was opened by Database.read; use Database.write to change something")
        named = [table for table in self._tables if table in found.mentions] if found.mentions else []
        suspect = found.tables.union(named).difference(announced).union(found.twice)
        for table in sorted(suspect, key=lambda name: (name == UNREADABLE, name)):
            if table == UNREADABLE:
                raise UntrackedWrite(
                    "it cannot be told which table this statement writes; use a plain name and no CASCADE, as it might "
                    "be one whose changes belong into the change log"
                )
            if (model := self._tables.get(table)) is not None:
                raise UntrackedWrite(
                    f"this statement writes {table}, and its changes would be missing in the change log: use the unit "
                    f"of work, or update({model}) or delete({model})"
                )


def _delete_one(cursor: Any, text: str, parameters: object, context: Any) -> bool:
    """A flush deletes a row of this version. SQLAlchemy 2.1 looks at the counts of several such statements only where
    they are executed as one, which asyncpg cannot count (`_emit_delete_statements` of its orm/persistence.py)."""
    context.dialect.do_execute(cursor, text, parameters, context)
    if cursor.rowcount == 0:
        raise StaleDataError("a row that was to be deleted has been changed or deleted by another transaction")
    return True


def _commit_if_nothing_is_unsaid(commit: Callable[[Any], None]) -> Callable[[Any], None]:
    """There is no event before a commit that a connection makes by itself, past the session's."""

    def commit_if(connection: Any) -> None:
        if connection.info.get(FOLLOWER):
            raise TypeError("changes are not recorded yet: the session commits them, not its connection")
        commit(connection)

    return commit_if


def _execute_savepoint(cursor: object, text: str, parameters: object, context: Any) -> None:
    """Execute it, and tell of it once that has succeeded: what could not be rolled back is still there."""
    statement = getattr(context.compiled, "statement", None)
    if not isinstance(statement, _SAVEPOINTS):
        raise TypeError(
            "this statement would begin or end a transaction behind the session's back: use session.begin_nested(), "
            "or raise an exception to roll everything back"
        )
    context.dialect.do_execute(cursor, text, parameters, context)
    follower: Follower | None = context.root_connection.info.get(FOLLOWER)
    if follower is None:
        return
    if isinstance(statement, RollbackToSavepointClause):
        follower.rolled_back(statement.ident)
    elif isinstance(statement, ReleaseSavepointClause):
        follower.released(statement.ident)
    else:
        follower.opened(statement.ident)


guard: Final = Guard()
"""The one of this process: every `Database` has it look at its engines."""
