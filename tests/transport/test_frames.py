"""Ready-made frames are those that a client's library expects."""

from collections.abc import Iterable
from dataclasses import replace

import pytest

from gql_app.settings import Settings
from gql_app.testing.server import Running, serving
from gql_app.transport.frames import FrameProtocol, header
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


@pytest.mark.parametrize("fast", [True, False])
async def test_frames_are_made_by_uvicorn_alone_without_short_cuts(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, fast: bool
) -> None:
    written: list[bytes] = []
    write = FrameProtocol.write_texts

    def noting(protocol: FrameProtocol, beginning: bytes, endings: Iterable[bytes]) -> bool:
        written.append(beginning)
        return write(protocol, beginning, endings)

    monkeypatch.setattr(FrameProtocol, "write_texts", noting)
    async with serving(replace(settings, fast=fast)) as running:
        people = await People.sign_in(running)
        async with people.root.subscribed(NOTES) as notes:
            await running.app.db.write(add_notes, [1, 2])
            assert [len(found["newValue"]) for found in await notes.take(2)] == [1, 2]
    assert bool(written) == fast
