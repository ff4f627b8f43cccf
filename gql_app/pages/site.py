"""Routes and responses of the pages."""

import os
import re
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

_HERE = Path(__file__).parent
_STATIC = _HERE / "static"
_BUNDLE = _STATIC / "graphiql" / "graphiql.js"

_TEMPLATES = Environment(
    loader=FileSystemLoader(_HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)

# 'unsafe-inline' styles: GraphiQL's editor positions its parts with them. All scripts are files of ours.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "font-src 'self' data:",
        "img-src 'self' data:",
        "connect-src 'self'",
        "worker-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)

_PAGE_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
    "Cache-Control": "no-cache",
}

_HASHED_NAME = re.compile(r"-[A-Z0-9]{8}\.\w+$")  # as the bundler names what never changes
_FOR_EVER = "public, max-age=31536000, immutable"


def page_routes(*, demo: bool, mailbox: bool, version: str, graphiql: bool = True) -> list[BaseRoute]:
    """The start page, the assets and, with `mailbox`, its page (over `/mailbox/messages` and `/stream`)."""
    start = _page("start.html", demo=demo, mailbox=mailbox, graphiql=graphiql, version=version)
    routes: list[BaseRoute] = [
        Route("/", start, methods=["GET"], name="start"),
        Mount("/assets", Assets(directory=_STATIC), name="assets"),
    ]
    if mailbox:
        routes.append(Route("/mailbox", _page("mailbox.html"), methods=["GET"], name="mailbox"))
    return routes


def graphiql_page(*, demo: bool, mailbox: bool, shown: bool = True) -> Response:
    """GraphiQL; a 404 where it is not shown, or a 503 that says how to build it when this checkout never did."""
    if not shown:
        return PlainTextResponse("This is a GraphQL API for programs.", 404)
    if not _BUNDLE.exists():
        return _html("graphiql_missing.html", {}, status_code=503)
    return _html("graphiql.html", {"demo": demo, "mailbox": mailbox})


class Assets(StaticFiles):
    """Static files with cache rules, and the ready-made `.gz` for clients that take it."""

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        """Always says what the original file is: `nosniff` forbids the browser to guess."""
        packed = Path(f"{full_path}.gz")
        zipped = _takes_gzip(Headers(scope=scope)) and packed.is_file()
        if zipped:
            response = super().file_response(packed, packed.stat(), scope, status_code)
        else:
            response = super().file_response(full_path, stat_result, scope, status_code)
        if zipped and response.status_code == status_code:
            response.headers["Content-Encoding"] = "gzip"
            response.headers["Content-Type"] = FileResponse(full_path).headers["Content-Type"]
        hashed = _HASHED_NAME.search(Path(full_path).name)
        response.headers["Cache-Control"] = _FOR_EVER if hashed else "no-cache"
        response.headers["Vary"] = "Accept-Encoding"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response


def _takes_gzip(headers: Headers) -> bool:
    """Only a plain offer counts, and no byte ranges: those are ranges of the original."""
    offers = headers.get("accept-encoding", "").replace(" ", "").split(",")
    return "gzip" in offers and "range" not in headers


def _page(template: str, **values: str | bool) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(_request: Request) -> Response:
        return _html(template, values)

    return endpoint


def _html(template: str, values: Mapping[str, str | bool], status_code: int = 200) -> Response:
    content = _TEMPLATES.get_template(template).render(values)
    return HTMLResponse(content, status_code=status_code, headers=_PAGE_HEADERS)
