"""A line that can be cut: a TCP proxy on loopback in front of a real service."""

import asyncio
import contextlib
from typing import Self


class Proxy:
    """Passes everything on to one address until it is cut; `async with` it. `lag` are seconds that it takes longer.

    `target` may be changed, for the connections to come. `connections` is how many there have been.
    """

    def __init__(self, host: str, port: int) -> None:
        self.target = (host, port)
        self.connections = 0
        self._server: asyncio.Server | None = None
        self._audible = _set()
        self._hushed: list[asyncio.Event] = []
        self._open: set[asyncio.StreamWriter] = set()
        self.is_cut = False
        self.lag = 0.0
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        self.speak()
        await self._server.wait_closed()

    def cut(self) -> None:
        """All connections break off, and new ones do so at once."""
        self.is_cut = True
        for writer in tuple(self._open):
            writer.transport.abort()

    def heal(self) -> None:
        self.is_cut = False

    def hush(self) -> None:
        """The connections that are open stay so, and nothing passes on them. New ones are as ever."""
        self._audible.clear()
        self._hushed.append(self._audible)
        self._audible = _set()

    def speak(self) -> None:
        """What was held back arrives after all."""
        for each in self._hushed:
            each.set()
        self._hushed.clear()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        audible = self._audible
        if self.is_cut:
            writer.transport.abort()
            return
        self._open.add(writer)
        with contextlib.suppress(OSError):
            there_reader, there_writer = await asyncio.open_connection(*self.target)
            if writer.transport.is_closing():  # it was cut meanwhile
                there_writer.transport.abort()
            self._open.add(there_writer)
            await asyncio.gather(
                self._pass_on(reader, there_writer, audible), self._pass_on(there_reader, writer, audible)
            )
            self._open.discard(there_writer)
        self._open.discard(writer)
        writer.transport.abort()

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, audible: asyncio.Event
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if self.lag:
                    await asyncio.sleep(self.lag)
                await audible.wait()
                writer.write(data)
                await writer.drain()
        writer.transport.abort()


def _set() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event
