"""A model for each way to declare an audience. They are the product's only within `declared`."""

import contextlib
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, ForeignKey, String
from sqlalchemy.orm import DeclarativeBase, Mapped, configure_mappers, mapped_column

from gql_app.accounts.roles import Role
from gql_app.audiences import Audience, grant, key, owner, parent, person, registry, role, rows
from gql_app.changes.tracking import Tracked, tracked
from gql_app.db import BigId
from gql_app.demo.verticals import DEMO
from gql_app.vertical import Vertical


class Base(DeclarativeBase):
    """Of its own: these tables are in no migration."""


class Rental(Tracked, Base):
    """Two people."""

    __tablename__ = "aud_rentals"
    __entity__ = "AudRental"
    __audience__ = Audience(owner("renter_id"), person("landlord_id"))

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    status: Mapped[str] = tracked(String(8))
    renter_id: Mapped[int | None] = mapped_column(BigId)
    landlord_id: Mapped[int] = tracked(BigId)


class Talk(Tracked, Base):
    """Whoever takes part."""

    __tablename__ = "aud_talks"
    __entity__ = "AudTalk"
    __audience__ = Audience(rows(lambda: Participant, "talk_id", "user_id"))

    id: Mapped[UUID] = mapped_column(primary_key=True)
    status: Mapped[str] = tracked(String(8))


class Participant(Tracked, Base):
    """Seen by herself and by the others of the talk."""

    __tablename__ = "aud_participants"
    __entity__ = "AudParticipant"
    __audience__ = Audience(owner("user_id"), parent("talk_id"))

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    status: Mapped[str] = tracked(String(8))
    talk_id: Mapped[UUID] = tracked(ForeignKey("aud_talks.id"))
    user_id: Mapped[int] = mapped_column(BigId)


class Message(Tracked, Base):
    """Seen by whoever sees the talk."""

    __tablename__ = "aud_messages"
    __entity__ = "AudMessage"
    __audience__ = Audience(parent("talk_id"))

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    status: Mapped[str] = tracked(String(8))
    talk_id: Mapped[UUID] = mapped_column(ForeignKey("aud_talks.id"))


class Reaction(Tracked, Base):
    """A child of a child, and its own column hides it."""

    __tablename__ = "aud_reactions"
    __entity__ = "AudReaction"
    __audience__ = Audience(parent("message_id"), unless="gone")

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    status: Mapped[str] = tracked(String(8))
    message_id: Mapped[int] = tracked(BigId, ForeignKey("aud_messages.id"))
    gone: Mapped[int | None] = mapped_column(BigId)


class Membership(Tracked, Base):
    """Gives two keys. Members see each other."""

    __tablename__ = "aud_memberships"
    __entity__ = "AudMembership"
    __audience__ = Audience(owner("user_id"), key("organisation", "organisation_id"), unless="gone")
    __grants__ = (
        grant("organisation", "organisation_id", to="user_id"),
        grant("crew", "crew_id", to="user_id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    status: Mapped[str] = tracked(String(8))
    user_id: Mapped[int] = tracked(BigId)
    organisation_id: Mapped[UUID | None] = tracked()
    crew_id: Mapped[int | None] = tracked(BigId)
    gone: Mapped[int | None] = tracked(BigId)


class Boat(Tracked, Base):
    """Of an organisation; approvers see all that are not gone."""

    __tablename__ = "aud_boats"
    __entity__ = "AudBoat"
    __audience__ = Audience(key("organisation", "organisation_id"), role(Role.APPROVER), unless="gone")

    id: Mapped[UUID] = mapped_column(primary_key=True)
    status: Mapped[str] = tracked(String(8))
    organisation_id: Mapped[UUID | None] = tracked()
    gone: Mapped[int | None] = tracked(BigId)


class Guide(Tracked, Base):
    """Of a crew, of the organisations that it is shared with, and approvers see the kind as a whole."""

    __tablename__ = "aud_guides"
    __entity__ = "AudGuide"
    __audience__ = Audience(
        role(Role.APPROVER),
        key("crew", "crew_id"),
        rows(lambda: Share, "guide_id", "organisation_id", kind="organisation"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    status: Mapped[str] = tracked(String(8))
    crew_id: Mapped[int | None] = mapped_column(BigId)


class Share(Tracked, Base):
    """Counts until it is revoked. Approvers see what is not revoked, as they see all guides."""

    __tablename__ = "aud_shares"
    __entity__ = "AudShare"
    __audience__ = Audience(parent("guide_id"), unless="revoked")

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    status: Mapped[str] = tracked(String(8))
    guide_id: Mapped[int] = mapped_column(BigId, ForeignKey("aud_guides.id"))
    organisation_id: Mapped[UUID] = mapped_column()
    revoked: Mapped[bool | None] = tracked(Boolean)


class Note(Tracked, Base):
    """With an owner of its own, and up to two parents."""

    __tablename__ = "aud_notes"
    __entity__ = "AudNote"
    __audience__ = Audience(owner("author_id"), parent("guide_id"), parent("boat_id"))

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    status: Mapped[str] = tracked(String(8))
    author_id: Mapped[int | None] = tracked(BigId)
    guide_id: Mapped[int | None] = tracked(BigId, ForeignKey("aud_guides.id"))
    boat_id: Mapped[UUID | None] = mapped_column(ForeignKey("aud_boats.id"))


class Receipt(Tracked, Base):
    """Without an owner of its own: that of the rental is its owner."""

    __tablename__ = "aud_receipts"
    __entity__ = "AudReceipt"
    __audience__ = Audience(parent("rental_id"), parent("guide_id"))

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    status: Mapped[str] = tracked(String(8))
    rental_id: Mapped[int | None] = mapped_column(BigId, ForeignKey("aud_rentals.id"))
    guide_id: Mapped[int] = mapped_column(BigId, ForeignKey("aud_guides.id"))


class Diary(Tracked, Base):
    """Not for admins."""

    __tablename__ = "aud_diaries"
    __entity__ = "AudDiary"
    __audience__ = Audience(owner("writer_id"), admins=False)

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    status: Mapped[str] = tracked(String(8))
    writer_id: Mapped[int] = mapped_column(BigId)


class Page(Tracked, Base):
    """Nor is what belongs to it."""

    __tablename__ = "aud_pages"
    __entity__ = "AudPage"
    __audience__ = Audience(parent("diary_id"))

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    status: Mapped[str] = tracked(String(8))
    diary_id: Mapped[int] = mapped_column(BigId, ForeignKey("aud_diaries.id"))


MODELS: list[type[Any]] = [
    *(Rental, Talk, Participant, Message, Reaction, Membership, Boat),
    *(Guide, Share, Note, Receipt, Diary, Page),
]
WITH_THEIRS = (*DEMO, Vertical("audiences", models=tuple(MODELS)))
"""The service's verticals, and these models."""
BY_NAME: dict[str, type[Any]] = {model.__entity__.removeprefix("Aud"): model for model in MODELS}


@contextlib.contextmanager
def declared() -> Iterator[None]:
    """Within this the product knows the models. Elsewhere their tables are missing, and everybody's keys are in one."""
    for model in MODELS:
        registry.add(model)
    try:
        yield
    finally:
        for model in MODELS:
            registry.discard(model)


configure_mappers()
for _model in MODELS:
    registry.discard(_model)
