"""Documents by their id, and clients that would like to send only digests."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from gql_app.errors import ConfigurationError
from gql_app.execution.trusted import TrustedDocuments
from gql_app.settings import Settings
from gql_app.testing.client import Client
from gql_app.testing.server import Running, serving

TYPENAME = "query Name { __typename }"
STREAM = "subscription { emailChanged { cursor } }"
DOCUMENTS = {"name": TYPENAME, "sha256:abc": "{ viewer { username } }", "stream": STREAM}
PERSISTED = {"persistedQuery": {"version": 1, "sha256Hash": "ecf4"}}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "documents.json"
    path.write_text(json.dumps(DOCUMENTS))
    return path


@pytest.fixture(params=[False, True], ids=["also", "only"])
async def site(settings: Settings, file: Path, request: pytest.FixtureRequest) -> AsyncIterator[Running]:
    async with serving(replace(settings, documents=str(file), documents_only=request.param)) as running:
        yield running


async def post(url: str, **body: Any) -> Any:
    async with httpx.AsyncClient() as http:
        response = await http.post(url + "/graphql", json=body)
    assert response.status_code == 200
    return response.json()


async def test_a_document_is_found_by_its_id(site: Running) -> None:
    assert await post(site.url, documentId="name") == {"data": {"__typename": "Query"}}
    for known in ("sha256:abc", "abc"):
        assert await post(site.url, documentId=known) == {"data": {"viewer": None}}
    async with httpx.AsyncClient() as http:
        found = await http.get(site.url + "/graphql", params={"documentId": "name"})
    assert found.json() == {"data": {"__typename": "Query"}}
    (error,) = (await post(site.url, documentId="other"))["errors"]
    assert error["extensions"] == {"code": "DOCUMENT_NOT_FOUND", "retryable": False}


async def test_over_a_websocket_too_and_what_is_not_found_fails_alone(site: Running) -> None:
    async with Client(site.url).socket() as socket:
        await socket.send({"type": "subscribe", "id": "1", "payload": {"documentId": "other"}})
        message = await socket.receive()
        assert (message["type"], message["payload"][0]["extensions"]["code"]) == ("error", "DOCUMENT_NOT_FOUND")
        await socket.send({"type": "subscribe", "id": "2", "payload": {"documentId": "name"}})
        assert (await socket.receive())["payload"] == {"data": {"__typename": "Query"}}


async def test_other_documents_are_refused_where_only_these_are_trusted(settings: Settings, file: Path) -> None:
    async with serving(replace(settings, documents=str(file), documents_only=True)) as running:
        assert "data" in await post(running.url, query=TYPENAME)
        (error,) = (await post(running.url, query="{ __typename }"))["errors"]
        assert error["extensions"]["code"] == "DOCUMENT_NOT_TRUSTED"


async def test_clients_of_automatic_persisted_queries_send_the_document_then(server: Running) -> None:
    """Apollo's PersistedQueryLink and urql's persistedExchange go by this message or code."""
    (error,) = (await post(server.url, extensions=PERSISTED))["errors"]
    assert error["message"] == "PersistedQueryNotSupported"
    assert error["extensions"]["code"] == "PERSISTED_QUERY_NOT_SUPPORTED"
    assert "data" in await post(server.url, query=TYPENAME, extensions=PERSISTED)
    async with httpx.AsyncClient() as http:
        params = {"extensions": json.dumps(PERSISTED)}
        found = await http.get(
            server.url + "/graphql", params=params, headers={"Accept": "application/json, text/html"}
        )
    assert found.json()["errors"][0]["message"] == "PersistedQueryNotSupported"


@pytest.mark.parametrize("text", ["", "[]", '{"a": 1}', '{"a": ""}', "{"])
def test_a_file_that_holds_something_else_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "documents.json"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match="GQL_APP_DOCUMENTS"):
        TrustedDocuments.read(str(path), only=False)


def test_a_file_that_is_not_there_is_refused_and_so_is_nothing_but_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="GQL_APP_DOCUMENTS"):
        TrustedDocuments.read(str(tmp_path / "none.json"), only=False)
    with pytest.raises(ConfigurationError, match="GQL_APP_DOCUMENTS_ONLY"):
        TrustedDocuments.read("", only=True)
