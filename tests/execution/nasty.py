"""A schema made nasty on purpose: fields of every type, read in every way, that do whatever the test's data says.

Each object has a field for each pair, such as `informedBoxesMust`: a resolver with info, for a list that must be there.
"""

import asyncio
import enum
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, NewType, TypeVar

import strawberry
from graphql import Undefined
from graphql.pyutils import is_awaitable
from strawberry.permission import BasePermission
from strawberry.schema.config import StrawberryConfig
from strawberry.types import Info
from strawberry.utils.str_converters import to_camel_case

from gql_app.execution.direct import resolve_directly

T = TypeVar("T")

calls: list[str] = []
"""What resolvers have done, in its order, since somebody cleared it."""


@dataclass(frozen=True)
class Raised:
    """The resolver raises it; in a list, whoever takes the item."""

    make: Callable[[], Exception]


@dataclass(frozen=True)
class Later:
    """Something to await, which takes some turns of the event loop."""

    outcome: Any
    turns: int = 1


@dataclass(frozen=True)
class Made:
    """Made anew whenever it is read, such as a generator."""

    make: Callable[[], Any]


def each(*items: Any) -> Made:
    """A generator."""
    return Made(lambda: (_now(item) for item in items))


def _now(outcome: Any) -> Any:
    match outcome:
        case Raised(make):
            raise make()
        case Later():
            return _come(outcome)
        case Made(make):
            return make()
        case list():
            return [_now(item) for item in outcome]
    return outcome


async def _come(later: Later) -> Any:
    for _ in range(later.turns):
        await asyncio.sleep(0)
    calls.append("came")
    found = _now(later.outcome)
    return await found if is_awaitable(found) else found


class Data:
    """An object whose fields do what was given for them or, if nothing was, what is invented for them."""

    place: str
    given: dict[str, Any]
    invent: "Callable[[str, str], Any] | None"

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("attribute_"):
            raise AttributeError(name)
        return self.does(name)

    def does(self, name: str) -> Any:
        calls.append(f"{self.place}.{name}")
        if name not in self.given and self.invent is not None:
            return _now(self.invent(self.place, name))
        return _now(self.given.get(name))


def made(kind: type[T], place: str = "", invent: Callable[[str, str], Any] | None = None, **given: Any) -> T:
    found = kind.__new__(kind)
    vars(found).update(place=place, given=given, invent=invent)
    return found


class Permitted(BasePermission):
    message = "not permitted"

    def has_permission(self, source: Any, info: Any, **_: Any) -> bool:
        return bool(source.given.get("permits", True))


def _resolvers(kind: str) -> list[Callable[..., Any]]:
    def read(self: Any) -> Any:
        return self.does(f"read_{kind}")

    def informed(self: Any, info: Info) -> Any:
        raw = info._raw_info
        calls.append(f"{raw.parent_type}.{raw.field_name} at {raw.path.as_list()}, {len(raw.field_nodes)} nodes")
        return self.does(f"informed_{kind}")

    async def awaited(self: Any) -> Any:
        found = self.does(f"awaited_{kind}")
        return await found if is_awaitable(found) else found

    async def asked(self: Any, info: Info) -> Any:
        calls.append(f"for {info.context} with {info.variable_values}")
        found = self.does(f"asked_{kind}")
        return await found if is_awaitable(found) else found

    def argued(self: Any, times: int = 1) -> Any:
        calls.append(f"{times} times")
        return self.does(f"argued_{kind}")

    def permitted(self: Any) -> Any:
        return self.does(f"permitted_{kind}")

    return [read, informed, awaited, asked, argued, permitted]


WAYS = ("attribute", "read", "informed", "awaited", "asked", "argued", "permitted")

LEAVES = {"text": "str | None", "must": "str", "number": "int | None", "odd": "Odd | None", "odd_must": "Odd"} | {
    "shade": "Shade | None",
    "texts": "list[str | None] | None",
    "texts_must": "list[str]",
}
OBJECTS = {
    "thing": "Thing | None",
    "thing_must": "Thing",
    "box": "Box | None",
    "box_must": "Box",
    "either": "Either | None",
    "things": "list[Thing | None] | None",
    "things_must": "list[Thing]",
    "boxes": "list[Box] | None",
    "boxes_must": "list[Box | None]",
    "eithers": "list[Either | None]",
    "rows": "list[list[Box] | None] | None",
}
KINDS = LEAVES | OBJECTS


def _name_of_type(value: object) -> str:
    return type(value).__name__


def _with_fields(cls: type[T]) -> type[T]:
    cls.__repr__ = _name_of_type  # type: ignore[method-assign]  # a dataclass's own would read all fields
    for name, kind in KINDS.items():
        cls.__annotations__[f"attribute_{name}"] = kind
        for resolver in _resolvers(name):
            resolver.__annotations__["return"] = kind
            permissions: list[type[BasePermission]] = [Permitted] if resolver.__name__ == "permitted" else []
            field = strawberry.field(resolver=resolver, permission_classes=permissions)
            setattr(cls, f"{resolver.__name__}_{name}", field)
    return cls


def odd(value: Any) -> Any:
    """A scalar that takes anything, and says no in three ways."""
    if value == "refused":
        raise ValueError("odd")
    return {"nothing": None, "undefined": Undefined}.get(value, value) if isinstance(value, str) else value


Odd = NewType("Odd", object)


@strawberry.enum
class Shade(enum.Enum):
    DARK = "dark"


@strawberry.interface
@_with_fields
class Thing(Data):
    name: str = "thing"


@strawberry.type
class Box(Thing):
    lid: str = "lid"
    __repr__ = _name_of_type


@strawberry.type
class Bag(Thing):
    strap: str = "strap"
    __repr__ = _name_of_type


Either = Annotated[Box | Bag, strawberry.union("Either")]


class Cursed(Box, Exception):
    """A box that is an exception."""


class Awaited(Box):
    """A box that is awaited for another."""

    def __await__(self) -> Iterator[Any]:
        return _come(Later(made(Box, "awaited box"))).__await__()


@strawberry.type
@_with_fields
class Query(Data):
    name: str = "query"


@strawberry.type
@_with_fields
class Mutation(Data):
    name: str = "mutation"


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def things(self) -> AsyncIterator[Thing]:
        yield made(Box)


def make_schema(*, fast: bool = True) -> Any:
    """``fast``: with resolvers called directly, or all of it Strawberry's own."""
    config = StrawberryConfig(scalar_map={Odd: strawberry.scalar(name="Odd", serialize=odd)})
    schema = strawberry.Schema(Query, Mutation, Subscription, types=[Box, Bag], config=config)
    if fast:
        resolve_directly(schema)
    return schema._schema


def camel(way: str, kind: str) -> str:
    return to_camel_case(f"{way}_{kind}")


SCHEMA = make_schema()
STOCK = make_schema(fast=False)
