"""The triggers on PostgreSQL.

Must hold: they note nothing that a statement of the service does, whose transactions say `gql_app.inside`. What the
database does because of it (a foreign key, somebody's trigger) happens one trigger deep, and is noted.

The functions have the rights of who installs them: whoever may write a table need not be able to write the images.
"""

import json
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, text

from gql_app.outside.sqlite import CHANGED, SET
from gql_app.outside.tables import Watched, base_of

INSIDE = "gql_app.inside"
ROW, EMPTIED, VERSION, BASE = (f"gql_app_capture_{name}" for name in ("row", "emptied", "version", "base"))
_OUTSIDE = f"current_setting('{INSIDE}', true) IS DISTINCT FROM 'on' OR pg_trigger_depth() > 0"

_SCHEMA = text("SELECT quote_ident(current_schema())")
_PICK = """
    CREATE OR REPLACE FUNCTION gql_app_capture_pick(whole jsonb, before jsonb, names jsonb, secrets jsonb)
    RETURNS text LANGUAGE sql IMMUTABLE SET search_path = {schema}, pg_temp AS $body$
      SELECT CASE WHEN whole IS NULL THEN NULL ELSE (
        coalesce((SELECT jsonb_object_agg(key, value) FROM jsonb_each(whole) WHERE names ? key), '{{}}')
        || coalesce((SELECT jsonb_object_agg('*' || key, CASE
             WHEN value = 'null' THEN 'null'
             WHEN before IS NOT NULL AND before -> key <> value THEN to_jsonb('{changed}'::text)
             ELSE to_jsonb('{set}'::text) END) FROM jsonb_each(whole) WHERE secrets ? key), '{{}}'))::text END
    $body$"""
_ROW = """
    CREATE OR REPLACE FUNCTION {row}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = {schema}, pg_temp AS $body$
    DECLARE
      names jsonb := TG_ARGV[0];
      secrets jsonb := TG_ARGV[1];
      was jsonb;
      becomes jsonb;
      old_row text;
      new_row text;
    BEGIN
      IF TG_OP <> 'INSERT' THEN was := to_jsonb(OLD); END IF;
      IF TG_OP <> 'DELETE' THEN becomes := to_jsonb(NEW); END IF;
      old_row := gql_app_capture_pick(was, NULL, names, secrets);
      new_row := gql_app_capture_pick(becomes, was, names, secrets);
      IF old_row IS DISTINCT FROM new_row THEN
        INSERT INTO change_images (tx, table_name, op, old, new)
        VALUES (pg_current_xact_id()::text, TG_ARGV[2], TG_OP, old_row, new_row);
      END IF;
      RETURN NULL;
    END $body$"""
_EMPTIED = """
    CREATE OR REPLACE FUNCTION {emptied}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = {schema}, pg_temp AS $body$
    BEGIN
      EXECUTE format('INSERT INTO change_images (tx, table_name, op, old) SELECT pg_current_xact_id()::text, %L, '
        '''DELETE'', gql_app_capture_pick(to_jsonb(emptied), NULL, %L::jsonb, %L::jsonb) FROM %I.%I AS emptied',
        TG_ARGV[2], TG_ARGV[0], TG_ARGV[1], TG_TABLE_SCHEMA, TG_TABLE_NAME);
      RETURN NULL;
    END $body$"""
_VERSION = """
    CREATE OR REPLACE FUNCTION {version}() RETURNS trigger LANGUAGE plpgsql AS $body$
    BEGIN
      IF NEW.version = OLD.version THEN NEW.version := OLD.version + 1; END IF;
      RETURN NEW;
    END $body$"""
_BASE = """
    CREATE OR REPLACE FUNCTION {base}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = {schema}, pg_temp AS $body$
    DECLARE
      mine text[] := TG_ARGV[1]::text[];
      theirs text[] := TG_ARGV[2]::text[];
      becomes jsonb := to_jsonb(NEW);
      same text := '';
    BEGIN
      FOR n IN 1 .. array_length(mine, 1) LOOP
        same := same || CASE n WHEN 1 THEN '' ELSE ' AND ' END || format('%I = %L', mine[n], becomes ->> theirs[n]);
      END LOOP;
      EXECUTE format('UPDATE %I SET version = version + 1 WHERE ', TG_ARGV[0]) || same;
      RETURN NULL;
    END $body$"""


def install(connection: Connection, watched: Sequence[Watched]) -> None:
    remove(connection)
    schema = connection.execute(_SCHEMA).scalar_one()
    names = {"row": ROW, "emptied": EMPTIED, "version": VERSION, "base": BASE}
    for function in (_PICK, _ROW, _EMPTIED, _VERSION, _BASE):
        connection.exec_driver_sql(function.format(schema=schema, changed=CHANGED, set=SET, **names))
    for each in watched:
        _watch(connection, each)


def remove(connection: Connection) -> None:
    """The functions, and with them their triggers."""
    functions = ", ".join((ROW, EMPTIED, VERSION, BASE, "gql_app_capture_pick"))
    connection.exec_driver_sql(f"DROP FUNCTION IF EXISTS {functions} CASCADE")


def _watch(connection: Connection, watched: Watched) -> None:
    quote = connection.dialect.identifier_preparer
    table, base = quote.format_table(watched.table), base_of(watched.root)
    names = _literal(json.dumps([each.name for each in watched.columns]))
    secrets = _literal(json.dumps([each.name for each in watched.secrets]))
    known_as = _literal(watched.table.fullname)
    make = connection.exec_driver_sql
    make(
        f"CREATE TRIGGER {ROW} AFTER INSERT OR UPDATE OR DELETE ON {table} FOR EACH ROW WHEN ({_OUTSIDE}) "
        f"EXECUTE FUNCTION {ROW}({names}, {secrets}, {known_as})"
    )
    make(
        f"CREATE TRIGGER {EMPTIED} BEFORE TRUNCATE ON {table} FOR EACH STATEMENT WHEN ({_OUTSIDE}) "
        f"EXECUTE FUNCTION {EMPTIED}({names}, {secrets}, {known_as})"
    )
    if watched.is_base:
        make(
            f"CREATE TRIGGER {VERSION} BEFORE UPDATE ON {table} FOR EACH ROW WHEN ({_OUTSIDE}) "
            f"EXECUTE FUNCTION {VERSION}()"
        )
    else:
        mine, theirs = _array(each.name for each in base.primary_key), _array(each.name for each in watched.key)
        make(
            f"CREATE TRIGGER {BASE} AFTER UPDATE ON {table} FOR EACH ROW WHEN ({_OUTSIDE}) "
            f"EXECUTE FUNCTION {BASE}({_literal(base.name)}, {mine}, {theirs})"
        )


def _array(names: Iterable[str]) -> str:
    quoted = ",".join('"' + each.replace("\\", "\\\\").replace('"', '\\"') + '"' for each in names)
    return _literal("{" + quoted + "}")


def _literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
