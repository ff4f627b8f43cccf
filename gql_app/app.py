"""The one place where everything is wired, opened and closed."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar, cast

from broadcaster import Broadcast

from gql_app import migrations
from gql_app.api.authentication import Credentials
from gql_app.api.context import Context
from gql_app.application import Application, named
from gql_app.changes.baseline import note_what_is_tracked
from gql_app.changes.broadcast import make_backend
from gql_app.changes.doorbell import Doorbell
from gql_app.changes.feed import Feed
from gql_app.changes.sequencer import Sequencer
from gql_app.changes.tasks import stop_task
from gql_app.db import Database
from gql_app.deliveries.captured import CapturedSender
from gql_app.deliveries.composing import Mailbox
from gql_app.deliveries.mail import SmtpSender
from gql_app.deliveries.models import Channel
from gql_app.deliveries.reports import PATH
from gql_app.deliveries.senders import Sender
from gql_app.deliveries.sms import TwilioSender
from gql_app.deliveries.workers import Workers
from gql_app.errors import ConfigurationError, Unavailable
from gql_app.limiter import Limiter, Rate, scope_of
from gql_app.outside.switch import Intake, renew
from gql_app.settings import Settings, database_url
from gql_app.vertical import Process, Vertical

T = TypeVar("T")

LONGEST_PAUSE = 60.0
"""Seconds before a vertical's task that has failed is begun again; the first pauses are shorter."""

logger = logging.getLogger(__name__)


