"""Who shares an execution: two functions are the same only if they make the same of every event."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from gql_app.api.identity import identity_of


class Viewer:
    """Stands for what says who is looking."""


def closure(value: Any) -> Callable[..., Any]:
    def of(event: object) -> object:
        return event, value

    return of


def default(value: Any) -> Callable[..., Any]:
    def of(event: object, seen_by: object = value) -> object:
        return event, seen_by

    return of


def keyword_default(value: Any) -> Callable[..., Any]:
    def of(event: object, *, seen_by: object = value) -> object:
        return event, seen_by

    return of


@dataclass(frozen=True)
class Maker:
    """Compared by its value."""

    value: object

    def of(self, event: object) -> object:
        return event, self.value

    def __call__(self, event: object) -> object:
        return self.of(event)


class Derived(Maker):
    """Its method has a cell for ``super()``."""

    def of(self, event: object) -> object:
        return super().of(event)


class Plain:
    """Compared by what it is."""

    def of(self, event: object) -> object:
        return event


def nested(value: Any) -> Callable[..., Any]:
    inner = closure(value)

    def of(event: object) -> object:
        return inner(event)

    return of


def with_argument(value: Any) -> Callable[..., Any]:
    return partial(default(1), seen_by=value)


MAKERS = [
    closure,
    default,
    keyword_default,
    nested,
    with_argument,
    Maker,
    lambda value: Maker(value).of,
    lambda value: Derived(value).of,
]


@pytest.mark.parametrize("make", MAKERS)
def test_equal_ones_share_and_others_do_not(make: Callable[[Any], Callable[..., Any]]) -> None:
    assert identity_of(make("ada")) == identity_of(make("ada"))
    assert identity_of(make("ada")) != identity_of(make("bea"))


def test_true_is_not_one() -> None:
    assert identity_of(closure(1)) != identity_of(closure(True))


@pytest.mark.parametrize("make", [closure, default, keyword_default, nested, with_argument])
@pytest.mark.parametrize("value", [Viewer(), [], object()], ids=["who looks", "a list", "an object"])
def test_what_could_never_be_shared_is_refused(make: Callable[[Any], Callable[..., Any]], value: object) -> None:
    with pytest.raises(TypeError, match="no two subscribers could share"):
        identity_of(make(value), (Viewer,))


def test_an_object_that_is_only_equal_to_itself_is_refused() -> None:
    with pytest.raises(TypeError, match="no two subscribers could share"):
        identity_of(Plain().of)


def test_what_changes_from_event_to_event_is_refused() -> None:
    count = 0

    def of(event: object) -> int:
        nonlocal count
        count += 1
        return count

    with pytest.raises(TypeError, match="changes count"):
        identity_of(of)


def test_functions_of_modules_and_methods_of_classes_are_told_by_themselves() -> None:
    assert identity_of(nested) == identity_of(nested) != identity_of(closure)
    assert identity_of(dict.fromkeys) == identity_of(dict.fromkeys)
