"""Projects and comments as a vertical."""

from pathlib import Path

from gql_app import Vertical
from gql_app.accounts import ACCOUNTS
from gql_app.demo.projects import graphql, rules, service

PROJECTS = Vertical(
    "projects",
    needs=(ACCOUNTS,),
    entities=(graphql.Project, graphql.Comment),
    migrations=Path(__file__).parent / "migrations",
    queries=(graphql.CommentQueries,),
    mutations=(service.create_project, service.set_project_status, service.add_comment),
    subscriptions=(graphql.CommentSubscriptions,),
    rules=(rules.tell_owner,),
    templates=rules.TEMPLATES,
)
