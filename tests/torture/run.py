"""A run: chaos for a while, then everything is killed once more, what is owed is finished, and all is verified."""

import asyncio
import contextlib
import sys
import time
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from gql_app.changes.models import ChangeOutbox
from gql_app.db import Database
from gql_app.deliveries.models import Delivery
from tests.crash import town
from tests.crash.process import environment
from tests.crash.town import drained, end_waiting, sign_up
from tests.standins.process import StandInProcess
from tests.torture import verify
from tests.torture.chaos import Chaos, Diary
from tests.torture.delivering import MAIL_FAULTS, SMS_FAULTS, hasten, script
from tests.torture.figures import figures
from tests.torture.found import Found
from tests.torture.plan import Plan
from tests.torture.sites import TIME_TO_BEGIN, Anywhere, Site
from tests.torture.subscribers import Met, Subscriber
from tests.torture.told import Told
from tests.torture.writers import PATIENCE, Writer

POLL_MS = "1000"
"""As it is by default: what the doorbell does for the latency is to be seen."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The summary, and in words whatever must not be; an empty list is what one wants to see."""

    summary: str
    violations: list[str]


async def torture(db: Database, redis_url: str, plan: Plan, directory: Path) -> Outcome:
    """Run the plan on an empty, migrated and witnessed database.

    The processes' logs and the journals are left in the directory.
    """
    return await Torture(db, plan, directory).run(redis_url)


