"""What graphql-transport-ws says (github.com/enisdenjo/graphql-ws, PROTOCOL.md): its name, codes, and messages."""

import json
from typing import Any

from gql_app.transport.requests import BadRequest, parse_json

PROTOCOL = "graphql-transport-ws"


class Gone(Exception):
    """The client has gone; the reader will hear of it."""


class Close(Exception):
    """Close the socket with this code (those of the protocol, of `endings`, and 4429 of common use)."""

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(reason)


def read_message(text: str | None) -> dict[str, Any]:
    """Raises Close for what is no message."""
    try:
        message = parse_json(text if text is not None else "")
    except BadRequest as error:
        raise Close(4400, "Messages must be JSON texts") from error
    if not isinstance(message, dict):
        raise Close(4400, "Messages must be JSON objects")
    return message


def read_id(operation_id: object) -> str:
    """Raises Close."""
    if not isinstance(operation_id, str) or not operation_id or len(operation_id) > 128:
        raise Close(4400, "The id must be a text of 1 to 128 characters")
    return operation_id


def short(text: str) -> str:
    """As much of it as fits into the reason of a close, which holds 123 bytes (RFC 6455, 5.5.1)."""
    return text.encode("utf-8", "replace")[:60].decode("utf-8", "ignore")


def beginning(operation_id: str) -> str:
    """What comes before the answer in a `next` message."""
    return f'{{"id":{json.dumps(operation_id)},"type":"next","payload":'


def authorization(payload: dict[str, Any]) -> str | None:
    """The payload's ``Authorization``, or the same in a ``headers`` object as GraphiQL and Apollo send it."""
    headers = payload.get("headers")
    for source in (payload, headers if isinstance(headers, dict) else {}):
        for name, value in source.items():
            if name.lower() == "authorization" and value is not None and value != "":
                if not isinstance(value, str):
                    raise Close(4400, "Authorization must be a text")
                return value
    return None