class App:
    """The parts of one process. `running` opens and closes them."""

    def __init__(
        self, settings: Settings, verticals: Sequence[Vertical] | None = None, *, patient: bool = False
    ) -> None:
        """``verticals``: unless they are given, those that GQL_APP_APP names. ``patient`` as with `Database`.

        Raises:
            ConfigurationError: GQL_APP_APP does not name verticals, or they do not fit together.
        """
        settings.refuse_unsafe()
        _mailbox(settings)
        self.settings = settings
        self.application = named(settings.app) if verticals is None else Application(verticals)
        self.db = Database(database_url(settings.database_url.reveal()), patient=patient, fast=settings.fast)
        self.db.session_info |= self.application.session_info
        self.backend = make_backend(settings.broadcast_url.reveal())
        self.doorbell = Doorbell(Broadcast("memory://") if self.backend is None else Broadcast(backend=self.backend))
        self.db.on_commit(self.doorbell.ring)
        poll = settings.poll_interval.total_seconds()
        self.sequencer = Sequencer(self.db, self.doorbell, poll_seconds=poll)
        self.intake = Intake(self.db, self.application.models, poll_seconds=poll)
        self.feed = Feed(self.db, self.doorbell, poll_seconds=poll)
        self.workers = Workers(
            self.db,
            self.doorbell,
            partial(senders, settings, self.application),
            poll_seconds=poll,
            texts=self.application.texts,
        )
        self.stopping = asyncio.Event()
        """Set when the process is about to stop: streams end by themselves."""
        made = [one for each in self.application.verticals if each.resources for one in each.resources(settings)]
        self.resources: Mapping[type, object] = {
            type(each): each for each in (self.application.nodes, self.application.texts, _limiter(settings), *made)
        }

    @contextlib.asynccontextmanager
    async def running(self, *, feed: bool = True, deliver: bool = True) -> AsyncIterator[None]:
        """Open what a process needs: the feed to serve subscriptions, the workers to deliver messages.

        Raises:
            ConfigurationError: the database cannot be used, or its tables are not those of this version.
        """
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(self.db.close)
            stack.push_async_callback(self.resource(Limiter).aclose)
            for each in self.resources.values():
                if callable(close := getattr(each, "close", None)):
                    stack.callback(close)
            await self.db.reach()
            await migrations.require_current(self.db, self.application.branches, self.application.tracked_tables)
            if self.db.is_sqlite:  # which is migrated right there
                await renew(self.db, self.application.models)
            await note_what_is_tracked(self.db, self.application.models)
            if self.settings.production and (feed or deliver):
                for vertical in self.application.verticals:
                    if vertical.safe is not None:
                        await vertical.safe(self)
            await stack.enter_async_context(self.doorbell.connected())
            await stack.enter_async_context(self.sequencer.running())
            await stack.enter_async_context(self.intake.running())
            if feed:
                await stack.enter_async_context(self.feed.running())
            if deliver:
                await stack.enter_async_context(self.workers.running())
            if feed or deliver:
                await stack.enter_async_context(self._tasks_running())
            yield

    @contextlib.asynccontextmanager
    async def _tasks_running(self) -> AsyncIterator[None]:
        """What verticals do in the background. One that fails is begun again: the others and the process go on."""
        found = [(each.name, task) for each in self.application.verticals for task in each.tasks]
        running = [asyncio.create_task(self._keep_on(name, task)) for name, task in found]
        try:
            yield
        finally:
            for each in running:
                await stop_task(each)

    async def _keep_on(self, name: str, task: Callable[[Process], Awaitable[None]]) -> None:
        pause = 1.0
        while True:
            try:
                await task(self)
                return
            except asyncio.CancelledError:
                if (this := asyncio.current_task()) is None or this.cancelling():
                    raise
                logger.error("a task of the vertical %s has cancelled itself; it is begun again", name)
            except Exception:
                logger.exception("a task of the vertical %s failed; it is begun again in %.0f s", name, pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def resource(self, kind: type[T]) -> T:
        """What the process keeps one of, by its class."""
        return cast(T, self.resources[kind])

    def make_context(self, authorization: str | None, client: str, ticket: str | None = None) -> Awaitable[Context]:
        """The context of an operation. Where it stands in the log is settled here, before anything is awaited.

        The ``ticket`` is used if there is no token.
        """
        context = Context(
            self.db,
            self.feed,
            self.settings,
            self.resources,
            _client=client,
            arrived_at=self.feed.cursor,
            look_again=self.application.authentication.look_again,
        )
        return self._with_viewer(context, authorization, ticket)

    async def _with_viewer(self, context: Context, authorization: str | None, ticket: str | None) -> Context:
        scheme, _, token = (authorization or "").partition(" ")
        authentication, catalog = self.application.authentication, self.application.catalog
        shown, viewer_of = ticket, authentication.viewer_of_ticket
        if scheme.lower() == "bearer" and token:
            shown, viewer_of = token.strip(), authentication.viewer_of
        if shown:
            as_of = context.arrived_at.position
            try:
                viewer = await viewer_of(Credentials(shown, context.client_address, self.db, as_of, catalog))
            except (ConnectionError, TimeoutError) as error:  # of an identity provider
                raise Unavailable("It cannot be looked up at present who you are; try again soon.") from error
            if viewer is not None and not viewer.is_on:
                viewer = None
            if viewer is not None and viewer.catalog is not catalog:
                viewer = replace(viewer, catalog=catalog)
            context.identify(viewer)
        return context


def _limiter(settings: Settings) -> Limiter:
    """In Redis, if processes ring each other there. Services with other databases count for themselves."""
    url = settings.broadcast_url.reveal()
    rates = {name: None if rate is None else Rate(*rate) for name, rate in settings.limits.items()}
    return Limiter(
        url if url.startswith(("redis://", "rediss://")) else None,
        scope=scope_of(settings.database_url.reveal()),
        rates=rates,
    )


def senders(settings: Settings, application: Application) -> list[Sender]:
    """The real channels where they are configured, the mailbox elsewhere."""
    sms: Sender = (
        TwilioSender(settings.twilio, status_callback=_status_callback(settings))
        if settings.twilio
        else CapturedSender(Channel.SMS)
    )
    mail: Sender = CapturedSender(Channel.EMAIL)
    if settings.smtp is not None:
        mail = SmtpSender(settings.smtp, settings.mail_from)
    others = [make(settings) for each in application.verticals for make in each.channels.values()]
    return [sms, mail, *others]


def _mailbox(settings: Settings) -> Mailbox:
    try:
        return Mailbox.parse(settings.mail_from)
    except ValueError as error:
        raise ConfigurationError(f"GQL_APP_MAIL_FROM cannot be the sender of mails: {error}.") from error


def _status_callback(settings: Settings) -> str | None:
    """Where Twilio reports to: it refuses addresses that it cannot reach, a stand-in does not."""
    reachable = settings.public_url.startswith("https://") or (settings.twilio and settings.twilio.base_url)
    return settings.public_url + PATH if reachable else None
