"""Ready-made frames are those that a client's library expects."""

import pytest

from gql_app.testing.server import Running
from gql_app.transport.frames import header
from tests.execution.notes import NOTES, add_notes
from tests.people import People


@pytest.mark.parametrize("length", [1, 60, 126, 65_400, 65_536, 70_000])
async def test_frames_of_every_length_are_read_by_a_real_client(server: Running, people: People, length: int) -> None:
    async with people.root.subscribed(NOTES) as notes:
        await server.app.db.write(add_notes, [1])
        assert len((await notes.next())["newValue"]) == 1
        await server.app.db.write(add_notes, [length])
        assert len((await notes.next())["newValue"]) == length


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (125, b"\x81\x7d"),
        (126, b"\x81\x7e\x00\x7e"),
        (65_535, b"\x81\x7e\xff\xff"),
        (65_536, b"\x81\x7f" + (65_536).to_bytes(8, "big")),
    ],
)
def test_the_length_of_a_frame_has_its_shortest_form(length: int, expected: bytes) -> None:
    """RFC 6455, section 5.2: the minimal number of bytes must be used."""
    assert header(length) == expected
