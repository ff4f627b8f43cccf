"""What must hold at the end. Each function yields, in words, what does not."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from gql_app.db import Database
from gql_app.deliveries.models import Channel, DeliveryState
from gql_app.demo.fuel_requests.models import FuelRequestStatus
from tests.ruling import said
from tests.torture.found import Found
from tests.torture.subscribers import Subscriber
from tests.torture.told import Told
from tests.witness.witnessed import disagreements

Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reception:
    """What one subscriber saw, held against what it should have seen."""

    name: str
    due: int
    missed: int
    repeated: int
    disordered: int
    foreign: int

    @classmethod
    def of(cls, subscriber: Subscriber, found: Found) -> "Reception":
        due, seen = found.visible_to(subscriber.name), subscriber.events
        return cls(
            subscriber.name,
            due=len(due),
            missed=len(set(due) - set(seen)),
            repeated=len(seen) - len(set(seen)),
            disordered=sum(a.position > b.position for a, b in pairwise(seen)),
            foreign=len(set(seen) - set(due)),
        )

    def complaints(self) -> Iterator[str]:
        found = {name: getattr(self, name) for name in ("missed", "repeated", "disordered", "foreign")}
        if any(found.values()):
            yield f"{self.name} saw of {self.due} events: " + ", ".join(f"{n} {what}" for what, n in found.items() if n)


async def witnessed(db: Database) -> list[str]:
    """The log says of every transaction what triggers saw of its rows."""
    sentences = await asyncio.to_thread(disagreements, db.url.render_as_string(hide_password=False))
    return [f"witness: {sentence}" for sentence in sentences]


def acknowledged(found: Found, told: Told) -> Iterator[str]:
    """What clients were told has happened is there."""
    for name in ("submitted", "projects", "comments"):
        there = found.requests if name == "submitted" else getattr(found, name)
        if gone := getattr(told, name) - set(there):
            yield f"{len(gone)} acknowledged and not there ({name})"
    for request, status in told.decided.items():
        if request not in found.requests or found.requests[request].status.name != status:
            yield f"the decision {status} of {request} was acknowledged and is not there"
    history = found.statuses_of()
    for project, statuses in told.statuses.items():
        if not _passes_through(history.get(project, []), statuses):
            yield f"{project} was told to be {statuses}, and was {history.get(project)}"


def _passes_through(history: Sequence[str | None], statuses: Sequence[str]) -> bool:
    """Whether these statuses came in this order, perhaps with others in between; setting one again changes nothing."""
    at = 0
    for status in statuses:
        while at < len(history) and history[at] != status:
            at += 1
        if at == len(history):
            return False
    return True


def decided_once(found: Found) -> Iterator[str]:
    """A request begins, and is decided at most once; the row is what its history says."""
    history = found.statuses_of()
    for public_id, request in found.requests.items():
        pending = request.status is FuelRequestStatus.PENDING
        expected = ["PENDING"] if pending else ["PENDING", request.status.name]
        if history.get(public_id) != expected:
            yield f"{public_id} is {request.status.name}, and its history is {history.get(public_id)}"


def owed(found: Found) -> Iterator[str]:
    """Each change of a status owes its owner one SMS and one mail, nothing else does but a sign-up (one mail)."""
    by_change = found.owed_by()
    for row in found.owing():
        messages = by_change.pop(row.change_set, [])
        channels = sorted(message.channel.name for message in messages)
        if channels != ["EMAIL", "SMS"] or {message.recipient_id for message in messages} != {row.owner_id}:
            yield f"the event {row.position} owes an SMS and a mail to {row.owner_id}; there are {channels}"
    welcomes = [m for messages in by_change.values() for m in messages]
    if Counter(m.recipient_id for m in welcomes) != Counter(user.id for user in found.users.values()):
        yield f"{len(welcomes)} other messages are owed for {len(found.users)} sign-ups"


def ended(found: Found) -> Iterator[str]:
    """Every message has been sent (no fault here is for good)."""
    for state, count in Counter(delivery.shown_state for delivery in found.deliveries).items():
        if state is not DeliveryState.SENT:
            yield f"{count} messages are {state.name}"


def twice(found: Found, sms: Sequence[Message]) -> tuple[int, int]:
    """How many SMS arrived more often than they were owed, and how many did not."""
    owed = Counter((d.recipient, said(d).body) for d in found.by(Channel.SMS))
    arrived = Counter((m["to"], m["body"]) for m in sms)
    return (arrived - owed).total(), (owed - arrived).total()


def each_sms_once(found: Found, sms: Sequence[Message]) -> Iterator[str]:
    """Every message that the provider took belongs to one delivery, and every delivery to one message."""
    too_many, missing = twice(found, sms)
    if too_many or missing:
        yield f"{too_many} SMS arrived twice, {missing} did not arrive"
    known = Counter(d.provider_id for d in found.by(Channel.SMS))
    if shared := [sid for sid, count in known.items() if count > 1]:
        yield f"{len(shared)} SMS stand for several deliveries"
    texts = {d.provider_id: (d.recipient, said(d).body) for d in found.by(Channel.SMS)}
    if texts != {m["sid"]: (m["to"], m["body"]) for m in sms}:
        yield "the SMS that the deliveries name are not those that arrived"


def each_mail(found: Found, mails: Sequence[Message]) -> Iterator[str]:
    """At least once, and whatever arrived again has the same Message-ID."""
    owed = {f"<{d.public_id}@localhost>": d.recipient for d in found.by(Channel.EMAIL)}
    arrived = {m["message_id"]: m["rcpts"][0] for m in mails}
    if missing := owed.keys() - arrived.keys():
        yield f"{len(missing)} mails did not arrive"
    if foreign := arrived.items() - owed.items():
        yield f"{len(foreign)} mails arrived that nobody was owed, or under another Message-ID"
