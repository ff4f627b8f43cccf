"""The peers' tables. `BENCH_DATABASE` names the SQLite file."""

import os
from typing import Any

from sqlalchemy import ForeignKey, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

PRAGMAS = ("journal_mode=WAL", "synchronous=NORMAL")
"""The durability of the product on SQLite."""


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str]


class FuelRequest(Base):
    __tablename__ = "fuel_requests"
    id: Mapped[int] = mapped_column(primary_key=True)
    requester_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    status: Mapped[str]
    litres: Mapped[str]


def database_path() -> str:
    return os.environ["BENCH_DATABASE"]


def make_engine() -> AsyncEngine:
    engine = create_async_engine(f"sqlite+aiosqlite:///{database_path()}")
    event.listen(engine.sync_engine, "connect", _set_up)
    return engine


def _set_up(connection: Any, record: object) -> None:
    cursor = connection.cursor()
    for pragma in PRAGMAS:
        cursor.execute("PRAGMA " + pragma)
    cursor.close()
