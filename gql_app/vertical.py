"""What a feature brings to an application. An application is a list of these."""

import argparse
import enum
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from gql_app.api.authentication import Authentication
from gql_app.api.nodes import Finder
from gql_app.changes.tracking import Tracked
from gql_app.db import Database
from gql_app.deliveries.senders import Sender
from gql_app.deliveries.templates import Templates
from gql_app.errors import UserFault
from gql_app.settings import Settings

T = TypeVar("T")


class Process(Protocol):
    """What a vertical's tasks and demo have of the process that they run in."""

    @property
    def db(self) -> Database: ...
    @property
    def settings(self) -> Settings: ...
    def resource(self, kind: type[T]) -> T: ...


@dataclass(frozen=True, eq=False)
class Vertical:
    """A feature. All but the name may be left out.

    `entities` are types that are declared with `entity`: each brings its model, its queries, its streams and its node.
    `models` are further tracked models; a base stands for its subclasses, too. `queries`, `mutations` and
    `subscriptions` are Strawberry types whose fields become those of the schema's roots. Mutations may also be
    functions with `mutation`. `types` are those that no field names, such as implementations of an interface. `nodes`
    finds entities by their global ids. `rules` are the functions that say who is owed a message, `templates` what these
    messages say.

    `migrations` is the folder of the scripts that make its tables.

    `authentication` says who looks; one vertical of an application may bring it. `roles` are those that users may have.
    `errors` are its own, each with a ``code`` that becomes one of the schema's `ErrorCode`s.
    `channels` are further ways for messages, by name, each with what makes its sender.
    `resources` makes what a process keeps one of (`Context.resource` has it by its class; what has a `close` is closed
    at the end). `tasks` run as long as a process serves or delivers. `commands` adds commands to `gql-app`: each parser
    sets as its default ``work`` what is to be done, ``async def work(process, args) -> int``. `demo` fills
    an empty database for `serve --demo` and returns what is to be said about it. `safe` looks before production begins,
    and raises ConfigurationError where something is unsafe. `needs` are verticals without which
    this one cannot be.
    """

    name: str
    entities: tuple[type, ...] = ()
    models: tuple[type[Tracked], ...] = ()
    migrations: Path | None = None
    queries: tuple[type, ...] = ()
    mutations: tuple[Any, ...] = ()
    subscriptions: tuple[type, ...] = ()
    types: tuple[type, ...] = ()
    nodes: Mapping[str, Finder] = field(default_factory=dict)
    rules: tuple[Callable[..., Iterable[Any]], ...] = ()
    templates: Templates | None = None
    authentication: Authentication | None = None
    roles: tuple[type[enum.Enum] | str, ...] = ()
    errors: tuple[type[UserFault], ...] = ()
    channels: Mapping[str, Callable[[Settings], Sender]] = field(default_factory=dict)
    resources: Callable[[Settings], Iterable[object]] | None = None
    tasks: tuple[Callable[[Process], Coroutine[Any, Any, None]], ...] = ()
    commands: "Callable[[argparse._SubParsersAction[argparse.ArgumentParser]], None] | None" = None
    demo: Callable[[Process], Awaitable[str]] | None = None
    safe: Callable[[Process], Awaitable[None]] | None = None
    needs: "tuple[Vertical, ...]" = ()

    @property
    def role_names(self) -> frozenset[str]:
        """The names of its roles."""
        named = ([each] if isinstance(each, str) else [member.name for member in each] for each in self.roles)
        return frozenset(name for names in named for name in names)
