"""Reading a GraphQL request out of JSON that anybody may have sent."""

import json
from math import isfinite
from typing import Any, NoReturn

from gql_app.errors import Invalid
from gql_app.execution.engine import GraphQLRequest
from gql_app.execution.trusted import PersistedQueryNotSupported, TrustedDocuments

MAX_JSON_DEPTH = 64


class BadRequest(Invalid):
    """This is not a GraphQL request."""


def read_request(payload: object, trusted: TrustedDocuments) -> GraphQLRequest:
    """What is to be executed.

    Raises:
        BadRequest: this is not a GraphQL request (GraphQL over HTTP, section 5).
        DocumentRefused: the document is known by an id that is not known here, or must be and is not.
    """
    if not isinstance(payload, dict):
        raise BadRequest("The request must be a JSON object with a `query`.")
    variables = payload.get("variables")
    if variables is not None and not isinstance(variables, dict):
        raise BadRequest("`variables` must be a JSON object.")
    operation_name = payload.get("operationName")
    if operation_name is not None and not isinstance(operation_name, str):
        raise BadRequest("`operationName` must be a string.")
    extensions = payload.get("extensions")
    if not isinstance(extensions, dict | None):
        raise BadRequest("`extensions` must be a JSON object.")
    query = _document(payload, extensions or {}, trusted)
    return GraphQLRequest(query, variables, operation_name or None, (extensions or {}).get("idempotencyKey"))


def _document(payload: dict[str, Any], extensions: dict[str, Any], trusted: TrustedDocuments) -> str:
    query, document_id = payload.get("query"), payload.get("documentId")
    if document_id is not None and query is None:
        if not isinstance(document_id, str):
            raise BadRequest("`documentId` must be a text.")
        return trusted.document(document_id)
    if query is None and "persistedQuery" in extensions:
        raise PersistedQueryNotSupported  # its clients send the document then
    if not isinstance(query, str) or not query.strip():
        raise BadRequest("`query` must be a GraphQL document.")
    return trusted.admit(query)


def parse_json(raw: bytes | str) -> Any:
    """Raises BadRequest also for what Python's parser takes but JSON does not know, and for deep nesting."""
    try:
        if isinstance(raw, bytes):
            raw = raw.decode("utf-8")
        value = json.loads(raw, parse_constant=_refuse_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise BadRequest("That is not JSON in UTF-8.") from error
    _refuse_depth(value, MAX_JSON_DEPTH)
    return value


def _finite(text: str) -> float:
    """Python's parser makes an infinity of a number that is too large, which is no JSON any more."""
    if not isfinite(value := float(text)):
        raise ValueError(text)
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _refuse_depth(value: object, left: int) -> None:
    if left == 0:
        raise BadRequest(f"The JSON is nested more than {MAX_JSON_DEPTH} deep.")
    if isinstance(value, dict):
        for item in value.values():
            if isinstance(item, dict | list):
                _refuse_depth(item, left - 1)
    elif isinstance(value, list):
        for item in value:
            if isinstance(item, dict | list):
                _refuse_depth(item, left - 1)
