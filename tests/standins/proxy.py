"""A line that can be cut: a TCP proxy on loopback in front of a real service."""

import asyncio
import contextlib


class Proxy:
    """Passes everything on to one address until it is cut; `async with` it. `lag` are seconds that it takes longer."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self.is_cut = False
        self.lag = 0.0
        self.port = 0

    async def __aenter__(self) -> "Proxy":
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await self._server.wait_closed()

    def cut(self) -> None:
        """All connections break off, and new ones do so at once."""
        self.is_cut = True
        for writer in tuple(self._open):
            writer.transport.abort()

    def heal(self) -> None:
        self.is_cut = False

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_cut:
            writer.transport.abort()
            return
        self._open.add(writer)
        with contextlib.suppress(OSError):
            there_reader, there_writer = await asyncio.open_connection(*self._target)
            if writer.transport.is_closing():  # it was cut meanwhile
                there_writer.transport.abort()
            self._open.add(there_writer)
            await asyncio.gather(self._pass_on(reader, there_writer), self._pass_on(there_reader, writer))
            self._open.discard(there_writer)
        self._open.discard(writer)
        writer.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if self.lag:
                    await asyncio.sleep(self.lag)
                writer.write(data)
                await writer.drain()
        writer.transport.abort()
