"""What every request passes first: is it meant for us, and what every answer says.

Must hold: a page of another origin cannot reach us under a name of its own (DNS rebinding), nor open a WebSocket.
"""

from collections.abc import Awaitable, Iterable, Sequence
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gql_app.transport.frames import EXTENSION

LOCAL = ("localhost", "127.0.0.1", "::1")
FOR_ANY_HOST = frozenset({"/healthz", "/readyz", "/metrics"})
"""These are asked by the address of a pod or a container."""
KNOWN = 64
"""Values of `Host` that were found right and are not parsed again: a name may come with several ports."""

HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
"""OWASP's list of secure headers, as far as they concern answers of any kind. Pages have a content policy besides."""
HSTS = (b"strict-transport-security", b"max-age=31536000")
"""RFC 6797, a year. It is not said for subdomains, which may be somebody else's."""

_WRONG_HOST = (
    "This server is not called by that name. Its operator can add a name to GQL_APP_ALLOWED_HOSTS "
    "(known are the host of GQL_APP_PUBLIC_URL and, in development, localhost and IP addresses)."
)
_WRONG_ORIGIN = (
    "A page of that origin may not open a WebSocket here. The server's operator can add it to GQL_APP_CORS_ORIGINS."
)


class Hosts:
    """The names that we answer to. A name like `.example.org` stands for its subdomains."""

    def __init__(self, names: Iterable[str], *, any_address: bool) -> None:
        """``any_address``: also IP addresses. No page can bring a browser to call us by one that it is not of."""
        wanted = [each.lower() for each in names]
        self._names = {each for each in wanted if not each.startswith(".")}
        self._below = tuple(each for each in wanted if each.startswith("."))
        self._any_address = any_address
        self._known: set[bytes] = set()

    def know(self, host: bytes) -> bool:
        """Whether this value of a `Host` header names us."""
        if host in self._known:
            return True
        if not (found := self._is_ours(_name(host))):
            return False
        if len(self._known) < KNOWN:
            self._known.add(host)
        return found

    def _is_ours(self, name: str) -> bool:
        if name in self._names or (name.endswith(self._below) and bool(self._below)):
            return True
        return self._any_address and _is_address(name)


class Door:
    """Turns away who calls us by another name (421), and WebSockets of strange pages (403).

    Every answer gets the usual headers.
    """

    def __init__(self, app: ASGIApp, hosts: Hosts, origins: Sequence[str], *, encrypted: bool) -> None:
        """``origins``: whose pages may open a WebSocket, besides our own. ``encrypted``: clients come by https."""
        self._app = app
        self._hosts = hosts
        self._origins = {each.lower().encode() for each in origins}
        self._headers = (*HEADERS, HSTS) if encrypted else HEADERS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif (refusal := self._refusal(scope)) is not None:
            await _refuse(refusal, scope, receive, self._with_headers(send))
        elif scope["type"] == "websocket":  # nothing is added to what stays for as long as its socket
            await self._app(scope, receive, send)
        else:
            await self._app(scope, receive, self._with_headers(send))

    def _refusal(self, scope: Scope) -> Response | None:
        host, origin = _host_and_origin(scope["headers"])
        if (host is None or not self._hosts.know(host)) and scope["path"] not in FOR_ANY_HOST:
            return PlainTextResponse(_WRONG_HOST, 421)
        if scope["type"] == "websocket" and origin is not None and not self._is_welcome(origin, host):
            return PlainTextResponse(_WRONG_ORIGIN, 403)
        return None

    def _with_headers(self, send: Send) -> Send:
        headers = self._headers

        def answer(message: Message) -> Awaitable[None]:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                given = list(message.get("headers", ()))
                said = {name for name, _ in given}
                message["headers"] = given + [each for each in headers if each[0] not in said]
            return send(message)

        return answer

    def _is_welcome(self, origin: bytes, host: bytes | None) -> bool:
        origin = origin.lower()
        return origin in self._origins or (host is not None and origin.partition(b"://")[2] == host.lower())


def origin_of(url: str) -> str:
    """The scheme, host and port of an address, as browsers write them: without the scheme's own port."""
    parts = urlsplit(url)
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port not in (None, usual) else "")


def _host_and_origin(headers: Sequence[tuple[bytes, bytes]]) -> tuple[bytes | None, bytes | None]:
    """None for a host that is missing, or is said twice: what stands behind a proxy could read the other one."""
    host = origin = None
    for name, value in headers:
        if name == b"host":
            if host is not None:
                return None, origin
            host = value
        elif name == b"origin":
            origin = value
    return host, origin


def _name(host: bytes) -> str:
    """Without the port, in lower case; empty for what is no host."""
    text = host.decode("latin-1").strip().lower()
    if text.startswith("["):
        name, bracket, port = text[1:].partition("]")
        port = port.removeprefix(":") if bracket else "-"
    else:
        name, _, port = text.partition(":")
    return name.removesuffix(".") if port.isdecimal() or not port else ""


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


async def _refuse(response: Response, scope: Scope, receive: Receive, send: Any) -> None:
    if scope["type"] == "http":
        return await response(scope, receive, send)
    await receive()  # websocket.connect
    if "websocket.http.response" not in scope.get("extensions", {}):
        return await send({"type": "websocket.close"})  # type: ignore[no-any-return]
    start = {"type": "websocket.http.response.start", "status": response.status_code, "headers": response.raw_headers}
    await send(start)
    await send({"type": "websocket.http.response.body", "body": response.body})
    if (write := scope["extensions"].get(EXTENSION)) is not None:
        write.__self__.is_refused()


class ShortWay:
    """One path is answered without Starlette's routes and error pages: for a small query they are a tenth of it."""

    def __init__(self, path: str, http: ASGIApp, websocket: ASGIApp, others: ASGIApp) -> None:
        self._path = path
        self._here = {"http": http, "websocket": websocket}
        self._others = others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._here[scope["type"]] if scope.get("path") == self._path else self._others
        await app(scope, receive, send)
