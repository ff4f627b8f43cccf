"""The connections to PostgreSQL: how they are made and watched, and what is said on them past SQLAlchemy."""

import contextlib
import socket
import sys
from collections.abc import Iterator
from typing import Any

from asyncpg import InterfaceError, PostgresError
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from gql_app.db.failures import is_outage

RAW_ERRORS = (PostgresError, InterfaceError, OSError)
"""What asyncpg raises; a TimeoutError is an OSError."""

NO_STATEMENT_TIMEOUT = text("SET LOCAL statement_timeout = 0")
"""For this transaction: a command that an operator has called takes as long as it takes."""

INSIDE = text("SELECT set_config('gql_app.inside', 'on', true)")
"""This transaction is one of the service's own: its writes are recorded by what makes them."""


def make_engine(url: str, pool_size: int) -> AsyncEngine:
    """An engine whose errors are all SQLAlchemy's, and whose transactions are READ COMMITTED whatever the default is.

    Our units of work are made for that level: a statement sees what was committed while it waited for a lock.
    """
    engine = create_async_engine(
        url, pool_size=pool_size, max_overflow=0, hide_parameters=True, isolation_level="READ COMMITTED"
    )
    event.listen(engine.sync_engine, "do_connect", _connect)
    event.listen(engine.sync_engine, "checkout", _refuse_closed)
    event.listen(engine.sync_engine, "connect", _notice_silence)
    return engine


@contextlib.contextmanager
def as_sqlalchemy_would(connection: Any, statements: str) -> Iterator[None]:
    """Raise what asyncpg raises on this connection of its own as SQLAlchemy's DBAPIError."""
    try:
        yield
    except RAW_ERRORS as error:
        gone = connection.is_closed() or isinstance(error, OSError) or is_outage(error)
        raise DBAPIError(
            statements,
            None,
            error,
            hide_parameters=True,
            connection_invalidated=gone,
        ) from error


def _connect(dialect: Any, record: object, arguments: Any, options: Any) -> Any:
    """SQLAlchemy lets pass what asyncpg raises while a connection is being made."""
    try:
        return dialect.connect(*arguments, **options)
    except RAW_ERRORS as error:
        raise dialect.dbapi.OperationalError(str(error) or type(error).__name__) from error


def _refuse_closed(connection: Any, record: object, proxy: object) -> None:
    """The pool then makes another one. asyncpg knows when the server is gone; to ask it takes three messages."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError


def _notice_silence(connection: Any, record: object) -> None:
    """A server that has vanished without a word is noticed within half a minute; by itself Linux takes 15 minutes."""
    plugged = connection.driver_connection._transport.get_extra_info("socket")
    if plugged is None or plugged.family == socket.AF_UNIX:
        return
    plugged.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sys.platform == "linux":
        plugged.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10)
        plugged.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
        plugged.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)
        plugged.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 30_000)
