"""The audit log: what has changed, by whom, for those who may see it."""

from gql_app.audit.graphql import AUDIT

__all__ = ["AUDIT"]
