"""Runs a program transaction by transaction and says at once what is wrong: what fails is the shortest beginning."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from sqlalchemy import literal, select, union_all
from sqlalchemy.orm import Session

from gql_app.accounts import sessions
from gql_app.accounts.models import User
from gql_app.accounts.roles import Role
from gql_app.app import App
from gql_app.audiences.conditions import Holder, visible
from gql_app.changes import pages
from gql_app.changes.models import ChangeAudience, ChangeEvent
from gql_app.changes.scope import Interest
from gql_app.changes.topics import Topic
from gql_app.viewer import with_keys
from tests.audiences.acting import act
from tests.audiences.facts import Facts
from tests.audiences.generator import Generator
from tests.audiences.listening import (
    KINDS,
    Ears,
    heard,
    of_kinds,
    of_one,
    of_sights,
    seen,
    viewer_of,
)
from tests.audiences.models import BY_NAME
from tests.audiences.oracle import RULES, Told, held_by, keys_of, sees, telling
from tests.audiences.world import PUBLIC, Step, Which, World
from tests.things import caught_up, logged

FULL = 10
"""After every so many transactions all rows are looked at."""
LATE = 3
"""Streams from old positions that each opens at the end."""

Only = Callable[[Told], bool]


def anything(told: Told) -> bool:
    return True


def status_of(kind: str) -> Only:
    return lambda told: told.which[0] == kind and told.attribute == "status"


@dataclass
class Run:
    """One program on one database."""

    app: App
    seed: int
    users: Sequence[User]
    facts: Facts = field(default_factory=Facts)
    done: list[Sequence[Step]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = Random(-1 - self.seed)
        self.generator = Generator(self.seed, [user.id for user in self.users])
        self.world = self.generator.first_world()
        self.facts.began(self.app.feed.position, self.world)

    async def run(self, transactions: int) -> None:
        ears = [Ears.open(self.app, user, self.random.choice(list(RULES))) for user in self.users]
        for each in ears:
            await self._listen(each, self.world)
        for _ in range(transactions):
            await self._transaction(ears)
            if not self.wrong:
                await self._come_late(self.random.choice(self.users))
            self._judge()
        await self._rows((), full=True)
        for user in self.users:
            for _ in range(LATE):
                await self._come_late(user)
            await self._look_back(user)
        if (index := await self.app.db.read(_index)) != self.facts.index:
            self.wrong.append(f"the index by keys: {sorted(index ^ self.facts.index)}")
        self._judge()
        for each in ears:
            await each.close()

    async def _transaction(self, ears: Sequence[Ears]) -> None:
        steps = self.generator.transaction(self.world)
        self.done.append(steps)
        before, after = self.world, self.world.copy()
        after.apply(steps)
        start = self.app.feed.position
        await self.app.db.write(act, steps)
        await caught_up(self.app)
        self.world = after
        events = await logged(self.app.db, after=start)
        self.wrong += self.facts.learn(telling(before, after), events, {user.public_id: user.id for user in self.users})
        self.facts.began(self.app.feed.position, after)
        if not self.wrong:
            self.wrong += self.facts.last_keys_against(after)
        for each in ears:
            await self._listen(each, before)
        await self._rows(after.touched, full=len(self.done) % FULL == 0)

    async def _listen(self, ears: Ears, before: World) -> None:
        """What the open streams have to say about the last transaction."""
        user, name = ears.user.id, ears.user.username
        old, new = held_by(before, user), held_by(self.world, user)
        at = self.facts.renewed_at(user)
        for what, stream, only in (
            ("of kinds", ears.kinds, anything),
            ("of all", ears.all, anything),
            (f"of {ears.only}", ears.one, status_of(ears.only)),
        ):
            told = [(position, each) for position, each in self.facts.latest if only(each)]
            may = [position for position, each in told if each.heard(new)]
            must = [
                position for position, each in told if each.heard(new) and (_is_after(position, at) or each.heard(old))
            ]
            self._compare(f"{name}'s live stream {what}", await heard(stream), must, may)
        expected = self.facts.sights(user, new, self.facts.latest, self.facts.latest_roles)
        must_see = [each for each in expected if _is_after(each[0], at) or self.facts.noticed(each[0], old)]
        self._compare(f"{name}'s live sights", await seen(ears.sights), must_see, expected)

    async def _come_late(self, user: User) -> None:
        """A stream that begins at an old position; she may be taken for who she was then."""
        after, world = self.random.choice(self.facts.moments)
        new = held_by(self.world, user.id)
        viewer = viewer_of(user, after, _role(world, user))
        if self.random.random() < 0.5:
            viewer = replace(sessions.acting_as(viewer, _role(self.world, user)), as_of=self.app.feed.position)
        name = f"{user.username}, who comes from {after} as of {viewer.as_of},"
        which = self.random.random()
        if which < 0.4:
            sights = of_sights(self.app, viewer, after)
            roles = [(p, each) for p, each in self.facts.roles if p > after]
            expected = self.facts.sights(user.id, new, self.facts.since(after), roles)
            self._compare(f"{name} sights", await seen(sights), expected, expected)
            await sights.aclose()
            return
        kind = self.random.choice(list(RULES))
        stream = of_one(self.app, viewer, kind, after) if which < 0.7 else of_kinds(self.app, viewer, after)
        only = status_of(kind) if which < 0.7 else anything
        exact = [p for p, each in self.facts.since(after) if only(each) and each.heard(new)]
        self._compare(f"{name} of {kind if which < 0.7 else 'kinds'}", await heard(stream), exact, exact)
        await stream.aclose()

    async def _look_back(self, user: User) -> None:
        """Pages of the log in both directions."""
        viewer = await with_keys(self.app.db, viewer_of(user, self.app.feed.position, _role(self.world, user)))
        held = held_by(self.world, user.id)
        interest = Interest.of([Topic(kind) for kind in KINDS], viewer.scope)
        for _ in range(4):
            low, high = sorted(self.random.choice(self.facts.moments)[0] for _ in range(2))
            limit, backward = self.random.choice([1, 5, 64]), self.random.random() < 0.5
            exact = [p for p, each in self.facts.since(low) if p < high and each.heard(held)]
            exact = exact[::-1][:limit] if backward else exact[:limit]
            found = await self.app.db.read(_window, interest, low, high, limit, backward)
            if [event.position for event in found] != exact:
                self.wrong.append(f"{user.username}'s window {low}…{high} {backward}: {found} instead of {exact}")

    async def _rows(self, touched: Iterable[Which], *, full: bool) -> None:
        """Which rows each may see; with ``full`` of all kinds, else of those that may have changed and another one."""
        names = list(BY_NAME)
        kinds = names if full else [*{*(kind for kind, _ in touched), self.random.choice(names)}]
        for user in self.users if full else [self.random.choice(self.users)]:
            viewer = viewer_of(user, self.app.feed.position, _role(self.world, user))
            known = await with_keys(self.app.db, viewer)
            held = held_by(self.world, user.id)
            if known.scope.keys != {f"{kind}:{value}" for kind, value in held if kind != "user"}:
                self.wrong.append(
                    f"{user.username} holds {sorted(known.scope.keys)} instead of {sorted(map(str, held))}"
                )
            rows = [(which, row) for which, row in self.world.all() if which[0] in kinds]
            expected = {which for which, row in rows if sees(which[0], held, keys_of(self.world, which[0], row))}
            holders: list[tuple[str, Holder]] = [("rows", viewer), ("rows by scope", known.scope)]
            for what, holder in holders if full else [self.random.choice(holders)]:
                found = await self.app.db.read(_visible, kinds, holder)
                if found != expected:
                    missing, extra = sorted(expected - found), sorted(found - expected)
                    self.wrong.append(f"{user.username}'s {what}: missing {missing}, extra {extra}")

    def _compare(self, what: str, found: list[Any], must: Sequence[Any], may: Sequence[Any]) -> None:
        if found == may:
            return
        positions = [each[0] if isinstance(each, tuple) else each for each in found]
        in_order = positions == sorted(set(positions))
        if not in_order or not set(must) <= set(found) <= set(may):
            meant = {each: self.facts.at(each[0] if isinstance(each, tuple) else each) for each in {*found, *may}}
            lost, extra = sorted(set(must) - set(found)), sorted(set(found) - set(may))
            about = "\n    ".join(f"{each}: {meant[each]}" for each in [*lost[:4], *extra[:4]])
            self.wrong.append(f"{what}: lost {lost}, extra {extra}, in order: {in_order}\n    {about}")

    def _judge(self) -> None:
        if self.wrong:
            steps = "\n  ".join(map(repr, self.done[-1]))
            told = "\n".join(self.wrong[:8])
            raise AssertionError(f"seed {self.seed}, transaction {len(self.done)}:\n  {steps}\n{told}")


def _is_after(position: int, renewed_at: int | None) -> bool:
    return renewed_at is None or position >= renewed_at


def _role(world: World, user: User) -> Role:
    return Role[world.roles[user.id]]


def _visible(session: Session, kinds: Iterable[str], holder: Holder) -> set[Which]:
    """One statement: many would take most of the time."""
    parts = [select(literal(kind), model.public_id).where(visible(model, holder)) for kind, model in _models(kinds)]
    return {(kind, public_id.int - PUBLIC) for kind, public_id in session.execute(union_all(*parts))}


def _models(kinds: Iterable[str]) -> list[tuple[str, Any]]:
    return [(kind, BY_NAME[kind]) for kind in kinds]


def _index(session: Session) -> set[tuple[str, int, bool]]:
    query = select(ChangeAudience.key, ChangeAudience.position, ChangeAudience.lost)
    return {(key, position, lost) for key, position, lost in session.execute(query)}


def _window(
    session: Session, interest: Interest, low: int, high: int, limit: int, backward: bool
) -> Sequence[ChangeEvent]:
    return pages.window(session, interest, after=low, before=high, limit=limit, backward=backward)
