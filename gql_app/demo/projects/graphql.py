"""Projects in the schema."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any, cast
from uuid import UUID

import strawberry
from sqlalchemy import Row
from sqlalchemy.orm import Session as DbSession

from gql_app import (
    ChangeEvent,
    Connection,
    Holder,
    Info,
    Node,
    Order,
    PageArgs,
    Topic,
    UserError,
    Viewer,
    as_it_is_now,
    faults_as,
    id_of,
    load_page,
    seen,
    value_of,
)
from gql_app.accounts.graphql import User, users_by_id
from gql_app.demo.projects import models, service
from gql_app.demo.projects.models import ProjectStatus
from gql_app.errors import NotFound

strawberry.enum(ProjectStatus)


@strawberry.type
class Project(Node):
    _kind: strawberry.Private[str] = "Project"
    owner_id: strawberry.Private[int]
    name: str
    status: ProjectStatus
    created_at: datetime
    updated_at: datetime

    @strawberry.field
    async def owner(self, info: Info) -> User:
        user = await info.context.load(users_by_id, self.owner_id)
        assert user is not None  # a foreign key holds it
        return user

    @classmethod
    def of(cls, row: models.Project | Row[Any]) -> "Project":
        return cls(
            public_id=row.public_id,
            owner_id=row.owner_id,
            name=row.name,
            status=row.status,
            created_at=row.created_at,
            updated_at=row.updated_at,
        )


@strawberry.type
class Comment(Node):
    _kind: strawberry.Private[str] = "Comment"
    author_id: strawberry.Private[int]
    project_public_id: strawberry.Private[UUID]
    body: str
    created_at: datetime

    @strawberry.field
    async def author(self, info: Info) -> User:
        user = await info.context.load(users_by_id, self.author_id)
        assert user is not None  # a foreign key holds it
        return user

    @strawberry.field
    async def project(self, info: Info) -> Project:
        project: Project | None = await as_it_is_now(info.context, "Project", self.project_public_id)
        if project is None:
            raise NotFound  # it has left the viewer's sight since the comment was read
        return project

    @classmethod
    def of(cls, row: models.Comment | Row[Any]) -> "Comment":
        return cls(
            public_id=row.public_id,
            author_id=row.author_id,
            project_public_id=row.project,
            body=row.body,
            created_at=row.created_at,
        )


def projects_by_public_id(session: DbSession, holder: Holder, ids: Sequence[UUID]) -> Mapping[UUID, Project]:
    query = seen(models.Project, holder).where(models.Project.public_id.in_(ids))
    return {row.public_id: Project.of(row) for row in session.scalars(query)}


def comments_by_public_id(session: DbSession, holder: Holder, ids: Sequence[UUID]) -> Mapping[UUID, Comment]:
    query = seen(models.Comment, holder).where(models.Comment.public_id.in_(ids))
    return {row.public_id: Comment.of(row) for row in session.scalars(query)}


def _page(session: DbSession, viewer: Viewer, args: PageArgs) -> Connection[Project]:
    order = Order(models.Project.created_at, models.Project.id, descending=True)
    return load_page(session, seen(models.Project, viewer), order, args, lambda rows: list(map(Project.of, rows)))


def _page_of_comments(session: DbSession, viewer: Viewer, project_id: UUID, args: PageArgs) -> Connection[Comment]:
    project = service.get(session, viewer, project_id, field="projectId")
    order = Order(models.Comment.created_at, models.Comment.id)
    return load_page(session, service.comments_on(project), order, args, lambda rows: list(map(Comment.of, rows)))


@strawberry.type
class ProjectQueries:
    @strawberry.field(description="One's own; for admins everybody's. Newest first.")
    async def projects(
        self,
        info: Info,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> Connection[Project]:
        viewer = info.context.require_viewer()
        return await info.context.read(_page, viewer, PageArgs(first, after, last, before))

    @strawberry.field(description="The comments on a project, oldest first.")
    async def comments(
        self,
        info: Info,
        project_id: strawberry.ID,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> Connection[Comment]:
        viewer = info.context.require_viewer()
        public_id = id_of("Project", project_id, field="projectId")
        args = PageArgs(first, after, last, before)
        return await info.context.read(_page_of_comments, viewer, public_id, args)


@strawberry.input
class CreateProjectInput:
    name: str


@strawberry.input
class SetProjectStatusInput:
    id: strawberry.ID
    status: ProjectStatus


@strawberry.input
class AddCommentInput:
    project_id: strawberry.ID
    body: str


@strawberry.type
class CreateProjectPayload:
    project: Project | None = None
    errors: list[UserError] = strawberry.field(default_factory=list)


@strawberry.type
class SetProjectStatusPayload:
    project: Project | None = None
    errors: list[UserError] = strawberry.field(default_factory=list)


@strawberry.type
class AddCommentPayload:
    comment: Comment | None = None
    errors: list[UserError] = strawberry.field(default_factory=list)


@strawberry.type
class ProjectMutations:
    @strawberry.mutation
    @faults_as(CreateProjectPayload)
    async def create_project(self, info: Info, input: CreateProjectInput) -> CreateProjectPayload:
        viewer = info.context.require_viewer()
        project = await info.context.write(service.create, viewer, input.name)
        return CreateProjectPayload(project=Project.of(project))

    @strawberry.mutation(description="Of one's own project; admins of any.")
    @faults_as(SetProjectStatusPayload)
    async def set_project_status(self, info: Info, input: SetProjectStatusInput) -> SetProjectStatusPayload:
        viewer = info.context.require_viewer()
        project_id = id_of("Project", input.id)
        project = await info.context.write(service.set_status, viewer, project_id, input.status)
        return SetProjectStatusPayload(project=Project.of(project))

    @strawberry.mutation(description="On one's own project; admins on any.")
    @faults_as(AddCommentPayload)
    async def add_comment(self, info: Info, input: AddCommentInput) -> AddCommentPayload:
        viewer = info.context.require_viewer()
        project_id = id_of("Project", input.project_id, field="projectId")
        comment = await info.context.write(service.add_comment, viewer, project_id, input.body)
        return AddCommentPayload(comment=Comment.of(comment))


@strawberry.type(description="A project was created (`previousStatus` is null then) or its status changed.")
class ProjectStatusChange:
    event: strawberry.Private[ChangeEvent]
    cursor: str
    occurred_at: datetime

    @strawberry.field
    def previous_status(self) -> ProjectStatus | None:
        return cast("ProjectStatus | None", value_of(models.Project.status, self.event.old_value))

    @strawberry.field
    def status(self) -> ProjectStatus:
        return cast(ProjectStatus, value_of(models.Project.status, self.event.new_value))

    @strawberry.field(description="As it is now; null for those who may not see it any more.")
    async def project(self, info: Info) -> Project | None:
        found: Project | None = await as_it_is_now(info.context, "Project", self.event.entity_id)
        return found

    @strawberry.field(description="Who did it.")
    async def actor(self, info: Info) -> User | None:
        actor_id = self.event.actor_id
        return await info.context.load(users_by_id, actor_id) if actor_id else None

    @classmethod
    def of(cls, event: ChangeEvent) -> "ProjectStatusChange":
        return cls(
            event=event,
            cursor=event.cursor,
            occurred_at=event.occurred_at,
        )


@strawberry.type
class CommentAdded:
    event: strawberry.Private[ChangeEvent]
    cursor: str
    occurred_at: datetime

    @strawberry.field(description="Null when it has been deleted since, or may not be seen any more.")
    async def comment(self, info: Info) -> Comment | None:
        found: Comment | None = await as_it_is_now(info.context, "Comment", self.event.entity_id)
        return found

    @classmethod
    def of(cls, event: ChangeEvent) -> "CommentAdded":
        return cls(event=event, cursor=event.cursor, occurred_at=event.occurred_at)


@strawberry.type
class ProjectSubscriptions:
    @strawberry.subscription(description="One's own, or the one with this id; for admins everybody's.")
    async def project_status_changed(
        self, info: Info, id: strawberry.ID | None = None, after: str | None = None
    ) -> AsyncIterator[ProjectStatusChange]:
        viewer = info.context.require_viewer()
        entity_id = id_of("Project", id) if id is not None else None
        if entity_id is not None:
            await info.context.look_up(service.get, viewer, entity_id)
        return info.context.stream([Topic("Project", "status", entity_id)], after, ProjectStatusChange.of)

    @strawberry.subscription(description="The comments on one project.")
    async def comment_added(
        self, info: Info, project_id: strawberry.ID, after: str | None = None
    ) -> AsyncIterator[CommentAdded]:
        viewer = info.context.require_viewer()
        public_id = id_of("Project", project_id, field="projectId")
        await info.context.look_up(service.get, viewer, public_id, field="projectId")
        topic = Topic("Comment", "project", new_value=str(public_id))
        return info.context.stream([topic], after, CommentAdded.of)
