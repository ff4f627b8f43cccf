"""What an error of the database means: it is away, others were in the way, or it refuses a value."""

from asyncpg import OperatorInterventionError, PostgresConnectionError, TooManyConnectionsError
from sqlalchemy import Enum
from sqlalchemy.exc import DBAPIError, StatementError
from sqlalchemy.orm.exc import StaleDataError

AWAY = (PostgresConnectionError, OperatorInterventionError, TooManyConnectionsError)
"""Broken connections, a PostgreSQL that shuts down or starts (its classes 08 and 57), or that is full (53300)."""
CANCELLED = "57014"
"""PostgreSQL's query_canceled: the statement took longer than its statement_timeout, or somebody has cancelled it."""
LOCK_TIMEOUT = "55P03"
"""PostgreSQL's lock_not_available: its lock_timeout was over."""
RETRIED_SQLSTATES = {"40001", "40P01", LOCK_TIMEOUT}
"""serialization_failure, deadlock_detected (PostgreSQL, appendix A), and who waited too long for others."""


def is_outage(error: BaseException) -> bool:
    """Whether the database is away, which passes; not that it refused what it was told."""
    found: BaseException | None = error
    is_the_databases = False
    while found is not None:
        if isinstance(found, AWAY) or (isinstance(found, DBAPIError) and found.connection_invalidated):
            return True
        # Others than the database raise OSErrors, too: another service may be away for good, a file does not come back.
        is_the_databases = is_the_databases or isinstance(found, DBAPIError)
        if is_the_databases and isinstance(found, OSError):
            return True
        # A connection that breaks while it is being made is wrapped twice, and not called invalidated.
        found = getattr(found, "orig", None) or found.__cause__
    return False


def is_cancelled(error: BaseException) -> bool:
    """Whether the statement was stopped: it took too long. That may be for a lock, or always be so."""
    return isinstance(error, DBAPIError) and _sqlstate(error) == CANCELLED


def is_unreadable(error: BaseException) -> bool:
    """Whether a stored value is unknown to the type of its column: another version of the service wrote it."""
    at = error.__traceback__ if isinstance(error, LookupError | ValueError) else None
    while at is not None:
        code = at.tb_frame.f_code
        if code is Enum._object_value_for_elem.__code__ or code.co_name == "process_result_value":
            return True
        at = at.tb_next
    return False


def is_locked(error: DBAPIError) -> bool:
    """Whether it waited for another transaction for as long as the database lets it."""
    return _sqlstate(error) == LOCK_TIMEOUT


def refuses_a_value(error: DBAPIError) -> bool:
    """Whether the database cannot store some value at all (PostgreSQL's class 22, "data exception")."""
    return _sqlstate(error).startswith("22")


def is_unfit(error: BaseException) -> bool:
    """Whether a value that was sent cannot be one of its column: its type, its driver or the database says so."""
    if isinstance(error, DBAPIError):
        return refuses_a_value(error) or isinstance(error.orig, UnicodeError | OverflowError)
    return isinstance(error, StatementError | UnicodeError | OverflowError)


def is_worth_retrying(error: Exception) -> bool:
    """Whether others got in the way: the same unit of work may succeed when it is run again."""
    return isinstance(error, StaleDataError) or _sqlstate(error) in RETRIED_SQLSTATES


def _sqlstate(error: Exception) -> str:
    return str(getattr(getattr(error, "orig", None), "sqlstate", None) or "")


class CutOff(Exception):
    """The connection broke while nothing was to be committed yet: nothing of the unit of work has happened."""

    def __init__(self, error: DBAPIError) -> None:
        self.error = error
