"""The service, which kills itself at one step of a change's way.

`python -m tests.crash.breaking STEP -- serve --port 0` runs it as a process. All of it is put around the product from
outside: listeners of SQLAlchemy, and functions that call those which they replace. The kill is SIGKILL, at the first
occurrence of the step: nothing is cleaned up, nothing is said.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, NoReturn
from uuid import UUID, uuid4

from broadcaster import Broadcast
from sqlalchemy import Engine, event
from sqlalchemy.orm import Session

from gql_app.__main__ import main
from gql_app.changes import capture
from gql_app.db import Database, Reading, WriteSession
from gql_app.deliveries import queue
from gql_app.deliveries.claims import Claim, Result
from gql_app.deliveries.mail import SmtpSender
from gql_app.deliveries.models import Channel
from gql_app.deliveries.sms import TwilioSender
from gql_app.deliveries.worker import ChannelWorker
from gql_app.demo.fuel_requests.models import FuelRequest

_MARK = "test_breaking"
"""Where a session's ``info`` says that its transaction is the one that we wait for."""
MARK = 0xA0A0A0A0
"""The first four bytes of the leases of a worker that was started with `marked-leases`."""


def end(*_: object) -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("nobody survives that")


def _listen(target: Any, name: str, then: Callable[..., object], *, first: bool = False) -> None:
    options = {} if target is Engine else {"propagate": True}
    event.listen(target, name, then, insert=first, **options)


def _decides(session: Session, *_: object) -> None:
    """Marks the transaction that decides a fuel request, before its flush."""
    if any(isinstance(obj, FuelRequest) for obj in session.dirty):
        session.info[_MARK] = True


def _end_if_marked(session: Session, *_: object) -> None:
    if _MARK in session.info:
        end()


def _in_decision(name: str, *, first: bool = False) -> None:
    _listen(WriteSession, "before_flush", _decides)
    _listen(WriteSession, name, _end_if_marked, first=first)


def _before_the_commit() -> None:
    """The last moment on our side: COMMIT goes to the database next."""
    connections = []

    def remember(session: Session) -> None:
        if _MARK in session.info:
            connections.append(session.connection())

    _listen(WriteSession, "before_flush", _decides)
    _listen(WriteSession, "before_commit", remember)
    _listen(Engine, "commit", lambda connection: end() if connection in connections else None)


def _moving(when: str) -> None:
    """Around the sequencer's message to the server, which is a transaction of its own there."""
    script = Database.script

    async def sent(self: Database, statements: str) -> str:
        if when == "before":
            end()
        if when == "after":
            await script(self, statements)
            end()
        async with self._autocommit.connect() as connection:
            raw: Any = (await connection.get_raw_connection()).driver_connection
            under_way = asyncio.ensure_future(raw.execute(statements))
            await asyncio.sleep(0)  # its first step writes the message to the socket
            end(under_way)

    Database.script = sent  # type: ignore[method-assign]


def _publishing(*, before: bool) -> None:
    publish: Any = Broadcast.publish

    async def published(self: Any, channel: str, message: Any) -> None:
        if not before:
            await publish(self, channel, message)
        end()

    Broadcast.publish = published  # type: ignore[method-assign]


def _claiming(channel: Channel, *, before: bool) -> None:
    """``before`` anything was done; or else when the claim and its attempt are written and not yet committed."""
    claim = queue.claim

    def claimed(session: Session, of: Channel, now: datetime, limit: int, *args: Any) -> list[Claim]:
        if before and of is channel:
            end()
        claims = claim(session, of, now, limit, *args)
        return end() if claims and of is channel else claims

    queue.claim = claimed  # type: ignore[assignment]


def _before_the_call(channel: Channel) -> None:
    """The claim is committed, the provider has not been asked for anything."""
    send: Any = ChannelWorker._send

    async def sent(self: Any, claim: Claim, clock: Reading) -> Result:
        result: Result = end() if self._sender.channel is channel else await send(self, claim, clock)
        return result

    ChannelWorker._send = sent  # type: ignore[method-assign]


