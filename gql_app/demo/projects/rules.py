"""Who is told when a project's status changes."""

from collections.abc import Iterator

from gql_app.accounts.models import User
from gql_app.deliveries.messages import Owed, email, sms
from gql_app.deliveries.rules import Change, on_change
from gql_app.deliveries.templates import Templates
from gql_app.demo.projects.models import Project

TEMPLATES = Templates("gql_app.demo.projects")


@on_change(Project.status, propagate=True)
def tell_owner(change: Change[Project]) -> Iterator[Owed]:
    project, status = change.subject, change.new.label
    owner = change.session.get_one(User, project.owner_id)
    yield sms(owner, f"The status of your Project has changed to {status}.")
    yield email(owner, TEMPLATES, "status", status=status, name=project.name)