class Torture:
    """The parts of a run."""

    def __init__(self, db: Database, plan: Plan, directory: Path) -> None:
        self._db = db
        self._plan = plan
        self._directory = directory
        self._diary = Diary()
        self._told = Told()
        self._met = Met()
        self._news = asyncio.Event()
        self._hurry = asyncio.Event()
        self._times = [time.monotonic()]
        self._sites: list[Site] = []
        self._subscribers: list[Subscriber] = []
        self._checked: list[str] = []

    async def run(self, redis_url: str) -> Outcome:
        plan = self._plan
        tokens = await sign_up(self._db, [f"asker{number}" for number in range(plan.askers)])
        async with (
            self._stand_in("twilio", SMS_FAULTS) as twilio,
            self._stand_in("smtp", MAIL_FAULTS) as smtp,
            drained(twilio, smtp),
            contextlib.AsyncExitStack() as stack,
        ):
            settings = town.settings(self._db, twilio, smtp) | {
                "BROADCAST_URL": redis_url,
                "POLL_INTERVAL_MS": POLL_MS,
            }
            for name, command in self._commands():
                site = Site(name, command, self._directory, settings)
                self._sites.append(await stack.enter_async_context(site.connected()))
            await self._live(tokens, settings)
            found = await self._db.read(Found)
            sms, mails = twilio.accepted(), smtp.accepted()
            violations = [*self._violations(found, sms, mails), *await verify.witnessed(self._db)]
            await self._check("at the end", settings)
        violations += self._checked
        self._times.append(time.monotonic())
        summary = figures(
            self._times, self._sites, self._diary, self._told, found, self._subscribers, self._met, sms, mails
        )
        return Outcome(summary, violations)

    def _stand_in(self, name: str, faults: dict[str, int]) -> StandInProcess:
        arguments = script(faults, self._plan, self._plan.rng(name))
        journal = self._directory / f"{name}.journal"
        return StandInProcess(f"tests.standins.{name}", journal, *arguments)

    def _commands(self) -> Iterator[tuple[str, Sequence[str]]]:
        """The servers deliver, too: the more claim the same messages, the better."""
        for number in range(self._plan.servers):
            yield f"server{number}", ("serve", "--port", "0")
        for number in range(self._plan.workers):
            yield f"worker{number}", ("worker",)

    async def _live(self, tokens: Mapping[str, str], settings: Mapping[str, str]) -> None:
        """From the first start of the processes until all has been said."""
        for number, name in enumerate(("root", "root", "grace", "asker0", "asker1", "asker2")):
            rng = self._plan.rng(f"subscriber{number}")
            subscriber = Subscriber(name, Anywhere(self._sites, rng), tokens[name], rng, self._met)
            subscriber.told = self._news.set
            self._subscribers.append(subscriber)
        async with (
            going_on(site.keep_up(self._diary) for site in self._sites),
            going_on([hasten(self._db, self._hurry)]),
            going_on(subscriber.follow() for subscriber in self._subscribers),
        ):
            async with asyncio.timeout(TIME_TO_BEGIN):
                await Anywhere(self._sites, self._plan.rng("begin")).wait()
            self._times.append(time.monotonic())
            await self._suffer(tokens, settings)
            self._times.append(time.monotonic())
            await self._recover()
            self._times.append(time.monotonic())

    async def _suffer(self, tokens: Mapping[str, str], settings: Mapping[str, str]) -> None:
        undecided: set[str] = set()
        limits = httpx.Limits(max_keepalive_connections=0)  # a killed server is met at the next request, not in it
        async with httpx.AsyncClient(timeout=PATIENCE, verify=False, limits=limits, trust_env=False) as http:
            writers = []
            for number in range(self._plan.writers):
                rng = self._plan.rng(f"writer{number}")
                place = Anywhere(self._sites, rng)
                writers.append(Writer(place, tokens, rng, self._told, http, undecided))
            chaos = Chaos(self._sites, self._plan, self._diary)
            async with going_on([chaos.rage()]), going_on(writer.write() for writer in writers):
                for number in range(self._plan.checks):
                    await asyncio.sleep(self._plan.seconds / (self._plan.checks + 1))
                    await self._check(f"meanwhile, {number + 1}", settings)
                await asyncio.sleep(self._plan.seconds / (self._plan.checks + 1))

    async def _recover(self) -> None:
        """The last blow hits everybody at once, so no lease that is left is a living process's."""
        for subscriber in self._subscribers:
            subscriber.steady = True
        await asyncio.gather(*(site.halt() for site in self._sites))
        await end_waiting(self._db, leases=True)
        for site in self._sites:
            site.resume()
        self._hurry.set()
        with contextlib.suppress(TimeoutError):  # what is missing then will be found
            async with asyncio.timeout(TIME_TO_BEGIN + self._plan.seconds / 4):
                while not await self._finished():
                    await self._news.wait()

    async def _finished(self) -> bool:
        """Nothing is left to be done, and every subscriber has seen the last event that it may see."""
        self._news.clear()
        if not await self._db.read(_is_done):
            return False
        found = await self._db.read(Found)
        return all(s.position == found.visible_to(s.name)[-1].position for s in self._subscribers)

    async def _check(self, when: str, settings: Mapping[str, str]) -> None:
        """`gql-app check`, as an operator runs it: it must find nothing, also beside servers that are busy."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gql_app", "check"),
            cwd=self._directory,
            env=environment(settings),
            stdout=PIPE,
            stderr=STDOUT,
        )
        output, _ = await process.communicate()
        if process.returncode:
            self._checked += [f"gql-app check ({when}): {line}" for line in output.decode().splitlines()]

    def _violations(self, found: Found, sms: Sequence[Any], mails: Sequence[Any]) -> list[str]:
        receptions = [verify.Reception.of(subscriber, found) for subscriber in self._subscribers]
        return [
            *(complaint for site in self._sites for complaint in site.wrong),
            *self._told.wrong,
            *self._met.wrong,
            *(complaint for reception in receptions for complaint in reception.complaints()),
            *verify.acknowledged(found, self._told),
            *verify.decided_once(found),
            *verify.owed(found),
            *verify.ended(found),
            *verify.each_sms_once(found, sms),
            *verify.each_mail(found, mails),
        ]


@contextlib.asynccontextmanager
async def going_on(work: Iterable[Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """These go on for ever, while the block runs; where one fails, so does the block."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each) for each in work]
        yield
        for task in tasks:
            task.cancel()


def _is_done(session: Session) -> bool:
    unfinished = select(func.count()).select_from(Delivery).where(Delivery.due_at.is_not(None))
    unsorted = select(func.count()).select_from(ChangeOutbox)
    return not session.scalar(unfinished) and not session.scalar(unsorted)
