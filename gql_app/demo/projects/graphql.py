"""Projects and their comments in the schema.

What a declaration gives is declared. The comments of one project are a list and a stream of their own, in plain
Strawberry.
"""

from collections.abc import AsyncIterator
from datetime import datetime
from uuid import UUID

import strawberry
from sqlalchemy.orm import Session as DbSession

from gql_app import (
    After,
    Before,
    ChangeEvent,
    Connection,
    First,
    Info,
    Last,
    Node,
    Order,
    PageArgs,
    Topic,
    Viewer,
    as_it_is_now,
    declared,
    entity,
    id_of,
    load_page,
    related,
    seen,
    shows,
)
from gql_app.accounts.graphql import User, users_by_id
from gql_app.demo.projects import models
from gql_app.demo.projects.models import ProjectStatus
from gql_app.errors import NotFound


@entity(
    models.Project,
    many="projects",
    orders=[models.Project.created_at],
    streams=[models.Project.status],
    actor=(User, users_by_id),
)
class Project(Node):
    """Something that somebody has begun."""

    name: str
    status: ProjectStatus
    created_at: datetime
    updated_at: datetime
    owner: User = related(models.Project.owner_id, by=users_by_id, description="Whose it is.")


@entity(models.Comment)
class Comment(Node):
    """What somebody has to say about a project."""

    project_public_id: strawberry.Private[UUID] = shows(models.Comment.project)
    body: str
    created_at: datetime
    author: User = related(models.Comment.author_id, by=users_by_id, description="Who has written it.")

    @strawberry.field(description="The project that it is about.")
    async def project(self, info: Info) -> Project:
        project: Project | None = await as_it_is_now(info.context, "Project", self.project_public_id)
        if project is None:
            raise NotFound  # it has left the viewer's sight since the comment was read
        return project


def _comments(session: DbSession, viewer: Viewer, project_id: UUID, args: PageArgs) -> Connection[Comment]:
    project = session.scalar(seen(models.Project, viewer).where(models.Project.public_id == project_id))
    if project is None:
        raise NotFound(field="projectId")
    query = declared(Comment).select(viewer).where(models.Comment.project_id == project.id)
    return load_page(
        session, query, Order(models.Comment.created_at, models.Comment.id), args, declared(Comment).of_rows
    )


@strawberry.type
class CommentQueries:
    @strawberry.field(description="The comments on a project, oldest first.")
    async def comments(
        self,
        info: Info,
        project_id: strawberry.ID,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Connection[Comment]:
        viewer = info.context.require_viewer()
        public_id = id_of("Project", project_id, field="projectId")
        return await info.context.read(_comments, viewer, public_id, PageArgs(first, after, last, before))


@strawberry.type(description="Somebody has commented on a project.")
class CommentAdded:
    event: strawberry.Private[ChangeEvent]
    cursor: str = strawberry.field(description="Cursor of this change. Pass it as `after` to resume behind it.")
    occurred_at: datetime = strawberry.field(description="When it was written.")

    @strawberry.field(description="Null when it has been deleted since, or may not be seen any more.")
    async def comment(self, info: Info) -> Comment | None:
        found: Comment | None = await as_it_is_now(info.context, "Comment", self.event.entity_id)
        return found

    @classmethod
    def of(cls, event: ChangeEvent) -> "CommentAdded":
        return cls(event=event, cursor=event.cursor, occurred_at=event.occurred_at)


@strawberry.type
class CommentSubscriptions:
    @strawberry.subscription(description="The comments on one project.")
    async def comment_added(
        self, info: Info, project_id: strawberry.ID, after: str | None = None
    ) -> AsyncIterator[CommentAdded]:
        info.context.require_viewer()
        public_id = id_of("Project", project_id, field="projectId")
        if await declared(Project).seen_by(info.context, public_id) is None:
            raise NotFound(field="projectId")
        topic = Topic("Comment", "project", new_value=str(public_id))
        return info.context.stream([topic], after, CommentAdded.of)
