"""Whether the short cuts of the engine are taken (GQL_APP_TEST_FAST=0: none): all tests must hold either way."""

import os

import pytest

FAST = os.environ.get("GQL_APP_TEST_FAST", "1") != "0"


def about_a_short_cut(which: str) -> pytest.MarkDecorator:
    """A mark for tests that say nothing about the plain way."""
    return pytest.mark.skipif(not FAST, reason=f"it is about {which}, which GQL_APP_TEST_FAST=0 switches off")
