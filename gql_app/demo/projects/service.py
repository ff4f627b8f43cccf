"""What people can do with projects. Each function is a unit of work, and a mutation."""

from typing import Annotated

from sqlalchemy.orm import Session

from gql_app import Viewer, clean_text, mutation
from gql_app.demo.projects import models
from gql_app.demo.projects.graphql import Comment, Project
from gql_app.demo.projects.models import ProjectStatus

NAME_LENGTH = 200
COMMENT_LENGTH = 5000


@mutation(Project)
def create_project(
    session: Session, viewer: Viewer, name: Annotated[str, f"At most {NAME_LENGTH} characters."]
) -> models.Project:
    """Begin a project of one's own."""
    cleaned = clean_text(name, field="name", shortest=1, longest=NAME_LENGTH)
    project = models.Project(owner_id=viewer.id, name=cleaned)
    session.add(project)
    return project


@mutation(Project)
def set_project_status(
    session: Session, viewer: Viewer, project: models.Project, status: ProjectStatus
) -> models.Project:
    """Change the status of one's own project; admins of any."""
    project.status = status
    return project


@mutation(Comment)
def add_comment(
    session: Session,
    viewer: Viewer,
    project: models.Project,
    body: Annotated[str, f"At most {COMMENT_LENGTH} characters."],
) -> models.Comment:
    """Comment on one's own project; admins on any."""
    cleaned = clean_text(body, field="body", shortest=1, longest=COMMENT_LENGTH)
    comment = models.Comment(
        project_id=project.id,
        project_owner_id=project.owner_id,
        author_id=viewer.id,
        project=project.public_id,
        body=cleaned,
    )
    session.add(comment)
    return comment
