"""What becomes of a message after an attempt: a pure function of what happened."""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta

from gql_app.deliveries.models import AttemptOutcome, DeliveryState

MAX_ATTEMPTS = 20
"""With the pauses between them seven to nine hours."""
FIRST_PAUSE = timedelta(seconds=2)
LONGEST_PAUSE = timedelta(hours=1)
LOOK_UP_AFTER = timedelta(seconds=15)
"""How long after an unclear attempt the provider is asked for it: it may list a message only after a moment."""
LONGEST_RETRY_AFTER = 24 * 3600.0
"""Seconds; a provider that asks for more is not taken at its word."""
CHANNEL_PAUSE = timedelta(seconds=60)
"""How long a channel rests after its credentials were refused."""


@dataclass(frozen=True, slots=True)
class Next:
    """The state of the message from now on; `due_at` is None when nothing is left to do."""

    state: DeliveryState
    due_at: datetime | None


def backoff(failures: int, rng: random.Random | None = None) -> timedelta:
    """The pause after this many failed attempts: exponential, with the upper half at random ("equal jitter", see
    Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015)."""
    full: timedelta = min(FIRST_PAUSE * 2 ** min(failures - 1, 20), LONGEST_PAUSE)
    share = (rng or random.Random()).random()  # noqa: S311  (jitter, not a secret)
    return full / 2 + full / 2 * share


def after_attempt(
    outcome: AttemptOutcome,
    failures: int,
    now: datetime,
    *,
    retry_after: float | None = None,
    resend_is_safe: bool,
    unclear: bool = False,
) -> Next:
    """Where a message goes after an attempt, the ``failures``-th that failed; ``retry_after`` is in seconds.

    ``unclear``: before this one, an earlier attempt may have been accepted, and still has to be looked up.
    """
    if outcome is AttemptOutcome.SENT:
        return Next(DeliveryState.SENT, None)
    if outcome is AttemptOutcome.REFUSED:
        waiting = DeliveryState.UNKNOWN if unclear and not resend_is_safe else DeliveryState.PENDING
        return Next(waiting, now + CHANNEL_PAUSE)
    if outcome is AttemptOutcome.PERMANENT or failures >= MAX_ATTEMPTS:
        return Next(DeliveryState.DEAD, None)
    pause = backoff(failures)
    if outcome is AttemptOutcome.UNKNOWN and not resend_is_safe:
        return Next(DeliveryState.UNKNOWN, now + max(LOOK_UP_AFTER, pause))
    if retry_after is not None:
        pause = max(pause, timedelta(seconds=min(retry_after, LONGEST_RETRY_AFTER)))
    return Next(DeliveryState.PENDING, now + pause)
