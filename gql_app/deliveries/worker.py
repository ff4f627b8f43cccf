"""The delivery worker: claims what is due, sends with bounded concurrency, writes down what came of it.

One `ChannelWorker` per channel. Must hold: a worker that dies leaves a lease that ends, and an attempt whose outcome is
known to be unknown. A message that may have been accepted is looked up before it is sent again.
"""

import asyncio
import logging
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy.exc import DBAPIError

from gql_app.changes.doorbell import Bell
from gql_app.changes.tasks import stop_task
from gql_app.db import Database, Reading, refuses_a_value, uptime
from gql_app.deliveries import due, metrics, queue
from gql_app.deliveries.claims import Claim, Result
from gql_app.deliveries.models import EXPIRED, AttemptOutcome, DeliveryState, Fault
from gql_app.deliveries.retry import CHANNEL_PAUSE, Next, after_attempt
from gql_app.deliveries.senders import (
    SEND_TIMEOUT,
    Ambiguous,
    CredentialsRefused,
    Outgoing,
    PermanentFailure,
    Receipt,
    Sender,
    SendFailure,
    TransientFailure,
)
from gql_app.deliveries.templates import Rendered
from gql_app.deliveries.texts import Texts, Unrenderable

logger = logging.getLogger(__name__)

DRAIN_SECONDS = 4.0
"""How long a stopping worker waits for what is in the air; the rest is left to its lease."""

LINGER = 0.04
"""Seconds between two claims that did not fill the room: messages that become due meanwhile share the next one. Each
claim costs transactions, and those of a busy service would otherwise be for one or two messages each."""

OUTCOMES = {
    TransientFailure: AttemptOutcome.TRANSIENT,
    PermanentFailure: AttemptOutcome.PERMANENT,
    CredentialsRefused: AttemptOutcome.REFUSED,
    Ambiguous: AttemptOutcome.UNKNOWN,
}


