"""The database: the models' base, how a transaction is opened, and what differs between SQLite and PostgreSQL.

A unit of work is a plain function whose first argument is a `Session`; `Database.read` and `Database.write` run it
in one transaction of its own. The function never commits and may run more than once: when another transaction got in
its way (a stale version, a deadlock, a serialization failure) it is rolled back and tried again from the start.
"""

from gql_app.db.base import Base, BigId, Timestamped, UtcDateTime
from gql_app.db.clock import Reading, moment, now, uptime
from gql_app.db.database import Database
from gql_app.db.failures import is_cancelled, is_locked, is_outage, is_unfit, is_unreadable, refuses_a_value
from gql_app.db.guard import ANNOUNCED, FOLLOWER, ReadOnly, UntrackedWrite, announcing, guard
from gql_app.db.sessions import ON_COMMIT, ReadSession, WriteSession

__all__ = [
    "ANNOUNCED",
    "FOLLOWER",
    "ON_COMMIT",
    "Base",
    "BigId",
    "Database",
    "ReadOnly",
    "ReadSession",
    "Reading",
    "Timestamped",
    "UntrackedWrite",
    "UtcDateTime",
    "WriteSession",
    "announcing",
    "guard",
    "is_cancelled",
    "is_locked",
    "is_outage",
    "is_unfit",
    "is_unreadable",
    "moment",
    "now",
    "refuses_a_value",
    "uptime",
]
