"""PostgreSQL: transactions that change who may see a talk, beside others that tell of it.

Whoever has come at a position hears all of the talk that has a higher one: each entry names those whom the talk's last
entry about its audience has named.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import pytest
from sqlalchemy import event, select
from sqlalchemy.orm import Session
from sqlalchemy.util import await_only

from gql_app.app import App
from gql_app.changes.models import ChangeEvent
from gql_app.db import Database
from tests.audiences.acting import act
from tests.audiences.facts import keys_in
from tests.audiences.models import Participant
from tests.audiences.world import PUBLIC, BulkChange, Change, Create, Delete, Step, Where, primary_key
from tests.things import caught_up, logged

ROUNDS = 20
WRITERS = 5
MOST_TURNS = 40
TALKS = (1, 2)
USERS = (1, 2, 3, 4)


@pytest.fixture
def database_url(postgres_url: str) -> str:
    return postgres_url


@pytest.fixture
def broadcast_url(redis_url: str) -> str:
    return redis_url


@contextlib.contextmanager
def unsteady(db: Database, random: Random) -> Iterator[None]:
    """Before each statement others get a few turns, each time another number."""

    def others_first(*about: Any) -> None:
        for _ in range(random.randrange(MOST_TURNS)):
            await_only(asyncio.sleep(0))

    event.listen(db.engine.sync_engine, "before_cursor_execute", others_first)
    try:
        yield
    finally:
        event.remove(db.engine.sync_engine, "before_cursor_execute", others_first)


class Writers:
    """Makes steps about a few talks. What belongs to which talk never changes."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.talk_of: dict[int, int] = {talk: talk for talk in TALKS}
        self._there: dict[str, list[int]] = {kind: [] for kind in ("Participant", "Message", "Reaction")}
        self._new: list[tuple[str, int]] = []
        self._named: set[int] = set()
        self._number = 10

    def begin(self) -> list[Step]:
        steps: list[Step] = [Create("Talk", talk, {"status": "a"}) for talk in TALKS]
        for talk in TALKS:
            steps += [self._participant(talk), self._message(talk)]
        return steps

    def round(self) -> list[list[Step]]:
        """What runs at the same time names only what was there before, and nothing that another one deletes."""
        for kind, number in self._new:
            self._there[kind].append(number)
        self._new, self._named = [], set()
        return [
            [self._step(self.random.choice(TALKS)) for _ in range(self.random.choice([1, 1, 2]))]
            for _ in range(WRITERS)
        ]

    def _step(self, talk: int) -> Step:
        status = {"status": self.random.choice("abc")}
        here = {kind: [each for each in found if self.talk_of[each] == talk] for kind, found in self._there.items()}
        what, free = self.random.randrange(9), [each for each in here["Participant"] if each not in self._named]
        if what < 2:
            return self._participant(talk)
        if what == 2 and len(free) > 1:
            number = self.random.choice(free)
            self._there["Participant"].remove(number)
            return Delete("Participant", number)
        if what == 3 and here["Participant"]:
            number = self.random.choice(here["Participant"])
            self._named.add(number)
            return Change("Participant", number, {"user_id": self.random.choice(USERS)})
        if what == 4:
            return self._message(talk)
        if what == 5:
            return BulkChange("Message", Where("talk_id", (primary_key("Talk", talk),)), status)
        if what == 6:
            number = self._next(talk, "Reaction")
            message = self.random.choice(here["Message"])
            return Create("Reaction", number, {"status": "a", "message_id": message, "gone": None})
        if what == 7:
            return Change("Message", self.random.choice(here["Message"]), status)
        return Change("Talk", talk, status)

    def _participant(self, talk: int) -> Step:
        values = {"status": "a", "talk_id": primary_key("Talk", talk), "user_id": self.random.choice(USERS)}
        return Create("Participant", self._next(talk, "Participant"), values)

    def _message(self, talk: int) -> Step:
        return Create("Message", self._next(talk, "Message"), {"status": "a", "talk_id": primary_key("Talk", talk)})

    def _next(self, talk: int, kind: str) -> int:
        self._number += 1
        self.talk_of[self._number] = talk
        self._new.append((kind, self._number))
        return self._number


def wrong(events: Sequence[ChangeEvent], talk_of: dict[int, int]) -> Iterator[str]:
    """Entries that name others than the talk's last entry about its audience."""
    sets: dict[tuple[Any, int], list[ChangeEvent]] = defaultdict(list)
    for each in events:
        if each.entity_type.startswith("Aud"):
            sets[each.change_set, talk_of[each.entity_id.int - PUBLIC]].append(each)
    current: dict[int, frozenset[str]] = defaultdict(frozenset)
    for (_, talk), entries in sets.items():
        before = current[talk]
        for entry in entries:
            if entry.entity_type == "AudTalk" and entry.turns:
                if entry.keys_before != before:
                    yield f"{entry.position}: talk {talk} was for {entry.audience_before}, not {set(before)}"
                current[talk] = keys_in(entry)
        for entry in entries:
            expected = before if entry.kind.name == "DELETED" else current[talk]
            own = {f"user:{entry.owner_id}"} if entry.owner_id is not None else set()
            if keys_in(entry) != expected | own:
                yield f"{entry.position}: {entry.entity_type} {entry.attribute} of talk {talk} is for {entry.audience}"


@pytest.mark.parametrize("seed", range(2))
async def test_whoever_has_come_hears_all_that_comes_after(site: App, seed: int) -> None:
    writers = Writers(seed)
    await site.db.write(act, writers.begin())
    with unsteady(site.db, Random(seed)):
        for _ in range(ROUNDS):
            await asyncio.gather(*(site.db.write(act, steps) for steps in writers.round()))
    await caught_up(site)
    events = await logged(site.db)
    found = list(wrong(events, writers.talk_of))
    assert not found, f"seed {seed}:\n" + "\n".join(found[:10])
    for talk in TALKS:
        last = [e for e in events if e.entity_id.int == PUBLIC + talk and e.turns][-1]
        assert keys_in(last) == await site.db.read(_participants, talk)


def _participants(session: Session, talk: int) -> set[str]:
    query = select(Participant.user_id).where(Participant.talk_id == primary_key("Talk", talk))
    return {f"user:{each}" for each in session.scalars(query)}
