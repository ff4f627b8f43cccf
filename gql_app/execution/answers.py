"""What is answered, and what of an error is told."""

import json
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from graphql import ExecutionResult, GraphQLError

from gql_app.errors import GqlAppError, RateLimited, UserFault, code_text
from gql_app.execution.masking import without_values
from gql_app.execution.patience import as_ours

logger = logging.getLogger(__name__)

_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


@dataclass(frozen=True, slots=True)
class Answer:
    """A response as JSON text. `request_error`: nothing was executed, the request itself was wrong.

    `cursor` is where a subscriber stands who has seen this event; `code` is that of the error that refused a request.
    """

    body: str
    request_error: bool = False
    cursor: str | None = None
    code: str = ""
    retry_after: int | None = None
    """Of a refusal for too much in a short time: seconds."""
    _frames: dict[object, bytes] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def without_data(cls, extensions: Mapping[str, Any], *, cursor: str) -> "Answer":
        return cls(_encode({"data": None, "extensions": extensions}), cursor=cursor)

    def framed(self, framing: object, make: Callable[["Answer"], bytes]) -> bytes:
        """What ``make`` makes of it, made once however many it is sent to."""
        found = self._frames.get(framing)
        if found is None:
            found = self._frames[framing] = make(self)
        return found


def cause(error: GraphQLError) -> Exception | None:
    """What a resolver raised; None for an error of GraphQL's own."""
    found = error.original_error
    while isinstance(found, GraphQLError) and found.original_error is not None:
        found = found.original_error
    return found


def answer(
    result: ExecutionResult,
    *,
    cursor: str | None = None,
    request_error: bool = False,
    extensions: Mapping[str, Any] | None = None,
    is_final: bool = False,
) -> Answer:
    """``is_final``: no error is told as one that may pass."""
    body: dict[str, Any] = {}
    errors = result.errors
    before_execution = result.data is None and errors is not None and all(error.path is None for error in errors)
    if errors:
        body["errors"] = shown = [present(error) for error in errors]
        if is_final:
            for each in shown:
                each["extensions"]["retryable"] = False
    if not before_execution:
        body["data"] = result.data
    if extensions is not None:
        body["extensions"] = extensions
    try:
        text = _encode(body)
    except (TypeError, ValueError, RecursionError) as error:  # a scalar that serializes to what is no JSON
        text = _encode({"errors": [present(GraphQLError("", original_error=error))], "data": None})
    return Answer(text, before_execution or request_error, cursor)


def refusal(errors: Sequence[GraphQLError]) -> Answer:
    """Nothing was executed: this is why."""
    shown = [present(each) for each in errors]
    code = str(shown[0]["extensions"]["code"]) if shown else ""
    return Answer(_encode({"errors": shown}), request_error=True, code=code)


def refusal_of(error: GqlAppError) -> Answer:
    found = refusal([GraphQLError(error.message, original_error=error)])
    return replace(found, retry_after=round(error.retry_after)) if isinstance(error, RateLimited) else found


def refusal_of_unexpected(error: Exception) -> Answer:
    """For a fault of our own outside of any resolver."""
    return refusal([GraphQLError("", original_error=error)])


def present(error: GraphQLError) -> dict[str, Any]:
    """An error as it is sent: our own with their codes, GraphQL's without the values, all others only as an id.

    An outage is told as one: the client may try again.
    """
    original = cause(error)
    shown: dict[str, Any]
    if original is not None and not isinstance(original, GqlAppError) and (known := as_ours(original)) is not None:
        logger.warning("not answered, %s: %r", code_text(type(known)), original)
        original = known
    if isinstance(original, GqlAppError):
        extensions = dict(original.extensions)
        if isinstance(original, UserFault) and original.field:
            extensions["field"] = original.field
        shown = {"message": original.message, "extensions": extensions}
    elif original is None or isinstance(original, GraphQLError):
        code = {"code": "BAD_USER_INPUT", "retryable": False} | dict(error.extensions or {})
        shown = {"message": without_values(error.message), "extensions": code}
    else:
        error_id = secrets.token_hex(6)
        logger.error("unexpected error %s at %s", error_id, error.path, exc_info=original)
        message = "Something went wrong on our side. It was logged under the id in `extensions`."
        shown = {"message": message, "extensions": {"code": "INTERNAL", "retryable": False, "errorId": error_id}}
    if error.locations:
        shown["locations"] = [location.formatted for location in error.locations]
    if error.path:
        shown["path"] = error.path
    return shown
