"""By which names and from which pages we may be called, how many connections there may be, and whose address counts."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from ipaddress import ip_network
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import websockets
from websockets.typing import Subprotocol

from gql_app.app import App
from gql_app.errors import ConfigurationError
from gql_app.limiter.addresses import is_within, network_of
from gql_app.settings import Secret, Settings
from gql_app.testing.server import Running, serving
from gql_app.transport.door import Hosts, origin_of

PROTOCOLS = [Subprotocol("graphql-transport-ws")]
QUERY = {"query": "{ __typename }"}
USUAL = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
}


async def ask(server: Running, host: str, path: str = "/graphql") -> httpx.Response:
    async with httpx.AsyncClient(headers={"Host": host}) as http:
        if path == "/graphql":
            return await http.post(server.url + path, json=QUERY)
        return await http.get(server.url + path)


def port(server: Running) -> int:
    found = urlsplit(server.url).port
    assert found is not None
    return found


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "[::1", "", "a b"]
)
async def test_who_calls_us_by_another_name_is_turned_away(server: Running, host: str) -> None:
    """A page whose name suddenly means our address (DNS rebinding) reads neither the API nor the mailbox."""
    for path in ("/graphql", "/mailbox", "/mailbox/messages", "/"):
        answer = await ask(server, host, path)
        assert answer.status_code == 421, path
        assert "GQL_APP_ALLOWED_HOSTS" in answer.text
    for path in ("/healthz", "/readyz", "/metrics"):
        assert (await ask(server, host, path)).status_code == 200


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8000", "127.0.0.1:80", "[::1]:8000", "192.168.1.9", "localhost."]
)
async def test_in_development_the_names_and_addresses_of_ones_own_machine_are_known(server: Running, host: str) -> None:
    assert (await ask(server, host)).status_code == 200


async def test_a_host_that_is_missing_or_said_twice_is_turned_away(server: Running) -> None:
    for hosts in ("", "Host: localhost\r\nHost: evil.example\r\n"):
        reader, writer = await asyncio.open_connection("127.0.0.1", port(server))
        writer.write(f"GET /graphql?query={{__typename}} HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n".encode())
        assert b" 421 " in await reader.readline()
        writer.close()


def test_names_that_are_ours_in_production() -> None:
    hosts = Hosts(["api.example.org", ".example.net"], any_address=False)
    for known in (b"api.example.org", b"API.example.org:443", b"a.example.net", b"a.b.example.net:8443"):
        assert hosts.know(known)
        assert hosts.know(known)
    for strange in (
        b"localhost",
        b"127.0.0.1",
        b"example.net",
        b"evilexample.net",
        b"api.example.org.evil",
        b"\xff",
        b"a:b:c",
    ):
        assert not hosts.know(strange)


async def test_a_name_may_be_allowed(settings: Settings) -> None:
    async with serving(replace(settings, allowed_hosts=("app.internal",))) as server:
        assert (await ask(server, "app.internal:9000")).status_code == 200


async def connect(server: Running, **headers: str) -> None:
    async with websockets.connect(
        server.ws_url + "/graphql",
        subprotocols=PROTOCOLS,
        additional_headers=headers,
    ) as socket:
        await socket.send('{"type":"connection_init"}')
        assert "connection_ack" in str(await socket.recv())


async def test_a_strange_page_may_not_open_a_websocket(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    settings = replace(settings, public_url="https://fuel.example", cors_origins=("https://app.example",))
    async with serving(settings) as server:
        own = f"http://127.0.0.1:{port(server)}"
        for origin in ("https://fuel.example", "https://app.example", "HTTPS://APP.example", own):
            await connect(server, Origin=origin)
        await connect(server)  # no browser
        for origin in ("https://evil.example", "http://fuel.example", "null", "https://fuel.example:8443", ""):
            with pytest.raises(websockets.InvalidStatus) as refused:
                await connect(server, Origin=origin)
            assert refused.value.response.status_code == 403
            assert b"GQL_APP_CORS_ORIGINS" in (refused.value.response.body or b"")
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]


async def test_a_websocket_to_another_name_is_turned_away(server: Running) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port(server))
    writer.write(
        b"GET /graphql HTTP/1.1\r\nHost: evil.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    assert b" 421 " in await reader.readline()
    writer.close()


async def test_no_word_of_a_token_in_an_address_reaches_a_log(
    server: Running, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="uvicorn")
    caplog.set_level(logging.INFO)
    url = f"{server.ws_url}/graphql?token=hush-hush"
    for origin in ("", "https://evil.example"):
        with contextlib.suppress(websockets.InvalidStatus):
            async with websockets.connect(
                url,
                subprotocols=PROTOCOLS,
                origin=origin or None,  # type: ignore[arg-type]
            ) as socket:
                await socket.send("nonsense")
                await socket.wait_closed()
    async with httpx.AsyncClient() as http:
        for path in ("/graphql?query={x}&ticket=hush-hush", "/nowhere?token=hush-hush"):
            await http.get(server.url + path)
    assert not [each.getMessage() for each in caplog.records if "hush" in each.getMessage() and each.name != "httpx"]


@pytest.mark.parametrize("path", ["/", "/graphql?query={__typename}", "/nowhere", "/healthz", "/metrics", "/mailbox"])
async def test_every_answer_has_the_usual_headers(server: Running, path: str) -> None:
    async with httpx.AsyncClient() as http:
        answer = await http.get(server.url + path)
    assert {name: answer.headers.get(name) for name in USUAL} == USUAL
    assert answer.headers.get_list("x-frame-options") == ["DENY"]
    assert "strict-transport-security" not in answer.headers


async def test_browsers_keep_to_https_where_that_is_the_public_address(settings: Settings) -> None:
    async with serving(replace(settings, public_url="https://fuel.example")) as server:
        assert (await ask(server, "fuel.example")).headers["strict-transport-security"] == "max-age=31536000"


def test_an_origin_is_written_as_browsers_do() -> None:
    assert origin_of("https://a.example:443/x") == "https://a.example"
    assert origin_of("http://[::1]:8000") == "http://[::1]:8000"


# How many connections there may be


@contextlib.asynccontextmanager
async def lines(server: Running, count: int) -> AsyncIterator[list[Any]]:
    found = [await asyncio.open_connection("127.0.0.1", port(server)) for _ in range(count)]
    yield found
    for _, writer in found:
        writer.transport.abort()


LIMIT = 12


@pytest.mark.parametrize("which", ["max_connections", "connections_per_address"])
async def test_too_many_connections_are_refused_with_a_word(
    settings: Settings, caplog: pytest.LogCaptureFixture, which: str
) -> None:
    """Silent ones and WebSockets alike. The one who is refused hears it, the log and a metric tell of it."""
    async with serving(replace(settings, **{which: LIMIT})) as server:  # type: ignore[arg-type]
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(4):
                socket = websockets.connect(server.ws_url + "/graphql", subprotocols=PROTOCOLS)
                await stack.enter_async_context(socket)
            await stack.enter_async_context(lines(server, LIMIT - 4))
            async with lines(server, 3) as more:
                for reader, _ in more:
                    assert b" 503 " in await reader.readline()
                    assert b"too many connections" in await reader.read()
            told = [each.message for each in caplog.records if "a connection is refused" in each.message]
            assert len(told) == 1  # not one for each
            assert ("MAX_CONNECTIONS" if which == "max_connections" else "CONNECTIONS_PER_ADDRESS") in told[0]
        async with asyncio.timeout(10):
            while True:
                with contextlib.suppress(httpx.HTTPError):
                    if (await ask(server, "localhost")).status_code == 200:
                        break
        async with httpx.AsyncClient() as http:
            assert 'gql_app_connections_refused_total{why="too many: ' in (await http.get(server.url + "/metrics")).text


async def test_the_connections_of_a_proxy_are_many_clients(settings: Settings) -> None:
    proxied = replace(settings, connections_per_address=2, trusted_proxies=(ip_network("127.0.0.0/8"),))
    async with serving(proxied) as server, lines(server, 5):
        assert (await ask(server, "localhost")).status_code == 200


# Whose address counts


@pytest.mark.parametrize(
    ("trusted", "forwarded", "counted"),
    [
        ((), "203.0.113.9", "127.0.0.1"),
        (("127.0.0.1",), "203.0.113.9", "203.0.113.9"),
        (("127.0.0.1",), "198.51.100.7, 203.0.113.9", "203.0.113.9"),
        (("127.0.0.0/8", "203.0.113.0/24"), "198.51.100.7, 203.0.113.9", "198.51.100.7"),
        (("127.0.0.1",), "garbage", "garbage"),
    ],
)
async def test_only_trusted_proxies_say_where_a_client_is(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, trusted: tuple[str, ...], forwarded: str, counted: str
) -> None:
    seen: list[str] = []
    make = App.make_context

    def note(self: App, authorization: str | None, client: str, ticket: str | None = None) -> Any:
        seen.append(client)
        return make(self, authorization, client, ticket)

    monkeypatch.setattr(App, "make_context", note)
    async with serving(replace(settings, trusted_proxies=tuple(ip_network(each) for each in trusted))) as server:
        async with httpx.AsyncClient(headers={"X-Forwarded-For": forwarded}) as http:
            await http.post(server.url + "/graphql", json=QUERY)
        await connect(server, **{"X-Forwarded-For": forwarded})
    assert set(seen) == {counted}


def test_what_counts_as_one_address() -> None:
    assert network_of("2001:db8:1:2:3::4") == network_of("2001:db8:1:2:ffff::") == "2001:db8:1:2::/64"
    assert network_of("::ffff:192.0.2.1") == network_of("192.0.2.1") == "192.0.2.1"
    assert network_of("fe80::1%eth0") == "fe80::/64"
    assert network_of("x" * 1_000) == "x" * 64
    assert is_within("::ffff:10.1.2.3", [ip_network("10.0.0.0/8")])
    assert not is_within("garbage", [ip_network("10.0.0.0/8")])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TRUSTED_PROXIES", "10.0.0.0/99"),
        ("TRUSTED_PROXIES", "proxy.example"),
        ("ALLOWED_HOSTS", "https://a.example"),
        ("ALLOWED_HOSTS", "a.example:80"),
        ("MAX_CONNECTIONS", "0"),
    ],
)
def test_what_these_settings_refuse(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        Settings.from_environment({f"GQL_APP_{name}": value})


def test_what_these_settings_take() -> None:
    given = {"TRUSTED_PROXIES": "10.0.0.1/8, 2001:db8::/32", "ALLOWED_HOSTS": "a.example, .b.example"}
    settings = Settings.from_environment({f"GQL_APP_{name}": value for name, value in given.items()})
    assert settings.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"))
    assert settings.allowed_hosts == ("a.example", ".b.example")


# What is switched off in production


async def test_without_graphiql_a_browser_finds_a_word_and_the_start_page_no_link(settings: Settings) -> None:
    async with serving(replace(settings, graphiql=False)) as server, httpx.AsyncClient() as http:
        page = await http.get(server.url + "/graphql", headers={"Accept": "text/html"})
        assert (page.status_code, page.text) == (404, "This is a GraphQL API for programs.")
        assert 'href="/graphql"' not in (await http.get(server.url + "/")).text
        assert (await ask(server, "localhost")).json() == {"data": {"__typename": "Query"}}


@pytest.mark.parametrize("asked", ["{ __schema { types { name } } }", '{ __type(name: "User") { name } }'])
async def test_without_introspection_the_schema_is_told_to_nobody(settings: Settings, asked: str) -> None:
    async with serving(replace(settings, introspection=False)) as server, httpx.AsyncClient() as http:
        answer = (await http.post(server.url + "/graphql", json={"query": asked})).json()
        assert answer["errors"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
        assert "introspection has been disabled" in answer["errors"][0]["message"]
        assert (await ask(server, "localhost")).json() == {"data": {"__typename": "Query"}}


async def test_metrics_may_need_a_token(settings: Settings) -> None:
    token = "a-token-of-some-length"
    async with serving(replace(settings, metrics_token=Secret(token))) as server, httpx.AsyncClient() as http:
        for given in ("", "Bearer wrong", token, "Bearer ü"):
            raw = [(b"Authorization", given.encode())]
            assert (await http.get(server.url + "/metrics", headers=raw)).status_code == 401
        answer = await http.get(server.url + "/metrics", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 200
        assert (await http.get(server.url + "/readyz")).status_code == 200