def _after_the_answer(sender: Any) -> None:
    """The provider has said yes, and nobody but this process knows."""
    send = sender.send

    async def sent(self: Any, message: Any) -> NoReturn:
        await send(self, message)
        end()

    sender.send = sent


def _finishing(channel: Channel, when: str) -> None:
    """Around the transaction that writes down what came of it."""
    finish = queue.finish

    def finished(session: Session, results: Sequence[Result]) -> int:
        ours = any(("@" in r.claim.message.recipient) is (channel is Channel.EMAIL) for r in results)
        if ours and when == "before":
            end()
        count = finish(session, results)
        if ours and when == "within":
            end()
        if ours:
            session.info[_MARK] = True
        return count

    queue.finish = finished
    if when == "after":
        _listen(WriteSession, "after_commit", _end_if_marked, first=True)


def _marked_leases() -> None:
    """Nothing breaks; but one can tell from a lease that it was this process that took it."""
    queue.uuid4 = lambda: UUID(int=MARK << 96 | uuid4().int & ((1 << 96) - 1))  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Step:
    """A step of a change's way. Without ``arm`` the kill comes from outside, when ``hangs`` has taken the message."""

    name: str
    arm: Callable[[], None] | None
    committed: bool = True
    hangs: Channel | None = None
    breaks_off: bool = False
    """Whether the client is certain to hear nothing."""


def _of_channel(name: str, channel: Channel, sender: Any) -> list[Step]:
    return [
        Step(f"{name}-before-claim", partial(_claiming, channel, before=True)),
        Step(f"{name}-claim-written", partial(_claiming, channel, before=False)),
        Step(f"{name}-claimed", partial(_before_the_call, channel)),
        Step(f"{name}-accepted", None, hangs=channel),
        Step(f"{name}-answered", partial(_after_the_answer, sender)),
        Step(f"{name}-before-record", partial(_finishing, channel, "before")),
        Step(f"{name}-record-written", partial(_finishing, channel, "within")),
        Step(f"{name}-recorded", partial(_finishing, channel, "after")),
    ]


IN_THE_TRANSACTION = [
    Step("before-flush", partial(_in_decision, "before_flush"), committed=False, breaks_off=True),
    Step("after-flush", partial(_in_decision, "after_flush"), committed=False, breaks_off=True),
    # A listener of `before_commit` that comes after the one which records: rows, events and messages are written.
    Step("written", partial(_in_decision, "before_commit"), committed=False, breaks_off=True),
    Step("before-commit", _before_the_commit, committed=False, breaks_off=True),
    Step("after-commit", partial(_in_decision, "after_commit", first=True), breaks_off=True),
]
OF_THE_SEQUENCER = [
    Step("before-move", partial(_moving, "before")),
    Step("move-sent", partial(_moving, "within")),
    Step("moved", partial(_moving, "after")),
]
AFTERWARDS = [
    Step("before-publish", partial(_publishing, before=True)),
    Step("published", partial(_publishing, before=False)),
    *_of_channel("sms", Channel.SMS, TwilioSender),
    *_of_channel("mail", Channel.EMAIL, SmtpSender),
]
STEPS = {step.name: step for step in (*IN_THE_TRANSACTION, *OF_THE_SEQUENCER, *AFTERWARDS)}


def run(step: str, arguments: Sequence[str]) -> int:
    """`gql-app` with these arguments; without a step it lives on."""
    assert event.contains(WriteSession, "before_commit", capture._write_down), "our listeners must come after it"
    if step == "marked-leases":
        _marked_leases()
    elif step:
        arm = STEPS[step].arm
        assert arm is not None, f"{step} is a kill from outside"
        arm()
    return main(arguments)


if __name__ == "__main__":
    chosen, separator, *rest = sys.argv[1:]
    assert separator == "--"
    sys.exit(run(chosen, rest))
