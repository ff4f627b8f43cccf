"""What GraphiQL's tabs hold when somebody opens it for the first time."""

from pathlib import Path

import pytest
from graphql import parse, validate

from gql_app.demo.verticals import DEMO
from gql_app.schema import build

TABS = sorted((Path(__file__).parents[2] / "frontend/src/tabs").glob("*.graphql"))


def test_there_are_tabs() -> None:
    assert TABS


@pytest.mark.parametrize("tab", TABS, ids=lambda tab: tab.stem)
def test_a_tab_fits_the_schema(tab: Path) -> None:
    assert validate(build(DEMO)._schema, parse(tab.read_text(encoding="utf-8"))) == []
