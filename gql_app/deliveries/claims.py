"""What the queue hands to a worker, and what the worker brings back."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from gql_app.deliveries.models import AttemptOutcome, DeliveryState, Fault
from gql_app.deliveries.retry import Next
from gql_app.deliveries.senders import Outgoing
from gql_app.deliveries.templates import Rendered


@dataclass(frozen=True, slots=True)
class Claim:
    """A message that this worker may work on until the lease ends.

    `attempt` is this attempt's number, `failures` how many before it count against the message, `before` the state
    until then. `unclear_since` is set when an earlier attempt, begun then, may have been accepted. `claimed_at` is when
    the lease began. All moments are the database's, as far as its clock is asked. `row` has what the message says,
    `said` is that rendered, where the attempt has it, too.
    """

    id: int
    lease: UUID
    attempt: int
    failures: int
    before: DeliveryState
    recipient_id: int | None
    message: Outgoing
    unclear_since: datetime | None
    claimed_at: datetime
    row: Row[Any]
    said: Rendered | None = None

    def has_expired(self, now: datetime) -> bool:
        return self.row.expires_at is not None and bool(self.row.expires_at <= now)


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a claim."""

    claim: Claim
    outcome: AttemptOutcome
    then: Next
    finished_at: datetime
    provider_id: str | None = None
    error_code: str | None = None
    error: str | None = None
    fault: Fault | None = None
    reason: str | None = None

    def without_what_was_said(self) -> "Result":
        return replace(self, provider_id=None, error_code=None, error="what the provider said cannot be stored")
