"""What people can do with projects. Each function is a unit of work."""

from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from gql_app import Viewer, clean_text, seen
from gql_app.demo.projects.models import Comment, Project, ProjectStatus
from gql_app.errors import NotFound

NAME_LENGTH = 200
COMMENT_LENGTH = 5000


def get(session: Session, viewer: Viewer, project_id: UUID, *, field: str = "id") -> Project:
    """Raises NotFound also for a project that the viewer may not see."""
    project = session.scalar(seen(Project, viewer).where(Project.public_id == project_id))
    if project is None:
        raise NotFound(field=field)
    return project


def comments_on(project: Project) -> Select[Comment]:
    return select(Comment).where(Comment.project_id == project.id)


def create(session: Session, viewer: Viewer, name: str) -> Project:
    """Raises Invalid."""
    cleaned = clean_text(name, field="name", shortest=1, longest=NAME_LENGTH)
    project = Project(owner_id=viewer.id, name=cleaned)
    session.add(project)
    session.flush()
    return project


def set_status(session: Session, viewer: Viewer, project_id: UUID, status: ProjectStatus) -> Project:
    """Raises NotFound."""
    project = get(session, viewer, project_id)
    project.status = status
    session.flush()
    return project


def add_comment(session: Session, viewer: Viewer, project_id: UUID, body: str) -> Comment:
    """Raises Invalid, NotFound."""
    cleaned = clean_text(body, field="body", shortest=1, longest=COMMENT_LENGTH)
    project = get(session, viewer, project_id, field="projectId")
    comment = Comment(
        project_id=project.id,
        project_owner_id=project.owner_id,
        author_id=viewer.id,
        project=project.public_id,
        body=cleaned,
    )
    session.add(comment)
    session.flush()
    return comment