class ChannelWorker:
    """Sends what is due on one channel, until stopped."""

    def __init__(
        self, db: Database, sender: Sender, bell: Bell, *, poll_seconds: float, texts: Texts | None = None
    ) -> None:
        self._db = db
        self._sender = sender
        self._bell = bell
        self._poll = poll_seconds
        self._texts = texts or Texts()
        self._text_of = None if sender.resend_is_safe else self._said
        self._concurrency = sender.concurrency
        self._in_air: set[asyncio.Task[None]] = set()
        self._done: list[Result] = []
        self._held: dict[int, Claim] = {}
        self._paused_until: float | None = None
        self._proven = False
        self._stopping = False
        self._rest_until = 0.0

    @property
    def name(self) -> str:
        return self._sender.channel.name

    @property
    def paused(self) -> bool:
        """Whether the channel rests because the provider refused our credentials."""
        return self._paused_until is not None

    async def run(self) -> None:
        renewing = asyncio.create_task(self._keep_renewing())
        try:
            while not self._stopping:
                try:
                    await self._write_down()
                    await self._bell.wait(await self._take_what_is_due())
                except Exception:
                    logger.exception("the delivery queue could not be worked on; trying again")
                    await asyncio.sleep(self._poll)
        finally:
            await stop_task(renewing)

    def stop(self) -> None:
        """Take nothing more; `run` returns soon."""
        self._stopping = True
        self._bell.ring()

    async def drain(self) -> None:
        """After `run`: wait a while for what is in the air, and write down what came of it."""
        if self._in_air:
            await asyncio.wait(self._in_air, timeout=DRAIN_SECONDS)
        for task in self._in_air:
            task.cancel()
        await self._write_down()

    async def _take_what_is_due(self) -> float:
        """Claim as many due messages as there is room for; returns after how many seconds to look again.

        The bell rings earlier: at each commit, and when a message in the air has landed.
        """
        if (rest := max(self._rest_until, self._paused_until or 0.0) - uptime()) > 0:
            return min(rest, self._poll)
        room = self._room()
        found = await due.next_due(self._db, self._sender.channel) if room else None
        if found is None:
            return self._poll
        moment, clock = found
        if (pause := (moment - clock.moment).total_seconds()) > 0:
            return min(pause, self._poll)
        claims = await self._db.write(queue.claim, self._sender.channel, clock.moment, room, self._text_of)
        for claim in claims:
            self._held[claim.id] = claim
            task = asyncio.create_task(self._attempt(claim, clock))
            self._in_air.add(task)
            task.add_done_callback(self._landed)
        if len(claims) == room:
            return 0
        self._rest_until = uptime() + LINGER
        return LINGER

    def _room(self) -> int:
        if not self._proven:  # one message tries whether our credentials work
            return 0 if self._in_air else 1
        return self._concurrency - len(self._in_air)

    def _landed(self, task: "asyncio.Task[None]") -> None:
        self._in_air.discard(task)
        self._bell.ring()

    def _said(self, row: Any) -> Rendered | None:
        try:
            return self._texts.render(row)
        except Unrenderable:
            return None  # the attempt says why

    async def _attempt(self, claim: Claim, clock: Reading) -> None:
        try:
            async with asyncio.timeout(SEND_TIMEOUT + 1):
                result = await self._send(claim, clock)
        except SendFailure as failure:
            result = self._failed(claim, clock.now(), failure)
        except Exception as error:
            logger.exception("attempt %s of delivery %s failed unexpectedly", claim.attempt, claim.message.id)
            result = self._failed(claim, clock.now(), Ambiguous(type(error).__name__))
        metrics.attempts.labels(self._sender.channel.name, result.outcome.value).inc()
        self._done.append(result)

    async def _send(self, claim: Claim, clock: Reading) -> Result:
        if claim.unclear_since is not None and not self._sender.resend_is_safe:
            receipt = await self._accepted_before(self._as_it_may_have_gone(claim), claim.unclear_since)
            if receipt is not None:
                return self._sent(claim, clock.now(), receipt, "accepted in an earlier attempt")
        now = clock.now()
        if claim.has_expired(now):
            then = Next(DeliveryState.SUPPRESSED, None)
            return Result(claim, AttemptOutcome.SUPPRESSED, then, now, reason=EXPIRED)
        message = self._rendered(claim)
        if now >= claim.claimed_at + queue.LEASE:  # frozen meanwhile: another worker may have it
            raise Ambiguous("the lease had ended before it could be sent")
        receipt = await self._sender.send(message)
        return self._sent(claim, clock.now(), receipt)

    def _as_it_may_have_gone(self, claim: Claim) -> Outgoing:
        """What is looked up. Raises Ambiguous for one of which no text is known."""
        try:
            return self._rendered(claim)
        except TransientFailure as failure:
            if not claim.message.earlier:
                raise Ambiguous(failure.message, fault=failure.fault) from failure
            first, *others = sorted(claim.message.earlier)
            return replace(claim.message, body=first, earlier=frozenset(others))

    def _rendered(self, claim: Claim) -> Outgoing:
        try:
            said = claim.said or self._texts.render(claim.row)
        except Unrenderable as error:
            logger.error("the message %s waits: %s", claim.message.id, error)
            raise TransientFailure(str(error)[:500], fault=Fault.MESSAGE) from error
        return replace(claim.message, subject=said.subject, body=said.body, html=said.html)

    async def _accepted_before(self, message: Outgoing, since: datetime) -> Receipt | None:
        """The first message like this one at the provider that no attempt of ours is known by."""
        found = [receipt for receipt in await self._sender.find(message, since) if receipt.provider_id]
        known = await self._db.look_up(queue.taken, [str(receipt.provider_id) for receipt in found])
        return next((receipt for receipt in found if receipt.provider_id not in known), None)

    def _sent(self, claim: Claim, now: datetime, receipt: Receipt, note: str | None = None) -> Result:
        self._paused_until = None
        self._proven = True
        then = self._next(AttemptOutcome.SENT, claim, now)
        return Result(claim, AttemptOutcome.SENT, then, now, receipt.provider_id, error=note)

    def _failed(self, claim: Claim, now: datetime, failure: SendFailure) -> Result:
        outcome = OUTCOMES[type(failure)]
        self._proven = outcome is not AttemptOutcome.REFUSED
        if outcome is AttemptOutcome.REFUSED:
            self._paused_until = uptime() + CHANNEL_PAUSE.total_seconds()
            logger.error("%s is paused: %s", self._sender.channel.name, failure.message)
        retry_after = failure.retry_after if isinstance(failure, TransientFailure) else None
        then = self._next(outcome, claim, now, retry_after)
        return Result(claim, outcome, then, now, error_code=failure.code, error=failure.message, fault=failure.fault)

    def _next(self, outcome: AttemptOutcome, claim: Claim, now: datetime, retry_after: float | None = None) -> Next:
        return after_attempt(
            outcome,
            claim.failures + 1,
            now,
            retry_after=retry_after,
            resend_is_safe=self._sender.resend_is_safe,
            unclear=claim.unclear_since is not None,
        )

    async def _write_down(self) -> None:
        while self._done:
            results, self._done = self._done, []
            try:
                try:
                    await self._db.write(queue.finish, results)
                except DBAPIError as error:
                    if not refuses_a_value(error):
                        raise
                    logger.exception("what a provider said cannot be stored; only the outcomes are")
                    await self._db.write(queue.finish, [each.without_what_was_said() for each in results])
            except BaseException:
                self._done = results + self._done
                raise
            for result in results:
                if self._held.get(result.claim.id) is result.claim:
                    del self._held[result.claim.id]

    async def _keep_renewing(self) -> None:
        """What is held is in the air, or has landed and could not be written down yet: nobody else may take it."""
        while True:
            await asyncio.sleep(queue.RENEWAL)
            if self._held:
                try:
                    await self._db.write(queue.renew, list(self._held.values()))
                except Exception:
                    logger.exception("leases could not be renewed; trying again")
