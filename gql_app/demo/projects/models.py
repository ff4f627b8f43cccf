"""A project with a status that may change as often as it likes, and comments, which are only audited."""

import enum
from uuid import UUID

from sqlalchemy import Enum, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from gql_app import Audience, Base, BigId, Timestamped, Tracked, owner, parent, tracked


class ProjectStatus(enum.Enum):
    """Where a project stands. `label` is how people read it."""

    PLANNED = "PLANNED"
    ACTIVE = "ACTIVE"
    ON_HOLD = "ON_HOLD"
    DONE = "DONE"

    @property
    def label(self) -> str:
        return self.value.replace("_", " ").capitalize()


class Project(Tracked, Timestamped, Base):
    """Belongs to whoever created it."""

    __tablename__ = "projects"
    __entity__ = "Project"
    __audience__ = Audience(owner("owner_id"))
    __table_args__ = (Index(None, "owner_id", "created_at", "id"), Index(None, "created_at", "id"))

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    owner_id: Mapped[int] = mapped_column(BigId, ForeignKey("users.id"))
    name: Mapped[str] = tracked(String(200))
    status: Mapped[ProjectStatus] = tracked(
        Enum(ProjectStatus, native_enum=False, length=16), default=ProjectStatus.PLANNED
    )


class Comment(Tracked, Timestamped, Base):
    """A comment is seen by those who see its project.

    `project_owner_id` is there for processes of the version before, which go by it while a new version comes up.
    """

    __tablename__ = "comments"
    __entity__ = "Comment"
    __audience__ = Audience(parent("project_id"))
    __table_args__ = (Index(None, "project_id", "created_at", "id"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    project_id: Mapped[int] = mapped_column(BigId, ForeignKey("projects.id"))
    project_owner_id: Mapped[int] = mapped_column(BigId)
    author_id: Mapped[int] = mapped_column(BigId, ForeignKey("users.id"))
    # The log tells by it which project a comment is on.
    project: Mapped[UUID] = tracked()
    body: Mapped[str] = mapped_column(Text)
