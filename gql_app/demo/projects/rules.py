"""Who is told when a project's status changes."""

from collections.abc import Iterator

from gql_app import Change, Owed, Templates, email, on_change, sms
from gql_app.accounts import User
from gql_app.demo.projects.models import Project

TEMPLATES = Templates("gql_app.demo.projects")


@on_change(Project.status, propagate=True)
def tell_owner(change: Change[Project]) -> Iterator[Owed]:
    project, status = change.subject, change.new.label
    owner = change.session.get_one(User, project.owner_id)
    yield sms(owner, TEMPLATES, "status", status=status)
    yield email(owner, TEMPLATES, "status", username=owner.username, status=status, name=project.name)
