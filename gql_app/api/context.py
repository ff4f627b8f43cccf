"""What a resolver is handed."""

import enum
from collections.abc import Awaitable, Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from sqlalchemy.orm import Session
from strawberry.dataloader import DataLoader
from strawberry.types import Info as StrawberryInfo

from gql_app.api.identity import identity_of
from gql_app.api.lookups import Lookup
from gql_app.api.streams import Stream
from gql_app.audiences.conditions import Holder
from gql_app.audiences.kinds import kind_of
from gql_app.changes.capture import act_as
from gql_app.changes.cursors import BEGINNING, Cursor, parse_cursor
from gql_app.changes.feed import Feed
from gql_app.changes.models import NO_KEYS
from gql_app.changes.scope import Scope
from gql_app.changes.states import State
from gql_app.changes.topics import Topic
from gql_app.db import Database
from gql_app.db.asking import Ask
from gql_app.errors import Forbidden, Unauthenticated
from gql_app.idempotency import Once
from gql_app.limiter import Whose
from gql_app.settings import Settings
from gql_app.viewer import Viewer, with_keys

P = ParamSpec("P")
T = TypeVar("T")
K = TypeVar("K")


@dataclass(slots=True)
class Context:
    """One operation's context (for a subscription: one event's). It holds no database session.

    `arrived_at` is where the feed stood when the operation arrived: a subscription begins there. `client` is the
    address of the peer, `last_event_id` the cursor that an SSE client reconnects with.
    """

    db: Database
    feed: Feed
    settings: Settings
    resources: Mapping[type, object]
    _viewer: Viewer | None = None
    token_is_dead: bool = False
    arrived_at: Cursor = BEGINNING
    _client: str = ""
    last_event_id: str | None = None
    private: bool = False
    line: Hashable = None
    """What tells clients behind one address apart: of a WebSocket, the same for all its operations."""
    once: Once | None = None
    """The idempotency key of the request, if it has one."""
    _scope: Scope | None = None
    look_again: Callable[[Database, Viewer], Awaitable[Viewer]] = with_keys
    """Finds out which role and keys a viewer has now."""
    _loaders: dict[object, DataLoader[Any, Any]] = field(default_factory=dict)

    @property
    def viewer(self) -> Viewer | None:
        """Who is looking. Whoever asks makes the result `private`: it is given to nobody else."""
        self.private = True
        return self._viewer

    @property
    def client(self) -> str:
        self.private = True
        return self._client

    @property
    def client_address(self) -> str:
        """The same for what decides nothing about a result."""
        return self._client

    @property
    def spender(self) -> tuple[str, int | None]:
        """The client's address, and who is signed in: whose budgets an operation takes from."""
        return self._client, None if self._viewer is None else self._viewer.id

    @property
    def whose(self) -> Whose:
        """In whose turn its long work is done."""
        return Whose(self._client, self.line)

    def identify(self, viewer: Viewer | None) -> None:
        """A token was sent, and this is whose it is (None: nobody's, or no longer)."""
        self._viewer = viewer
        self.token_is_dead = viewer is None

    def fresh(self, viewer: Viewer, scope: Scope) -> "Context":
        """The same for the next event of a subscription: nothing loaded yet.

        ``scope`` is what decides about the event, the same for all who share the answer.
        """
        return replace(self, private=False, _viewer=viewer, _scope=scope, _loaders={})

    def afresh(self) -> "Context":
        """The same for the next value of a subscription without events of the log: nothing loaded yet."""
        return replace(self, _loaders={})

    def resource(self, kind: type[T]) -> T:
        """What the app keeps one of, by its class."""
        return cast(T, self.resources[kind])

    def require_viewer(self) -> Viewer:
        """Raises Unauthenticated."""
        if self.viewer is None:
            raise Unauthenticated("Your session has ended; sign in again." if self.token_is_dead else None)
        return self.viewer

    def require_role(self, *roles: enum.Enum | str) -> Viewer:
        """An admin may do what any role may. Raises Unauthenticated or Forbidden."""
        viewer = self.require_viewer()
        if not viewer.may_act_as(*roles):
            raise Forbidden
        return viewer

    def require_admin(self) -> Viewer:
        """Raises Unauthenticated or Forbidden."""
        return self.require_role()

    async def holder(self) -> Viewer:
        """The viewer with all her keys. Raises Unauthenticated."""
        viewer = self.require_viewer()
        if viewer.granted is None:
            viewer = self._viewer = await with_keys(self.db, viewer)
        return viewer

    def who_may_see(self, entity: str) -> Iterator[Scope | Viewer]:
        """As whom to look for entities of a kind, one after the other: first as all who share an event's answer.

        Who asks for the second one makes the result private.
        """
        if self._scope is not None:
            yield self._scope
        if self._scope is None or not self._scope.decides(entity):
            yield self.require_viewer()

    def covers(self, entity: str, owner_id: int | None, keys: frozenset[str] = NO_KEYS) -> bool:
        """Whether an entity with this owner and these other keys may be seen (see `Scope.covers`)."""
        if self._scope is not None:
            if self._scope.covers(entity, owner_id, keys):
                return True
            if self._scope.decides(entity):
                return False
        return self.viewer is not None and self.viewer.scope.covers(entity, owner_id, keys)

    async def seen(self, lookup: Lookup[K, T], found: T | None) -> T | None:
        """What the lookup has found, if it may be seen."""
        kind = kind_of(lookup.model)
        if found is None or (named := kind.keys_of(vars(found))) is None:
            return found if found is not None and self.covers(kind.entity, None) else None
        if self._scope is None and self.require_viewer().catalog.depend_on_rows((kind.entity,)):
            await self.holder()
        owner_id, others = named
        return found if self.covers(kind.entity, owner_id, frozenset(others)) else None

    @property
    def read(self) -> Ask:
        """Run a unit of work that reads, or the rows of one statement (see `Database.read`)."""
        return self.db.read

    @property
    def look_up(self) -> Ask:
        """The same for a few rows by their keys, which takes well under a millisecond (see `Database.look_up`)."""
        return self.db.look_up

    async def write(self, work: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run the unit of work; what it changes is put down to the viewer."""
        actor_id = self.viewer.id if self.viewer else None

        def acting(session: Session) -> T:
            act_as(session, actor_id)
            return work(session, *args, **kwargs)

        return await self.db.write(acting)

    async def load(self, batch: Lookup[K, T] | Callable[[Session, Sequence[K]], Mapping[K, T]], key: K) -> T | None:
        """What ``batch`` finds for the key; all keys asked for at the same time are looked up in one statement."""
        loader = self._loaders.get(batch)
        if loader is None:

            async def load_all(keys: list[K]) -> list[T | None]:
                if isinstance(batch, Lookup):
                    found = batch.found(await self.db.look_up(*batch.query(keys)))
                else:
                    found = await self.db.look_up(batch, keys)
                return [found.get(each) for each in keys]

            loader = self._loaders[batch] = DataLoader(load_fn=load_all)
        return cast("T | None", await loader.load(key))

    async def load_for(
        self, holder: Holder, find: Callable[[Session, Any, Sequence[K]], Mapping[K, T]], key: K
    ) -> T | None:
        """What ``find`` finds for the key, as far as the holder may see it; many keys at once, as in `load`."""
        loader = self._loaders.get((find, holder))
        if loader is None:

            async def load_all(keys: list[K]) -> list[T | None]:
                found = await self.db.look_up(find, holder, keys)
                return [found.get(each) for each in keys]

            loader = self._loaders[find, holder] = DataLoader(load_fn=load_all)
        return cast("T | None", await loader.load(key))

    async def find(self, lookup: Lookup[K, T], key: K) -> T | None:
        """The same for one key, at once."""
        return lookup.found(await self.db.look_up(*lookup.query([key]))).get(key)

    async def find_all(self, lookup: Lookup[K, T], keys: Collection[K]) -> Mapping[K, T]:
        """The same for several: what there is of them."""
        return lookup.found(await self.db.look_up(*lookup.query(keys)))

    def stream(
        self,
        topics: Iterable[Topic],
        after: str | None,
        of: Callable[..., T | None],
        *,
        by_scope: bool = False,
        state: State | None = None,
    ) -> Stream[T]:
        """The changes within these topics that the viewer may see, as ``of`` makes GraphQL events of them
        (None: not this one). Without ``after`` the ``state`` is told first, if it is given.

        Raises:
            Unauthenticated: nobody is signed in.
            Invalid: ``after`` is not a cursor.
            TypeError: ``of`` depends on who looks (see `identity_of`).
        """
        self.require_viewer()
        # A browser that comes back repeats its old address, and says here what it has seen since.
        resume = self.last_event_id if self.last_event_id is not None else after
        is_resumed = resume is not None
        begin = self.arrived_at if resume is None else parse_cursor(resume, snapshot=state is not None)
        told = state if begin.behind is not None or not is_resumed else None
        made = identity_of(of, (Context, StrawberryInfo, Viewer))
        return Stream(self, tuple(topics), begin, of, made, by_scope=by_scope, resumed=is_resumed, state=told)


Info = StrawberryInfo[Context, None]
