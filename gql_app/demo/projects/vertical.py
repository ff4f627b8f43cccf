"""Projects and comments as a vertical."""

from pathlib import Path

from gql_app import Vertical
from gql_app.accounts import ACCOUNTS
from gql_app.demo.projects import rules
from gql_app.demo.projects.graphql import (
    ProjectMutations,
    ProjectQueries,
    ProjectSubscriptions,
    comments_by_public_id,
    projects_by_public_id,
)
from gql_app.demo.projects.models import Comment, Project

PROJECTS = Vertical(
    "projects",
    migrations=Path(__file__).parent / "migrations",
    models=(Project, Comment),
    needs=(ACCOUNTS,),
    queries=(ProjectQueries,),
    mutations=(ProjectMutations,),
    subscriptions=(ProjectSubscriptions,),
    nodes={"Project": projects_by_public_id, "Comment": comments_by_public_id},
    rules=(rules.tell_owner,),
)
