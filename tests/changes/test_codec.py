"""The log's texts are those of the values that the database gives back, for every type that can be tracked."""

import enum
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import BIT, JSONB, TIMESTAMP
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.types import TypeEngine

from gql_app.changes.codec import Codec
from gql_app.db import Database, UtcDateTime
from gql_app.demo.fuel_requests.models import Litres
from gql_app.errors import Undecodable
from tests.ruling import service_database


class Colour(enum.Enum):
    RED = "r"
    BLUE = "b"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Name(enum.StrEnum):
    ADA = "ada"


class Wrapped(sa.types.TypeDecorator[Any]):
    impl = sa.JSON
    cache_ok = True

    def process_result_value(self, value: Any, dialect: object) -> Any:
        return object()


def values(members: type[enum.Enum]) -> list[str]:
    return [str(member.value) for member in members]


EAST = timezone(timedelta(hours=5, minutes=30))
U = UUID("12345678-1234-5678-1234-567812345678")
NOON = datetime(2026, 1, 2, 12, 30, 15, 120_000, tzinfo=EAST)
Cases = list[tuple[Any, str | None]]
CASES: dict[str, tuple[TypeEngine[Any], Cases]] = {
    "Boolean": (sa.Boolean(), [(True, "true"), (False, "false")]),
    "Integer": (sa.Integer(), [(5, "5"), (-1, "-1"), (True, "1")]),
    "BigInteger": (sa.BigInteger(), [(2**62, str(2**62))]),
    "Float": (sa.Float(), [(0.1, "0.1"), (5, "5.0"), (1e300, "1e+300")]),
    "Numeric(10, 2)": (sa.Numeric(10, 2), [(Decimal("10"), "10.00"), (Decimal("1.005"), None), (7, "7.00")]),
    "Numeric(12, 4)": (sa.Numeric(12, 4), [(Decimal("-3.14159"), "-3.1416"), (Decimal("1E+2"), "100.0000")]),
    "String": (sa.String(40), [("plain", "plain"), ("", ""), ("ä 🤖 ' \\ \n", "ä 🤖 ' \\ \n")]),
    "Text": (sa.Text(), [("null", "null"), ("x" * 5000, "x" * 5000)]),
    "DateTime": (sa.DateTime(), [(NOON.replace(tzinfo=None), "2026-01-02T12:30:15.120000")]),
    "UtcDateTime": (UtcDateTime(), [(NOON, "2026-01-02T07:00:15.120000+00:00")]),
    "Date": (sa.Date(), [(date(2026, 2, 28), "2026-02-28")]),
    "Time": (sa.Time(), [(time(23, 59, 1, 5), "23:59:01.000005")]),
    "Interval": (sa.Interval(), [(timedelta(days=2, microseconds=7), "PT172800.000007S"), (-timedelta(1), None)]),
    "Uuid": (sa.Uuid(), [(U, str(U))]),
    "Uuid of text": (sa.Uuid(as_uuid=False), [(str(U), str(U)), (str(U).upper(), str(U))]),
    "LargeBinary": (sa.LargeBinary(), [(b"\x00\xffabc", "AP9hYmM="), (b"", "")]),
    "Enum": (sa.Enum(Colour, native_enum=False, length=16), [(Colour.RED, "RED"), ("BLUE", "BLUE")]),
    "Enum by values": (
        sa.Enum(Colour, native_enum=False, length=16, values_callable=values, name="colour_by_value"),
        [(Colour.RED, "RED"), ("b", "BLUE")],
    ),
    "Enum of integers": (sa.Enum(Level, native_enum=False, length=16), [(Level.HIGH, "HIGH")]),
    "String of an enum": (sa.String(40), [(Name.ADA, "ada")]),
    "Float around zero": (sa.Float(), [(-0.0, "0.0")]),
    "Enum of texts": (sa.Enum(Name, native_enum=False, length=16), [(Name.ADA, "ADA")]),
    "Enum without a class": (sa.Enum("one", "two", native_enum=False, length=16), [("two", "two")]),
    "JSON": (sa.JSON(), [({"b": [1, None], "a": "ä"}, '{"a":"ä","b":[1,null]}'), ([], "[]"), (0, "0")]),
    "Litres": (Litres(), [(Decimal("12.5"), "12.50"), (Decimal(3), "3.00")]),
}
ON_POSTGRESQL: dict[str, tuple[TypeEngine[Any], Cases]] = {
    "REAL": (sa.REAL(), [(0.1, None)]),
    "CHAR(4)": (sa.CHAR(4), [("ab", "ab  "), ("ab      ", "ab  ")]),
    "NCHAR(4)": (sa.NCHAR(4), [("ab", "ab  ")]),
    "String(3)": (sa.String(3), [("ab    ", "ab ")]),
    "Numeric around zero": (sa.Numeric(10, 2), [(Decimal("-0.001"), "0.00")]),
    "Numeric of others": (sa.Numeric(), [(10, "10")]),
    "JSONB of numbers": (JSONB(), [({2: 1, 10: 1e16}, '{"10":10000000000000000,"2":1}')]),
    "DateTime with zone": (sa.DateTime(timezone=True), [(NOON, "2026-01-02T07:00:15.120000+00:00")]),
    "ARRAY": (sa.ARRAY(sa.Integer()), [([1, None, 3], '["1",null,"3"]')]),
    "JSONB": (JSONB(), [({"b": 1, "a": {"d": 1.5, "c": True}}, '{"a":{"c":true,"d":1.5},"b":1}')]),
    "Numeric without a scale": (sa.Numeric(), [(Decimal("1.50"), "1.50")]),
}


