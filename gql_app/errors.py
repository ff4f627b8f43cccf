"""What can go wrong, as a tree: every error has a stable code and says what to do.

    GqlAppError
    ├── UserFault            expected; a mutation returns it in its payload's ``errors``
    │   ├── Invalid · NotFound · Taken · Conflict · BadCredentials · RateLimited
    ├── AccessError          a GraphQL error, never a payload error
    │   ├── Unauthenticated · SessionReplaced · Forbidden
    ├── CursorExpired        the change log no longer holds the event of this cursor
    ├── Undecodable          a value was written by another version
    ├── TooSlow              what one event needs took the database too long
    ├── Interrupted          a stream ends as with a lost line, and goes on at its cursor when the client comes back
    │   ├── Unavailable      an outage: what has this path was not done, and may be tried again
    │   ├── Overloaded · Stopping
    ├── OutcomeUnknown       an outage in a commit: whether it was done is to be looked up
    └── ConfigurationError   the service refuses to start

The docstring of a class is its default message. A vertical may add its own: a subclass with a ``code`` of its own, a
text, which it names in its ``errors``.
"""

import enum
from typing import ClassVar


class ErrorCode(enum.Enum):
    """The codes that clients may rely on, besides those of verticals; more may be added, none is renamed."""

    INVALID = "INVALID"
    NOT_FOUND = "NOT_FOUND"
    TAKEN = "TAKEN"
    CONFLICT = "CONFLICT"
    BAD_CREDENTIALS = "BAD_CREDENTIALS"
    RATE_LIMITED = "RATE_LIMITED"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    FORBIDDEN = "FORBIDDEN"
    CURSOR_EXPIRED = "CURSOR_EXPIRED"
    SESSION_REPLACED = "SESSION_REPLACED"
    UNAVAILABLE = "UNAVAILABLE"
    OVERLOADED = "OVERLOADED"
    STOPPING = "STOPPING"
    OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN"
    UNDECODABLE = "UNDECODABLE"


class GqlAppError(Exception):
    """Something went wrong."""

    code: ClassVar[ErrorCode | str] = ErrorCode.INVALID
    retryable: ClassVar[bool] = False
    """Whether the same request, or the same subscription after its last cursor, may succeed a little later."""

    def __init__(self, message: str | None = None) -> None:
        self.message = message or (type(self).__doc__ or "").strip().splitlines()[0]
        super().__init__(self.message)

    @property
    def extensions(self) -> dict[str, object]:
        """What a GraphQL error about this carries under ``extensions``."""
        return {"code": code_text(type(self)), "retryable": self.retryable}


def code_text(kind: type[GqlAppError]) -> str:
    """The code of errors of this class, as clients see it."""
    return kind.code if isinstance(kind.code, str) else kind.code.value


class UserFault(GqlAppError):
    """The request cannot be carried out as it is."""

    def __init__(self, message: str | None = None, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field.split(".") if field else None
        """Path of the argument, or in a mutation's input of the field, that is to blame."""


class Invalid(UserFault):
    """A value is not acceptable."""


class NotFound(UserFault):
    """There is no such thing, or you may not see it."""

    code = ErrorCode.NOT_FOUND


class Taken(UserFault):
    """Somebody else has this already."""

    code = ErrorCode.TAKEN


class Conflict(UserFault):
    """It has changed in the meantime; load it again."""

    code = ErrorCode.CONFLICT


class BadCredentials(UserFault):
    """The username or the password is wrong."""

    code = ErrorCode.BAD_CREDENTIALS


class RateLimited(UserFault):
    """Too many attempts; try again later."""

    code = ErrorCode.RATE_LIMITED
    retryable = True

    def __init__(self, message: str | None = None, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after

    @property
    def extensions(self) -> dict[str, object]:
        return {**super().extensions, "retryAfter": round(self.retry_after)}


class AccessError(GqlAppError):
    """You may not do this."""

    code = ErrorCode.FORBIDDEN


class Unauthenticated(AccessError):
    """Sign in first: send the session's token as `Authorization: Bearer …`."""

    code = ErrorCode.UNAUTHENTICATED


class SessionReplaced(AccessError):
    """The password was changed, which ended this session: go on with the token of the new one, or sign in again."""

    code = ErrorCode.SESSION_REPLACED


class Forbidden(AccessError):
    """Your role does not allow this."""


class CursorExpired(GqlAppError):
    """The change log no longer holds the event of this cursor; load the present state, then subscribe anew."""

    code = ErrorCode.CURSOR_EXPIRED

    def __init__(self, oldest_cursor: str) -> None:
        super().__init__()
        self.oldest_cursor = oldest_cursor

    @property
    def extensions(self) -> dict[str, object]:
        return {**super().extensions, "oldestCursor": self.oldest_cursor}


class Undecodable(GqlAppError):
    """A value was written by another version of the service, and cannot be read by this one."""

    code = ErrorCode.UNDECODABLE
    retryable = True


class TooSlow(GqlAppError):
    """The database took too long to answer; try again a little later."""

    code = ErrorCode.UNAVAILABLE
    retryable = True


class Interrupted(GqlAppError):
    """The stream was interrupted; subscribe again after the last cursor."""

    code = ErrorCode.UNAVAILABLE
    retryable = True


class Unavailable(Interrupted):
    """The database cannot be reached at present; try again soon."""


class Overloaded(Interrupted):
    """What was sent was left unread for too long; subscribe again after the last cursor."""

    code = ErrorCode.OVERLOADED


class Stopping(Interrupted):
    """The process stops; subscribe again after the last cursor, and another one will answer."""

    code = ErrorCode.STOPPING


class OutcomeUnknown(GqlAppError):
    """The database was lost in the commit: ask again with the same Idempotency-Key, or look whether it was done."""

    code = ErrorCode.OUTCOME_UNKNOWN


class ConfigurationError(GqlAppError):
    """The settings do not allow the service to start."""
