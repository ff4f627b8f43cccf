"""A mail server that says one thing only, for answers that no real one of ours gives."""

import asyncio
import contextlib
from collections.abc import AsyncIterator


@contextlib.asynccontextmanager
async def answering(to_recipient: bytes) -> AsyncIterator[int]:
    """The port of a server that answers every RCPT with these bytes."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 ready\r\n")
        while line := await reader.readline():
            writer.write(to_recipient if line.upper().startswith(b"RCPT") else b"250 OK\r\n")
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