async def given_back(db: Database, kind: TypeEngine[Any], given: list[Any]) -> list[Any]:
    """Stores values in a column of a type, and reads them in another transaction."""
    table = sa.Table("codec", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True), sa.Column("x", kind))
    async with db.writing() as connection:
        await connection.run_sync(table.metadata.create_all)
        for number, value in enumerate(given):
            await connection.execute(table.insert().values(id=number, x=value))
    try:
        rows = await db.look_up(sa.select(table.c.x).order_by(table.c.id), {})
        return [row.x for row in rows]
    finally:
        async with db.writing() as connection:
            await connection.run_sync(table.metadata.drop_all)


@pytest.mark.parametrize("name", CASES)
async def test_a_frozen_value_is_the_one_that_the_database_gives_back(db: Database, name: str) -> None:
    await hold_against(db, *CASES[name])


@pytest.mark.parametrize("name", ON_POSTGRESQL)
async def test_a_frozen_value_of_a_type_of_postgresql_is_the_one_that_it_gives_back(
    postgres_url: str, name: str
) -> None:
    db = service_database(postgres_url)
    await hold_against(db, *ON_POSTGRESQL[name])
    await db.close()


async def hold_against(db: Database, kind: TypeEngine[Any], cases: Cases) -> None:
    codec = Codec(kind, db.sync_engines[0].dialect)
    stored = await given_back(db, kind, [value for value, _ in cases])
    for (value, text), found in zip(cases, stored, strict=True):
        frozen = codec.freeze(value)
        assert frozen.value == found
        assert type(frozen.value) is type(found) or isinstance(found, UUID)  # the driver has its own
        assert frozen == codec.frozen(found)
        assert codec.decode(frozen.text) == found
        if text is not None:
            assert frozen.text == text


def test_null_is_null() -> None:
    codec = Codec(sa.JSON(), DefaultDialect())
    assert codec.freeze(None).text is codec.decode(None) is None


def test_what_was_frozen_does_not_change_with_the_object() -> None:
    value = {"list": [1]}
    frozen = Codec(sa.JSON(), DefaultDialect()).freeze(value)
    value["list"].append(2)
    assert frozen.value == {"list": [1]}


@pytest.mark.parametrize(
    ("kind", "text"),
    [(sa.Enum(Colour), "GREEN"), (sa.Integer(), "x"), (sa.Numeric(), "x"), (UtcDateTime(), "yesterday"),
     (sa.JSON(), "{"), (sa.Boolean(), "yes"), (sa.Uuid(), "1"), (sa.LargeBinary(), "%"), (sa.Interval(), "P1Y")],
)  # fmt: skip
def test_a_text_of_another_version_is_an_error_of_its_own(kind: TypeEngine[Any], text: str) -> None:
    with pytest.raises(Undecodable):
        Codec(kind, DefaultDialect()).decode(text)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (sa.PickleType(), "python_type"),
        (sa.ARRAY(sa.Numeric(10, 2)), "JSON"),
        (sa.ARRAY(sa.Integer(), dimensions=2), "JSON"),
        (TIMESTAMP(precision=0), "precision"),
        (BIT(3), "String"),
        (Wrapped(), "plain JSON"),
    ],
)
def test_a_type_without_an_exact_text_is_refused(kind: TypeEngine[Any], words: str) -> None:
    with pytest.raises(TypeError, match=words):
        Codec(kind, DefaultDialect())


def test_the_moment_is_that_of_utc() -> None:
    codec = Codec(UtcDateTime(), DefaultDialect())
    assert codec.freeze(NOON).text == NOON.astimezone(UTC).isoformat()
