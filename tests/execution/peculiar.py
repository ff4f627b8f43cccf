"""Fields and types that a schema's author has given a way of their own, each with what Strawberry makes of it."""

import functools
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar, cast

import strawberry
from strawberry.extensions import FieldExtension
from strawberry.types import Info
from strawberry.types.field import StrawberryField
from strawberry.types.fields.resolver import StrawberryResolver

T = TypeVar("T")


class Loud(StrawberryField):
    """A field of an author's own, as of an integration."""

    def get_result(self, source: Any, info: Info | None, args: list[Any], kwargs: Any) -> Any:
        return str(super().get_result(source, info, args, kwargs)).upper()


class LoudResolver(StrawberryResolver[str]):
    def __call__(self, *args: Any, **kwargs: Any) -> str:
        return super().__call__(*args, **kwargs).upper()


class Louder(FieldExtension):
    def resolve(self, next_: Callable[..., Any], source: Any, info: Info, **kwargs: Any) -> Any:
        return str(next_(source, info, **kwargs)).upper()


def by_name(function: Callable[..., T]) -> Callable[..., T]:
    """A decorator that relies on how Strawberry hands `info` over."""

    @functools.wraps(function)
    def called(self: Any, **named: Any) -> T:
        return function(self, named["info"])

    return called


class MyInfo(Info[Any, Any]):
    @property
    def tone(self) -> str:
        return f"tone of {self.context}"


@strawberry.type
class Person:
    name: str = "ada"
    loud: str = Loud(default="loud")  # type: ignore[assignment]  # as strawberry.field does

    @strawberry.field
    def root(root: "Person") -> str:  # noqa: N805
        return root.name

    @strawberry.field
    def parent(they: strawberry.Parent["Person"]) -> str:  # noqa: N805
        return they.name

    @strawberry.field
    def annotated(self, i: Info[Any, Any]) -> str:
        return f"{i.context} {i.field_name} {self.name}"

    @strawberry.field
    def keyword_only(self, *, info: Info[Any, Any]) -> str:
        return f"{info.context} {self.name}"

    @strawberry.field
    def first(info: Info[Any, Any], of: strawberry.Parent["Person"]) -> str:  # noqa: N805
        return f"{info.context} {of.name}"

    @strawberry.field
    @by_name
    def decorated(self, info: Info[Any, Any]) -> str:
        return f"{info.context} {self.name}"

    @strawberry.field
    @staticmethod
    def static() -> str:
        return "static"

    @strawberry.field
    @classmethod
    def of_class(cls) -> str:
        return cls.__name__

    @strawberry.field
    def nothing() -> str:
        return "nothing"

    @strawberry.field(extensions=[Louder()])  # type: ignore[untyped-decorator]
    def extended(self) -> str:
        return self.name

    shouted: str = strawberry.field(resolver=cast(Any, LoudResolver(lambda self: self.name)))
    taken: str = strawberry.field(default="taken", extensions=[Louder()])


@strawberry.type(name="Query")
class People:
    @strawberry.field
    def person(self) -> Person:
        return Person()


SAID = {
    "loud": "LOUD",
    "root": "ada",
    "parent": "ada",
    "annotated": "context annotated ada",
    "keywordOnly": "context ada",
    "first": "context ada",
    "decorated": "context ada",
    "static": "static",
    "ofClass": "Person",
    "nothing": "nothing",
    "extended": "ADA",
    "shouted": "ADA",
    "taken": "TAKEN",
}


@strawberry.interface
class Pet:
    name: str = "pet"


@strawberry.type
class Cat(Pet):
    @classmethod
    def is_type_of(cls, value: Any, info: Any) -> bool:
        return bool(value.name != "dog")


@strawberry.type
class Dog(Pet):
    pass


@strawberry.interface
class Vehicle:
    wheels: int

    @classmethod
    def resolve_type(cls, value: Any, info: Any, of: Any) -> str:
        return "Bicycle" if value.wheels == 2 else "Car"


@strawberry.type
class Bicycle(Vehicle):
    pass


@strawberry.type
class Car(Vehicle):
    pass


@strawberry.interface
class Boxed:
    label: str = "box"


@strawberry.type
class Crate(Boxed, Generic[T]):
    inside: T


class Row:
    """No type of Strawberry's, such as a row of the database."""

    name = "row"


class OtherRow(Row):
    """This one names its type, as graphql-core takes it."""

    __typename = "Dog"


def dogs_and_rows() -> Iterable[Any]:
    return Dog(), strawberry.cast(Dog, Cat()), Cat(name="dog"), Row(), OtherRow(), Dog()


@strawberry.type(name="Query")
class Owner:
    @strawberry.field
    def pets(self) -> list[Pet | None]:
        return cast("list[Pet | None]", list(dogs_and_rows()))

    @strawberry.field
    def dogs(self) -> list[Dog | None]:
        return cast(
            "list[Dog | None]", [*dogs_and_rows(), Pet(), strawberry.cast(Dog, Pet()), strawberry.cast(Dog, Row())]
        )

    @strawberry.field
    def cats(self) -> list[Cat | None]:
        return cast("list[Cat | None]", [Cat(), Cat(name="dog"), Dog(name="none")])

    @strawberry.field
    def argued(self, times: int = 2) -> list[Dog | None]:
        return cast("list[Dog | None]", [*dogs_and_rows()] * times)

    @strawberry.field
    async def awaited(self) -> Dog | None:
        return cast(Dog, Cat())

    @strawberry.field
    def vehicles(self) -> list[Vehicle | None]:
        return [Bicycle(wheels=2), Car(wheels=4), Car(wheels=2), Bicycle(wheels=4)]

    @strawberry.field
    def crates(self) -> list[Crate[int]]:
        return [Crate(inside=1), Crate[int](inside=2)]

    @strawberry.field
    def boxed(self) -> list[Boxed]:
        return [Crate(inside=1), Crate[int](inside=2)]
