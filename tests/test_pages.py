"""The pages: what they may load, that what they load is there, and that nothing else is served."""

import asyncio
import re
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gql_app.pages import site

PAGES = Path(site.__file__).parent
SOURCES = [*(PAGES / "templates").iterdir(), *(PAGES / "static").iterdir()]
OURS = sorted(path for path in SOURCES if path.is_file())
ABSOLUTE_URL = re.compile(r"(?:src|href|action|url|import|from|fetch)\W{0,4}(?:https?:)?//", re.IGNORECASE)
INLINE = re.compile(r"<script(?![^>]*\ssrc=)|\son\w+\s*=|javascript:", re.IGNORECASE)
built = pytest.mark.skipif(
    not (PAGES / "static/graphiql/graphiql.js").exists(), reason="GraphiQL is not built in this checkout"
)


def app(*, demo: bool = True, mailbox: bool = True) -> Starlette:
    async def graphiql(_request: Request) -> Response:
        return site.graphiql_page(demo=demo, mailbox=mailbox)

    routes = site.page_routes(demo=demo, mailbox=mailbox, version="1.2.3")
    return Starlette(routes=[*routes, Route("/graphql", graphiql)])


class Client:
    """Blocking requests to the pages of one configuration."""

    def __init__(self, *, demo: bool = True, mailbox: bool = True) -> None:
        self.transport = httpx.ASGITransport(app(demo=demo, mailbox=mailbox))

    def request(self, method: str, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        async def send() -> httpx.Response:
            async with httpx.AsyncClient(transport=self.transport, base_url="http://pages.test") as http:
                return await http.request(method, path, headers=headers)

        return asyncio.run(send())

    def get(self, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        return self.request("GET", path, headers)


@pytest.fixture
def client() -> Client:
    return Client()


def local_links(html: str) -> list[str]:
    return re.findall(r'(?:src|href)="(/[^"]*)"', html)


@pytest.mark.parametrize("path", ["/", "/mailbox", "/graphql"])
def test_pages_run_no_script_but_ours_and_load_nothing_from_elsewhere(client: Client, path: str) -> None:
    response = client.get(path)
    policy = dict(rule.split(" ", 1) for rule in response.headers["content-security-policy"].split("; "))

    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == policy["worker-src"] == "'self'"
    assert policy["base-uri"] == policy["form-action"] == policy["frame-ancestors"] == "'none'"
    assert not any("http" in sources or "*" in sources for sources in policy.values())
    assert not INLINE.search(response.text)


@pytest.mark.parametrize("path", ["/", "/mailbox", "/graphql"])
def test_pages_tell_browsers_not_to_guess_frame_or_leak(client: Client, path: str) -> None:
    headers = client.get(path).headers

    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("source", OURS, ids=lambda path: path.name)
def test_our_sources_name_no_other_host(source: Path) -> None:
    assert not ABSOLUTE_URL.search(source.read_text())


@pytest.mark.parametrize("path", ["/", "/mailbox", pytest.param("/graphql", marks=built)])
def test_every_asset_that_a_page_names_exists(client: Client, path: str) -> None:
    assets = [link for link in local_links(client.get(path).text) if link.startswith("/assets/")]

    assert assets
    for asset in assets:
        assert client.get(asset).status_code == 200, asset


@pytest.mark.parametrize(
    ("asset", "content_type"),
    [
        ("site.css", "text/css; charset=utf-8"),
        ("mailbox.js", "text/javascript; charset=utf-8"),
        ("icon.svg", "image/svg+xml"),
        pytest.param("graphiql/graphiql.js", "text/javascript; charset=utf-8", marks=built),
        pytest.param("graphiql/graphiql.css", "text/css; charset=utf-8", marks=built),
    ],
)
@pytest.mark.parametrize("coding", ["gzip", "identity"])
def test_assets_say_what_they_are(client: Client, asset: str, content_type: str, coding: str) -> None:
    response = client.get(f"/assets/{asset}", headers={"Accept-Encoding": coding})

    assert response.headers["content-type"] == content_type
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.content == (PAGES / "static" / asset).read_bytes()  # the client has unpacked it


@built
def test_the_bundle_is_sent_as_it_was_packed_at_build_time(client: Client) -> None:
    packed = client.get("/assets/graphiql/graphiql.js", headers={"Accept-Encoding": "br, gzip"})
    plain = client.get("/assets/graphiql/graphiql.js", headers={"Accept-Encoding": "identity"})

    assert packed.headers["content-encoding"] == "gzip"
    assert packed.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"
    assert "content-encoding" not in plain.headers
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"]) / 2
    assert packed.headers["etag"] != plain.headers["etag"]


@built
def test_only_files_with_a_hash_in_the_name_are_kept_for_ever(client: Client) -> None:
    worker = next((PAGES / "static/graphiql/workers").glob("editor.worker-*.js")).name

    assert "immutable" in client.get(f"/assets/graphiql/workers/{worker}").headers["cache-control"]
    assert client.get("/assets/graphiql/graphiql.js").headers["cache-control"] == "no-cache"
    assert client.get("/assets/site.css").headers["cache-control"] == "no-cache"


def test_an_unchanged_asset_is_not_sent_again(client: Client) -> None:
    etag = client.get("/assets/site.css").headers["etag"]

    again = client.get("/assets/site.css", headers={"If-None-Match": etag})

    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "path",
    [
        "nothing.css",
        "",
        "graphiql",
        "..%2fsite.py",
        "%2e%2e/%2e%2e/%2e%2e/pyproject.toml",
        "graphiql/..%2f..%2fsite.py",
        "%2fetc%2fpasswd",
        "..%5csite.py",
        "site.css%00.js",
        "x" * 5000,
    ],
)
def test_nothing_outside_the_assets_is_served(client: Client, path: str) -> None:
    assert client.get(f"/assets/{path}").status_code == 404


def test_pages_are_for_reading_only(client: Client) -> None:
    assert client.request("POST", "/").status_code == 405
    assert client.request("POST", "/assets/site.css").status_code == 405


def test_the_start_page_names_people_only_in_the_demo(client: Client) -> None:
    assert "correct-horse-battery" in client.get("/").text
    plain = Client(demo=False).get("/").text
    assert "correct-horse-battery" not in plain
    assert "grace" not in plain
    assert "1.2.3" in plain


def test_without_a_mailbox_nothing_leads_to_it() -> None:
    client = Client(mailbox=False)

    assert client.get("/mailbox").status_code == 404
    assert "/mailbox" not in client.get("/").text


@built
@pytest.mark.parametrize(("demo", "mailbox"), [(True, False), (False, True)])
def test_graphiql_learns_what_there_is_from_the_page(*, demo: bool, mailbox: bool) -> None:
    html = Client(demo=demo, mailbox=mailbox).get("/graphql").text

    assert f'data-demo="{str(demo).lower()}"' in html
    assert f'data-mailbox="{str(mailbox).lower()}"' in html
    assert "<title>gql_app · GraphiQL</title>" in html


def test_the_mailbox_never_makes_markup_of_messages() -> None:
    script = (PAGES / "static/mailbox.js").read_text()

    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|setHTMLUnsafe", script)
    assert "allow-scripts" not in script
    assert "allow-same-origin" not in script


@built
def test_the_bundle_carries_its_licences() -> None:
    licences = (PAGES / "static/graphiql/THIRD_PARTY_LICENSES.txt").read_text()

    for package in ("graphiql", "monaco-editor", "react-dom", "graphql-ws", "graphql"):
        assert re.search(rf"^{package} \d", licences, re.MULTILINE), package
