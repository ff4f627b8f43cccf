"""What a statement's text says that it writes."""

import pytest

from gql_app.db.statements import NOTHING, UNREADABLE, writes

WRITES = {
    "UPDATE [boats] SET id = 1": "boats",
    "INSERT INTO boats (id) VALUES (1)": "boats",
    "insert or ignore into boats values (1)": "boats",
    "REPLACE INTO boats VALUES (1)": "boats",
    "UPDATE boats SET id = 1": "boats",
    "UPDATE OR REPLACE boats SET id = 1": "boats",
    "UPDATE ONLY (boats) SET id = 1": "boats",
    "UPDATE/**/boats SET id = 1": "boats",
    "UPDATE -- why\n boats SET id = 1": "boats",
    "/* nested /* comments */ UPDATE boats SET id = 1": "boats",
    'UPDATE "boats" AS b SET id = 1': "boats",
    'UPDATE "public"."Boats" SET id = 1': "boats",
    "UPDATE public . boats SET id = 1": "boats",
    'UPDATE "bo""ats" SET id = 1': 'bo"ats',
    "DELETE FROM ONLY boats *": "boats",
    "WITH x AS (SELECT 1) DELETE FROM boats USING x": "boats",
    "WITH x AS (SELECT 1), y AS (WITH z AS (UPDATE boats SET id = 1 RETURNING 1) SELECT * FROM z) SELECT 1": "boats",
    "EXPLAIN ANALYZE UPDATE boats SET id = 1": "boats",
    "MERGE INTO boats USING x ON true WHEN MATCHED THEN DELETE": "boats",
    "TRUNCATE TABLE ONLY quays, boats": "boats quays",
    "TRUNCATE harbours, quays CASCADE": "harbours quays ?",
    "DROP TABLE harbours CASCADE": "harbours ?",
    "DROP SCHEMA harbours CASCADE": "?",
    "COPY boats (id) FROM STDIN": "boats",
    "COPY BINARY boats FROM STDIN": "boats",
    "DO 'BEGIN UPDATE bo'\n'ats SET id = 1; END'": "? bo",
    "DO E'BEGIN UPDATE bo\\x61ts SET id = 1; END'": "? bo",
    "DROP TABLE IF EXISTS boats, quays": "boats quays",
    "ALTER TABLE boats ADD COLUMN x int": "boats",
    "DO $$ BEGIN UPDATE boats SET id = 1; END $$": "boats",
    "DO $x$ BEGIN EXECUTE 'UPDATE boats SET id = 1'; END $x$": "boats ?",
    "DO $x$ BEGIN EXECUTE 'UPDATE ' || 'boats'; END $x$": "?",
    "UPDATE 'boats' SET id = 1": "boats",
    "UPDATE main.'boats' SET id = 1": "boats",
    "REPLACE INTO 'boats' VALUES (1)": "boats",
    "DO 'BEGIN UPDATE boats SET id = 1; END'": "boats",
    "PREPARE p AS UPDATE boats SET id = 1": "boats",
    "CREATE RULE r AS ON INSERT TO quays DO ALSO UPDATE boats SET id = 1": "boats",
    "SELECT E'it\\'s', 1; UPDATE boats SET id = 1": "boats",
    "SELECT 'it''s'; UPDATE boats SET id = 1": "boats",
    "INSERT INTO boats SELECT 1 ON CONFLICT (id) DO UPDATE SET id = 2": "boats",
}
READS = (
    "SELECT * FROM boats WHERE id = ANY ($1::UUID[]) FOR UPDATE",
    "SELECT tags[1], tags[2:3] FROM boats FOR UPDATE",
    "SELECT * FROM boats",
    "SELECT * FROM boats FOR UPDATE",
    "SELECT * FROM boats FOR NO KEY UPDATE OF boats SKIP LOCKED",
    "SELECT 'UPDATE boats SET id = 1'",
    "SELECT 1 -- UPDATE boats SET id = 1",
    "SELECT 1 /* DELETE FROM boats */",
    "SELECT replace(name, 'a', 'b') FROM boats",
    "SELECT truncate(1.5)",
    'SELECT "update", b.delete, insert FROM boats b',
    "SELECT CASE WHEN true THEN 1 ELSE 2 END FROM boats",
    "COPY boats TO STDOUT",
    "SELECT t.copy, t.truncate, t.id FROM t",
    "SELECT p.id, p.delete \nFROM boats p",
    "SELECT CASE WHEN name LIKE ? ESCAPE '\\' THEN 1 ELSE 0 END FROM boats FOR UPDATE",
    "SELECT CASE WHEN tags && ARRAY['a'] THEN 1 END, replace(name, 'x', 'y') FROM boats FOR NO KEY UPDATE",
)


