"""The triggers on PostgreSQL.

Must hold: they note nothing that a statement of the service does, whose transactions say `gql_app.inside`. What the
database does because of it (a foreign key, somebody's trigger) happens one trigger deep, and is noted. A transaction
that writes into the outbox is the service's, also if it does not say so (an older version's): nothing of it is kept.

An image holds each value as text, as PostgreSQL reads it back. The functions have the rights of who installs them, so
that whoever may write a table need not be able to write the images; they look up names in pg_catalog alone.
"""

from collections.abc import Iterable, Iterator, Sequence

from sqlalchemy import Connection, text

from gql_app.migrations import TRIGGERS
from gql_app.outside.tables import BASE_ROW, CHANGED, SET, Watched

INSIDE = "gql_app.inside"
_SAYS_INSIDE = f"current_setting('{INSIDE}', true) IS NOT DISTINCT FROM 'on'"
_OUTSIDE = f"NOT {_SAYS_INSIDE} OR pg_trigger_depth() > 0"
_AT_ONCE = 40
"""Columns in one jsonb_build_object: a function takes 100 arguments."""

_SCHEMA = text("SELECT quote_ident(current_schema())")
_MADE = text(
    "SELECT p.oid::regprocedure::text FROM pg_proc AS p WHERE pronamespace = current_schema()::regnamespace "
    "AND starts_with(proname, :prefix)"
)
# The function's settings are those by which texts are read back, whatever the writer's are.
_FUNCTION = """
    CREATE FUNCTION {schema}.{name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET extra_float_digits = 1 SET DateStyle = 'ISO' SET IntervalStyle = 'postgres'
    AS $gql_app${body}$gql_app$"""
_ROW = """
    DECLARE
      was jsonb;
      becomes jsonb;
    BEGIN
      IF TG_OP <> 'INSERT' THEN was := {old}; END IF;
      IF TG_OP <> 'DELETE' THEN becomes := {new}; END IF;
      IF TG_OP = 'UPDATE' THEN becomes := becomes || {changed}; END IF;
      IF was IS DISTINCT FROM becomes THEN
        INSERT INTO {schema}.change_images (tx, table_name, op, old, new)
        VALUES (pg_current_xact_id()::text, {known_as}, TG_OP, was::text, becomes::text);
        {next_version}
      END IF;
      RETURN NULL;
    END """
_EMPTIED = """
    BEGIN
      IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'TRUNCATE in a transaction that is not READ COMMITTED cannot be noted: use DELETE';
      END IF;
      INSERT INTO {schema}.change_images (tx, table_name, op, old)
      SELECT pg_current_xact_id()::text, {known_as}, 'DELETE', ({row})::text FROM {table} AS emptied;
      RETURN NULL;
    END """
_VERSION = """
    BEGIN
      IF NEW.version = OLD.version THEN NEW.version := OLD.version + 1; END IF;
      RETURN NEW;
    END """
_OUTBOX = """
    BEGIN
      DELETE FROM {schema}.change_images WHERE tx = pg_current_xact_id()::text;
      RETURN NULL;
    END """


def install(connection: Connection, watched: Sequence[Watched]) -> None:
    remove(connection)
    schema = connection.execute(_SCHEMA).scalar_one()
    for number, each in enumerate(watched, 1):
        for statement in _Table(connection, schema, each, number).statements():
            connection.exec_driver_sql(statement)
    name = f"{TRIGGERS}outbox"
    connection.exec_driver_sql(_FUNCTION.format(schema=schema, name=name, body=_OUTBOX.format(schema=schema)))
    connection.exec_driver_sql(
        f"CREATE TRIGGER {name} AFTER INSERT ON change_outbox FOR EACH STATEMENT WHEN (NOT {_SAYS_INSIDE}) "
        f"EXECUTE FUNCTION {schema}.{name}()"
    )


def remove(connection: Connection) -> None:
    """The functions, and with them their triggers."""
    if made := connection.execute(_MADE, {"prefix": TRIGGERS}).scalars().all():
        connection.exec_driver_sql(f"DROP FUNCTION {', '.join(made)} CASCADE")


def is_installed(connection: Connection) -> bool:
    return connection.execute(_MADE, {"prefix": TRIGGERS}).first() is not None


