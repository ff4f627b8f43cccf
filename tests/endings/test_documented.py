"""What docs/frontend.md says of codes is what the errors say."""

import re
from pathlib import Path

import gql_app
from gql_app import errors
from gql_app.errors import GqlAppError, code_text

PAGE = (Path(gql_app.__file__).parents[1] / "docs/frontend.md").read_text()


def kinds(of: type[GqlAppError] = GqlAppError) -> set[type[GqlAppError]]:
    return {of, *(kind for each in of.__subclasses__() for kind in kinds(each))}


def test_each_code_is_in_the_table_and_says_whether_to_try_again() -> None:
    rows = re.findall(r"^\| ([A-Z_, ]+) \| (yes|no) \|", PAGE, re.MULTILINE)
    told = {code: answer == "yes" for codes, answer in rows for code in codes.split(", ")}
    ours = [kind for kind in kinds() if kind.__module__ == errors.__name__ and kind is not errors.ConfigurationError]
    assert {code_text(kind): kind.retryable for kind in ours}.items() <= told.items()
    assert {each.value for each in errors.ErrorCode} <= told.keys()
