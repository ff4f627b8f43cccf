"""What all tests of clients need."""

import pytest

from tests.clients.followers import install


@pytest.fixture(scope="session", autouse=True)
def _clients() -> None:
    install()
