"""An instant stand-in for Twilio's Messages resource on loopback: every request is a message, and gets its 201 at once.

It checks nothing; `tests/standins/twilio.py` does that. Run as ``python -m benchmarks.provider PORT``.
"""

import asyncio
import json
import re
import sys
from itertools import count

LENGTH = re.compile(rb"content-length: *(\d+)", re.I)
numbers = count(1)


class Provider(asyncio.Protocol):
    """One keep-alive connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._data = b""

    def data_received(self, data: bytes) -> None:
        self._data += data
        while True:
            head, found, rest = self._data.partition(b"\r\n\r\n")
            length = LENGTH.search(head)
            size = int(length[1]) if length else 0
            if not found or len(rest) < size:
                return
            self._data = rest[size:]
            self._transport.write(accepted())


def accepted() -> bytes:
    """What Twilio says to a message that it takes; the dates are always the same."""
    when = "Thu, 01 Jan 2026 00:00:00 +0000"
    body = {"sid": f"SM{next(numbers):032x}", "status": "queued", "date_created": when, "date_updated": when}
    body |= {"account_sid": "AC" + "0" * 32, "num_segments": "1", "num_media": "0", "direction": "outbound-api"}
    text = json.dumps(body).encode()
    return b"HTTP/1.1 201 CREATED\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(text) + text


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Provider, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