@pytest.mark.parametrize("statement", WRITES)
def test_the_tables_that_a_statement_writes_are_found(statement: str) -> None:
    found = writes(statement).tables
    assert set(WRITES[statement].split()) <= found
    assert found <= {*WRITES[statement].split(), "quays", "set"}


AMBIGUOUS = (
    "UPDATE `boats` SET id = 1",
    "-- x\rUPDATE boats SET id = 1",
    "/* a /* b */ ' */ UPDATE boats SET id = 1",
    "WITH q AS (SELECT (ARRAY['x]'])[1] AS a, 'y' AS b) UPDATE boats SET id = 1 FROM q",
    "WITH q AS (SELECT E'a'\n'b\\'' AS x, 'c' AS y) UPDATE boats SET id = 1",
    "WITH w AS (SELECT e'\\' FROM q WHERE 1 <> 'y') UPDATE boats SET id = 1",
    "WITH q AS (SELECT 1 AS [o' 1]) UPDATE boats SET id = 1",
    "WITH q AS (SELECT $a$ AS z, 'q $a$ r') UPDATE boats SET id = 1",
    "-- x\rUPDATE /* k */ boats SET id = 1",
)


@pytest.mark.parametrize("statement", AMBIGUOUS)
def test_a_text_that_dialects_quote_differently_may_write_what_it_mentions(statement: str) -> None:
    assert "boats" in writes(statement).mentions


@pytest.mark.parametrize("statement", READS)
def test_a_statement_that_only_reads_is_left_alone(statement: str) -> None:
    assert writes(statement).tables == frozenset()
    assert not writes(statement).mentions
    assert not writes(statement).transaction


def test_a_text_that_changes_what_is_quoted_is_not_read() -> None:
    assert UNREADABLE in writes("SET standard_conforming_strings = off").tables


def test_a_name_that_cannot_be_read_is_not_taken_for_harmless() -> None:
    assert UNREADABLE in writes('UPDATE U&"\\0062oats" SET id = 1').tables


@pytest.mark.parametrize(
    "statement",
    ["COMMIT", "END", "rollback to savepoint x", "SAVEPOINT x", "RELEASE x", "BEGIN", "START TRANSACTION", "ABORT",
     "PREPARE TRANSACTION 'x'", "/* now */ commit", "; COMMIT", "\ufeffCOMMIT", "SELECT 1; ROLLBACK"],
)  # fmt: skip
def test_what_begins_or_ends_a_transaction_is_told(statement: str) -> None:
    assert writes(statement).transaction


@pytest.mark.parametrize(
    "statement",
    [
        "SET default_transaction_read_only = off",
        "set transaction read write",
        "RESET ALL",
        "PRAGMA query_only = OFF",
        'PRAGMA "query_only"(0)',
        "SELECT 1; SET transaction_read_only = off",
    ],
)
def test_what_lets_a_reader_write_is_told(statement: str) -> None:
    assert writes(statement).setting


@pytest.mark.parametrize(
    "statement",
    ["SET LOCAL work_mem = '1MB'", "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "PRAGMA table_info(boats)"],
)
def test_other_settings_do_not(statement: str) -> None:
    assert writes(statement) == NOTHING


def test_a_table_that_is_written_in_two_places_is_told() -> None:
    both = "WITH x AS (UPDATE boats SET id = 1 RETURNING id) UPDATE boats SET id = 2 FROM x"
    assert writes(both).twice == {"boats"}
    assert not writes("INSERT INTO boats SELECT 1 ON CONFLICT (id) DO UPDATE SET id = 2").twice


def test_the_end_of_a_trigger_is_not_that_of_a_transaction() -> None:
    assert not writes("CREATE TRIGGER t AFTER INSERT ON quays BEGIN DELETE FROM piers; END").transaction


def test_most_texts_are_the_same_object_as_nothing() -> None:
    """The guard compares by identity."""
    assert writes("SELECT 1") is NOTHING
    assert writes("SELECT a FROM b FOR UPDATE") is NOTHING


@pytest.mark.parametrize(
    "text",
    ["update " * 50_000, "'" * 100_001, "/*" * 50_000, '"' * 100_001, "$a$" * 40_000, "e'\\" * 40_000,
     "update (" * 30_000, "update ." * 30_000, "[" * 100_000, "truncate a," * 20_000],
)  # fmt: skip
def test_no_text_takes_more_time_than_its_length(text: str) -> None:
    """One that did would run into the limit of the suite."""
    assert isinstance(writes(text).tables, frozenset)
