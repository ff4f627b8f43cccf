"""The same mutation under the same key is done once, however often it is sent.

models      the outcome of a mutation, kept in its own transaction
outcomes    doing something once
"""

from gql_app.idempotency.models import IdempotencyOutcome
from gql_app.idempotency.outcomes import TAKES_A_KEY, Once, Outcome, forget, only_once, read_key

__all__ = ["TAKES_A_KEY", "IdempotencyOutcome", "Once", "Outcome", "forget", "only_once", "read_key"]