class _Table:
    """The functions and triggers of one table."""

    def __init__(self, connection: Connection, schema: str, watched: Watched, number: int) -> None:
        self._quote = connection.dialect.identifier_preparer.quote
        self._format_table = connection.dialect.identifier_preparer.format_table
        self._schema = schema
        self._watched = watched
        self._number = number

    def _named(self, watched: Watched) -> str:
        table = self._format_table(watched.table)
        return table if watched.table.schema else f"{self._schema}.{table}"

    def statements(self) -> Iterator[str]:
        watched, table = self._watched, self._format_table(self._watched.table)
        known_as = _literal(watched.table.fullname)
        given = {"schema": self._schema, "known_as": known_as}
        row = _ROW.format(
            old=self._image("OLD"),
            new=self._image("NEW"),
            changed=self._changed_secrets(),
            next_version="" if watched.is_base else self._next_version(),
            **given,
        )
        emptied = _EMPTIED.format(row=self._image("emptied"), table=self._named(watched), **given)
        each = f"FOR EACH ROW WHEN ({_OUTSIDE})"
        yield from self._made("row", row, f"AFTER INSERT OR UPDATE OR DELETE ON {table} {each}")
        of_all = f"FOR EACH STATEMENT WHEN ({_OUTSIDE})"
        yield from self._made("emptied", emptied, f"BEFORE TRUNCATE ON {table} {of_all}")
        if watched.is_base:
            when = f"FOR EACH ROW WHEN (NOT {_SAYS_INSIDE})"
            yield from self._made("version", _VERSION, f"BEFORE UPDATE ON {table} {when}")

    def _made(self, what: str, body: str, event: str) -> Iterator[str]:
        name = f"{TRIGGERS}{self._number}_{what}"
        yield _FUNCTION.format(schema=self._schema, name=name, body=body)
        yield f"CREATE TRIGGER {name} {event} EXECUTE FUNCTION {self._schema}.{name}()"

    def _image(self, side: str) -> str:
        pairs = [(each.name, f"{side}.{self._quote(each.name)}::text") for each in self._watched.columns]
        for each in self._watched.secrets:
            there = f"{side}.{self._quote(each.name)} IS NOT NULL"
            pairs.append((f"*{each.name}", f"CASE WHEN {there} THEN '{SET}' END"))
        if not self._watched.is_base:
            pairs.append((BASE_ROW, self._base_row(side)))
        return _object(pairs)

    def _base_row(self, side: str) -> str:
        base = self._watched.base
        made = _object([(each.name, f"base.{self._quote(each.name)}::text") for each in base.columns])
        return f"(SELECT {made} FROM {self._named(base)} AS base WHERE {self._same(side)})"  # noqa: S608  (names of mapped columns, quoted)

    def _same(self, side: str) -> str:
        pairs = zip(self._watched.base.key, self._watched.key, strict=True)
        return " AND ".join(
            f"base.{self._quote(mine.name)} = {side}.{self._quote(theirs.name)}" for mine, theirs in pairs
        )

    def _changed_secrets(self) -> str:
        pairs: list[tuple[str, str]] = []
        for each in self._watched.secrets:
            old, new = (f"{side}.{self._quote(each.name)}" for side in ("OLD", "NEW"))
            mark = f"CASE WHEN {new} IS NULL THEN NULL WHEN {old} IS NOT DISTINCT FROM {new} OR {old} IS NULL "
            pairs.append((f"*{each.name}", f"{mark}THEN '{SET}' ELSE '{CHANGED}' END"))
        return _object(pairs)

    def _next_version(self) -> str:
        """Another transaction that has read the entity will find it changed, and is run again."""
        change = f"UPDATE {self._named(self._watched.base)} AS base SET version = version + 1"  # noqa: S608  (as above)
        return f"IF TG_OP = 'UPDATE' AND NOT {_SAYS_INSIDE} THEN {change} WHERE {self._same('NEW')}; END IF;"


def _object(pairs: Sequence[tuple[str, str]]) -> str:
    if not pairs:
        return "'{}'::jsonb"
    parts = (pairs[at : at + _AT_ONCE] for at in range(0, len(pairs), _AT_ONCE))
    return " || ".join(f"jsonb_build_object({', '.join(_flat(part))})" for part in parts)


def _flat(pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    for name, value in pairs:
        yield f"{_literal(name)}::text"
        yield value


def _literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
