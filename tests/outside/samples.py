"""Rows with values of every type, ordinary ones and those at the edge."""

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from tests.witness.harbour import Flag, Sample

VALUES: dict[str, list[Any]] = {
    "flag": [Flag.RED, Flag.BLUE],
    "letter": [Flag.BLUE, Flag.RED],
    "moment": [datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC)],
    "naive": [datetime(2026, 1, 2, 3, 4, 5, 6), datetime(1999, 12, 31)],  # noqa: DTZ001
    "day": [date(2026, 2, 28), date(1, 1, 1)],
    "hour": [time(23, 59, 59, 999999), time(0)],
    "price": [Decimal("12.50"), Decimal("-0.01"), Decimal("9999999999.99")],
    "ratio": [0.1, -1e300, 0.0, 1 / 3],
    "big": [2**62, -1, 0],
    "yes": [True, False],
    "other": [UUID(int=0), UUID("12345678-1234-5678-1234-567812345678")],
    "blob": [b"", b"\x00'\xff\\", b"text"],
    "tree": [{"a": [1, None, "ü"]}, [], "text", 0, None],
    "text": ["", "it's", 'quotes " and \\ and \n', "Grüße 😀", "NULL"],
}
COLUMNS = tuple(VALUES)


def samples() -> list[Sample]:
    """As many as the longest list, and one of NULLs."""
    longest = max(map(len, VALUES.values()))
    rows = [{name: values[number % len(values)] for name, values in VALUES.items()} for number in range(longest)]
    return [Sample(**row) for row in (*rows, {})]
