"""What triggers have noted and the log does not have yet, and whether there are triggers."""

from sqlalchemy import Boolean, Text, false
from sqlalchemy.orm import Mapped, mapped_column

from gql_app.db import Base, BigId


class ChangeImage(Base):
    """One row before and after a statement from outside, as JSON (see `images`).

    An id is drawn while the row is locked: the images of one row are in their true order. `tx` is the transaction on
    PostgreSQL; on SQLite NULL, or OWN. Of a secret column there is a mark and no value. Of a `failed` one no entry can
    be made.
    """

    __tablename__ = "change_images"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    tx: Mapped[str | None] = mapped_column(Text)
    table_name: Mapped[str] = mapped_column(Text)
    op: Mapped[str] = mapped_column(Text)
    old: Mapped[str | None] = mapped_column(Text)
    new: Mapped[str | None] = mapped_column(Text)
    failed: Mapped[bool] = mapped_column(Boolean, server_default=false())


class ChangeCapture(Base):
    """One row. Every process looks at `installed`, and then says of its transactions that they are its own: on SQLite
    by `inside`, which is 0 again before the commit."""

    __tablename__ = "change_capture"

    id: Mapped[int] = mapped_column(primary_key=True)
    installed: Mapped[bool] = mapped_column(Boolean)
    inside: Mapped[bool] = mapped_column(Boolean)
