"""What a resolver is handed."""

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, cast

from sqlalchemy import Row, Select
from sqlalchemy.orm import Session
from strawberry.dataloader import DataLoader
from strawberry.types import Info as StrawberryInfo

from gql_app.api.lookups import Lookup
from gql_app.changes.capture import act_as
from gql_app.changes.feed import Feed
from gql_app.changes.log import parse_cursor
from gql_app.changes.models import ChangeEvent
from gql_app.changes.topics import Topic
from gql_app.changes.watch import Watch
from gql_app.db import Database
from gql_app.errors import Forbidden, Unauthenticated
from gql_app.settings import Settings
from gql_app.viewer import Role, Viewer

P = ParamSpec("P")
T = TypeVar("T")
K = TypeVar("K")


class Stream(AsyncIterator[T], Generic[T]):
    """A subscription's events. Close it after use."""

    def __init__(self, watch: Watch, of: Callable[[ChangeEvent], T | None]) -> None:
        self.watch = watch
        self.of = of

    async def __anext__(self) -> T:
        while (event := self.of(await self.watch.__anext__())) is None:
            pass
        return event

    async def aclose(self) -> None:
        self.watch.close()


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
    arrived_at: int = 0
    _client: str = ""
    last_event_id: str | None = None
    private: bool = False
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

    def identify(self, viewer: Viewer | None) -> None:
        """A token was sent, and this is whose it is (None: nobody's, or no longer)."""
        self._viewer = viewer
        self.token_is_dead = viewer is None

    def fresh(self) -> "Context":
        """The same for the next event of a subscription: nothing loaded yet."""
        return replace(self, private=False, _loaders={})

    def resource(self, kind: type[T]) -> T:
        """What the app keeps one of, by its class."""
        return cast(T, self.resources[kind])

    def require_viewer(self) -> Viewer:
        """Raises Unauthenticated."""
        if self.viewer is None:
            raise Unauthenticated("Your session has ended; sign in again." if self.token_is_dead else None)
        return self.viewer

    def require_role(self, *roles: Role) -> Viewer:
        """An admin may do what any role may. Raises Unauthenticated or Forbidden."""
        viewer = self.require_viewer()
        if viewer.role not in (*roles, Role.ADMIN):
            raise Forbidden
        return viewer

    async def read(self, work: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.db.read(work, *args, **kwargs)

    async def look_up(self, work: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Read a few rows by their keys (see `Database.look_up`)."""
        return await self.db.look_up(work, *args, **kwargs)

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
                    found = batch.found(await self.db.rows(*batch.query(keys)))
                else:
                    found = await self.db.look_up(batch, keys)
                return [found.get(each) for each in keys]

            loader = self._loaders[batch] = DataLoader(load_fn=load_all)
        return cast("T | None", await loader.load(key))

    async def find(self, lookup: Lookup[K, T], key: K) -> T | None:
        """The same for one key, at once."""
        return lookup.found(await self.db.rows(*lookup.query([key]))).get(key)

    async def find_all(self, lookup: Lookup[K, T], keys: Collection[K]) -> Mapping[K, T]:
        """The same for several: what there is of them."""
        return lookup.found(await self.db.rows(*lookup.query(keys)))

    async def rows(self, statement: Select[Any], *, quick: bool) -> Sequence[Row[Any]]:
        """The rows of one statement. ``quick``: an index has them, so that they may be read at once."""
        return await self.db.rows(statement, {}, quick=quick)

    def stream(self, topics: Iterable[Topic], after: str | None, of: Callable[[ChangeEvent], T | None]) -> Stream[T]:
        """The changes within these topics that the viewer may see, as ``of`` makes GraphQL events of them
        (None: not this one).

        Raises:
            Unauthenticated: nobody is signed in.
            Invalid: ``after`` is not a cursor.
        """
        viewer = self.require_viewer()
        resume = after if after is not None else self.last_event_id
        position = self.arrived_at if resume is None else parse_cursor(resume)
        scope = viewer.scope
        wanted = [narrow for topic in topics for narrow in scope.narrow(topic)]
        return Stream(self.feed.watch(wanted, scope.about(wanted), after=position, lifetime=viewer.lifetime), of)


Info = StrawberryInfo[Context, None]
