"""What becomes of a message after an attempt, as a pure function."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from gql_app.deliveries.models import AttemptOutcome, DeliveryState
from gql_app.deliveries.retry import (
    CHANNEL_PAUSE,
    FIRST_PAUSE,
    LONGEST_PAUSE,
    LOOK_UP_AFTER,
    MAX_ATTEMPTS,
    Next,
    after_attempt,
    backoff,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SENT, TRANSIENT, PERMANENT = AttemptOutcome.SENT, AttemptOutcome.TRANSIENT, AttemptOutcome.PERMANENT
REFUSED, UNKNOWN = AttemptOutcome.REFUSED, AttemptOutcome.UNKNOWN
DEAD = Next(DeliveryState.DEAD, None)


class Shares(random.Random):
    """Randomness that always gives the same share."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def random(self) -> float:
        return self.share


def pause_of(then: Next) -> timedelta:
    assert then.due_at is not None
    return then.due_at - NOW


@pytest.mark.parametrize("failures", range(1, 11))
def test_the_pause_doubles_with_every_failure(failures: int) -> None:
    assert backoff(failures, Shares(1.0)) == FIRST_PAUSE * 2 ** (failures - 1)


@pytest.mark.parametrize("failures", range(1, 11))
def test_the_upper_half_of_the_pause_is_chance(failures: int) -> None:
    full = FIRST_PAUSE * 2 ** (failures - 1)
    assert backoff(failures, Shares(0.0)) == full / 2
    assert backoff(failures, Shares(0.5)) == full * 0.75
    pauses = {backoff(failures) for _ in range(200)}
    assert len(pauses) > 100
    assert all(full / 2 <= pause <= full for pause in pauses)


@pytest.mark.parametrize("failures", [12, 13, 100, 10_000, 10**9])
def test_no_pause_is_longer_than_the_longest(failures: int) -> None:
    assert backoff(failures, Shares(1.0)) == LONGEST_PAUSE


@pytest.mark.parametrize("safe", [True, False])
def test_what_was_accepted_is_done(safe: bool) -> None:
    assert after_attempt(SENT, 1, NOW, resend_is_safe=safe) == Next(DeliveryState.SENT, None)
    assert after_attempt(SENT, MAX_ATTEMPTS, NOW, resend_is_safe=safe) == Next(DeliveryState.SENT, None)


@pytest.mark.parametrize("failures", range(1, MAX_ATTEMPTS))
@pytest.mark.parametrize("safe", [True, False])
def test_a_transient_failure_is_tried_again_after_its_pause(failures: int, safe: bool) -> None:
    then = after_attempt(TRANSIENT, failures, NOW, resend_is_safe=safe)
    assert then.state is DeliveryState.PENDING
    assert backoff(failures, Shares(0.0)) <= pause_of(then) <= backoff(failures, Shares(1.0))


@pytest.mark.parametrize("failures", [MAX_ATTEMPTS, MAX_ATTEMPTS + 1])
@pytest.mark.parametrize("safe", [True, False])
@pytest.mark.parametrize("outcome", [TRANSIENT, UNKNOWN])
def test_the_last_attempt_ends_in_dead(outcome: AttemptOutcome, failures: int, safe: bool) -> None:
    assert after_attempt(outcome, failures, NOW, retry_after=5.0, resend_is_safe=safe) == DEAD


@pytest.mark.parametrize("safe", [True, False])
def test_a_permanent_failure_is_dead_at_once(safe: bool) -> None:
    assert after_attempt(PERMANENT, 1, NOW, resend_is_safe=safe) == DEAD


@pytest.mark.parametrize("failures", [1, MAX_ATTEMPTS, 1000])
@pytest.mark.parametrize("safe", [True, False])
def test_refused_credentials_never_count_against_the_message(failures: int, safe: bool) -> None:
    then = after_attempt(REFUSED, failures, NOW, resend_is_safe=safe)
    assert then == Next(DeliveryState.PENDING, NOW + CHANNEL_PAUSE)


def test_an_unclear_outcome_is_tried_again_where_that_is_safe() -> None:
    then = after_attempt(UNKNOWN, 1, NOW, resend_is_safe=True)
    assert then.state is DeliveryState.PENDING
    assert FIRST_PAUSE / 2 <= pause_of(then) <= FIRST_PAUSE


@pytest.mark.parametrize("failures", range(1, MAX_ATTEMPTS))
def test_an_unclear_outcome_is_looked_up_first_where_it_is_not_safe(failures: int) -> None:
    then = after_attempt(UNKNOWN, failures, NOW, resend_is_safe=False)
    assert then.state is DeliveryState.UNKNOWN
    assert pause_of(then) >= LOOK_UP_AFTER


def test_look_ups_back_off_too() -> None:
    then = after_attempt(UNKNOWN, MAX_ATTEMPTS - 1, NOW, resend_is_safe=False)
    assert pause_of(then) >= backoff(MAX_ATTEMPTS - 1, Shares(0.0)) > LOOK_UP_AFTER


def test_retry_after_is_honoured_where_it_is_longer_than_the_pause() -> None:
    assert pause_of(after_attempt(TRANSIENT, 1, NOW, retry_after=77.0, resend_is_safe=True)) == timedelta(seconds=77)


def test_retry_after_does_not_shorten_the_pause() -> None:
    then = after_attempt(TRANSIENT, 8, NOW, retry_after=0.0, resend_is_safe=True)
    assert pause_of(then) >= backoff(8, Shares(0.0))


@pytest.mark.parametrize("seconds", [86_401.0, 1e9, 1e15, 1e300, float("inf")])
def test_an_absurd_retry_after_is_a_day(seconds: float) -> None:
    assert pause_of(after_attempt(TRANSIENT, 1, NOW, retry_after=seconds, resend_is_safe=True)) == timedelta(days=1)
